"""A share of each class: for the split of a data set, and for the examples that a seed draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optlab.errors import DataError

if TYPE_CHECKING:  # a study is checked without NumPy
    import numpy as np


def shares(per_class: Sequence[int], count: int, leave: int = 0) -> list[int]:
    """How many of each class make ``count`` examples, in proportion to its frequency.

    Shares are rounded by largest remainders. At least `leave` examples of each class are left,
    else DataError is raised.
    """
    examples = sum(per_class)
    quota = [size * count // examples for size in per_class]
    by_remainder = sorted(range(len(quota)), key=lambda c: -(per_class[c] * count % examples))
    while (short := count - sum(quota)) > 0:
        room = [c for c in by_remainder if quota[c] < per_class[c] - leave]
        if not room:
            some = f"{count} of {examples} examples"
            raise DataError(f"{some} leave no example of some classes; ask for fewer")
        for c in room[:short]:
            quota[c] += 1
    return quota


def stratified(labels: np.ndarray, count: int, leave: int = 0) -> np.ndarray:
    """Mark `count` examples, the first `shares` of each class.

    labels: int64 [N], classes from 0. Returns bool [N].
    """
    marked = labels < 0
    examples = [(labels == label).nonzero()[0] for label in range(int(labels.max()) + 1)]
    quota = shares([len(rows) for rows in examples], count, leave)
    for rows, number in zip(examples, quota, strict=True):
        marked[rows[:number]] = True
    return marked
