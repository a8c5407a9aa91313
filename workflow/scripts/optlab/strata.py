"""A share of each class: for the split of a data set, and for the examples that a seed draws."""

import numpy as np

from optlab.errors import DataError


def stratified(labels: np.ndarray, count: int, leave: int = 0) -> np.ndarray:
    """Mark `count` examples, the first ones of each class, in proportion to its frequency.

    Shares are rounded by largest remainders. labels: int64 [N], classes from 0. Returns bool [N].
    At least `leave` examples of each class stay unmarked, else DataError is raised.
    """
    per_class = np.bincount(labels)
    share = per_class * count  # in units of 1 / len(labels): whole numbers, without rounding
    quota = share // len(labels)
    by_remainder = np.argsort(-(share % len(labels)), kind="stable")
    while (short := count - quota.sum()) > 0:
        room = by_remainder[quota[by_remainder] < per_class[by_remainder] - leave]
        if not room.size:
            some = f"{count} of {len(labels)} examples"
            raise DataError(f"{some} leave no example of some classes; ask for fewer")
        quota[room[:short]] += 1
    marked = np.zeros(len(labels), dtype=bool)
    for label, examples in enumerate(quota):
        marked[np.flatnonzero(labels == label)[:examples]] = True
    return marked
