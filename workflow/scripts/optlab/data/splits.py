"""The split of a data set: canonical order, seeded permutation, stratified subset and validation.

Random numbers come from NumPy's RandomState, whose streams are frozen: every later version of NumPy
draws the same split.
"""

import numpy as np

from optlab.data.arrays import Arrays
from optlab.errors import DataError
from optlab.strata import stratified

TEST_SEED = 0  # like a published test set, ours does not depend on the seed of the split


def shuffled(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """A seeded permutation, int64 [N], that does not depend on the order of the rows.

    Rows are first sorted by the bytes of x, then of y, and then permuted.
    """
    order = np.lexsort((_row_bytes(y), _row_bytes(x)))
    return order[np.random.RandomState(seed).permutation(len(order))]


def split(
    arrays: Arrays, validation: float, subset: int | None, seed: int
) -> dict[str, np.ndarray]:
    """The arrays x_train, y_train, x_validation, ... as they are stored, without empty parts.

    validation: a number of examples, or a fraction (float below 1) of the training data;
    subset: how many training examples to keep, including validation (None: all).
    Raises DataError if there are too few examples, in all or of some class.
    """
    order = shuffled(arrays.x_train, arrays.y_train, seed)
    order = _keep(order, arrays, subset, 1 if validation == 0 else 2)
    held_out = _held_out(order, arrays, _count(validation, len(order)))
    test_order = shuffled(arrays.x_test, arrays.y_test, TEST_SEED)
    parts = {
        "train": (arrays.x_train, arrays.y_train, order[~held_out]),
        "validation": (arrays.x_train, arrays.y_train, order[held_out]),
        "test": (arrays.x_test, arrays.y_test, test_order),
    }
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


def _keep(order: np.ndarray, arrays: Arrays, subset: int | None, needed: int) -> np.ndarray:
    """The training order cut to the subset, which has `needed` or more examples of each class."""
    if subset is not None and subset > len(order):
        raise DataError(f"subset: {subset} examples asked for, but there are {len(order)}")
    if arrays.classes is None:
        return order[:subset]
    if subset is not None:
        order = order[stratified(arrays.y_train[order], subset)]
    per_class = np.bincount(arrays.y_train[order], minlength=arrays.classes)
    if per_class.min() < needed:
        where = "the training data" if subset is None else f"the subset of {subset} examples"
        found = f"{where} has {per_class.min()} examples of class {per_class.argmin()}"
        raise DataError(f"{found}; a stratified split needs {needed} or more of every class")
    return order


def _count(validation: float, examples: int) -> int:
    """The number of validation examples, which leaves some to train on."""
    if isinstance(validation, float) and 0 < validation < 1:
        validation = max(1, round(validation * examples))
    if validation >= examples:
        there = f"there are {examples} for training and validation"
        raise DataError(f"validation: {validation} examples asked for, but {there}; ask for fewer")
    return int(validation)


def _held_out(order: np.ndarray, arrays: Arrays, count: int) -> np.ndarray:
    """Which positions of the order are validation examples, bool [N]."""
    if arrays.classes is None or count == 0:
        return np.arange(len(order)) < count
    try:
        return stratified(arrays.y_train[order], count, leave=1)
    except DataError as error:
        raise DataError(f"validation: {error}") from error
