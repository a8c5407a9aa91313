"""Data sets that need no download."""

import numpy as np

from optlab.data import splits
from optlab.data.arrays import Arrays
from optlab.strata import stratified


def line() -> Arrays:
    """Four points of y = 1 - x, without a test set; x and y are float32 [4, 1]."""
    x = np.array([[1], [2], [3], [4]], dtype=np.float32)
    return Arrays(x, 1 - x, x[:0], x[:0], scale=1.0)


def digits() -> Arrays:
    """Scikit-learn's 1,797 images of digits, uint8 [N, 1, 8, 8] with values 0 to 16.

    360 of them are the test set, the same for every seed of the split, like a published one.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    images, labels = load_digits(return_X_y=True)
    x, y = images.astype(np.uint8).reshape(-1, 1, 8, 8), labels.astype(np.int64)
    order = splits.shuffled(x, y, splits.TEST_SEED)
    x, y = x[order], y[order]
    test = stratified(y, 360)
    return Arrays(x[~test], y[~test], x[test], y[test], scale=1 / 16)
