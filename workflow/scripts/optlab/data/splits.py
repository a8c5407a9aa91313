"""The split of a data set: canonical order, seeded permutation, stratified subset and validation.

Random numbers come from NumPy's RandomState, whose streams are frozen: every later version of NumPy
draws the same split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optlab.data import division
from optlab.errors import DataError
from optlab.strata import stratified

if TYPE_CHECKING:
    from optlab.data.arrays import Arrays

TEST_SEED = 0  # like a published test set, ours does not depend on the seed of the split


def shuffled(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A seeded permutation, int64 [N], that does not depend on the order of the rows.

    Rows are first sorted by the bytes of x, then of y, and then permuted.
    """
    order = np.lexsort((_row_bytes(y), _row_bytes(x)))
    return order[np.random.RandomState(seed).permutation(len(order))]


def test_set(x: np.ndarray, y: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which examples are a test set of so many: a mask, and x and y in the order that it is of.

    Like a published one it does not depend on the seed of the split, nor on the order of the rows.
    It is stratified by class, where y are classes.
    """
    order = shuffled(x, y, TEST_SEED)
    x, y = x[order], y[order]
    if y.dtype.kind != "i":
        return np.arange(len(y)) < count, x, y
    try:
        return stratified(y, count, leave=1), x, y
    except DataError as error:
        words = f"there is no test set, and to hold out {count} of {len(y)} examples as one"
        raise DataError(f"{words} would leave no example of some class") from error


def split(
    arrays: Arrays, validation: float, subset: int | None, seed: int
) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_validation, ... as they are stored, without empty parts.

    validation: a number of examples, or a fraction (float below 1) of the training data;
    subset: how many training examples to keep, including validation (None: all). A validation set
    of its own stays as it is.
    Raises DataError if there are too few examples, in all or of some class.
    """
    examples, labels = len(arrays.x_train), arrays.y_train
    per_class = None if arrays.classes is None else np.bincount(labels).tolist()
    division.check(examples, per_class, validation, subset)
    order = shuffled(arrays.x_train, labels, seed)
    if subset is not None:
        order = order[:subset] if per_class is None else order[stratified(labels[order], subset)]
    count = division.held_out(validation, len(order))
    held_out = np.arange(len(order)) < count
    if per_class is not None and count:
        held_out = stratified(labels[order], count, leave=1)
    parts = {
        "train": (arrays.x_train, arrays.y_train, order[~held_out]),
        "validation": (arrays.x_train, arrays.y_train, order[held_out]),
        "test": (arrays.x_test, arrays.y_test, shuffled(arrays.x_test, arrays.y_test, TEST_SEED)),
    }
    if arrays.x_val is not None and arrays.y_val is not None:
        given = shuffled(arrays.x_val, arrays.y_val, TEST_SEED)
        parts["validation"] = (arrays.x_val, arrays.y_val, given)
    return {
        f"{letter}_{part}": values[rows]
        for part, (x, y, rows) in parts.items()
        if len(rows)
        for letter, values in (("x", x), ("y", y))
    }


def _row_bytes(values: np.ndarray) -> np.ndarray:
    """The rows as opaque bytes [N], which NumPy compares byte by byte."""
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    return rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
