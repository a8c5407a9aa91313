"""Data sets that need no download."""

import math
from dataclasses import replace

import numpy as np

from optlab.data import splits
from optlab.data.arrays import Arrays


def line() -> Arrays:
    """Four points of y = 1 - x, without a test set; x and y are float32 [4, 1]."""
    x = np.array([[1], [2], [3], [4]], dtype=np.float32)
    return Arrays(x, 1 - x, x[:0], x[:0], scale=1.0)


def digits() -> Arrays:
    """Scikit-learn's 1,797 images of digits, uint8 [N, 1, 8, 8] with values 0 to 16.

    360 of them are the test set.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    images, labels = load_digits(return_X_y=True)
    return _divided(images.astype(np.uint8).reshape(-1, 1, 8, 8), labels, 360, scale=1 / 16)


def breast_cancer() -> Arrays:
    """Scikit-learn's 569 cell samples, standardised, float32 [N, 30]: 0 malignant, 1 benign.

    114 of them are the test set.
    """
    from sklearn.datasets import load_breast_cancer

    x, labels = load_breast_cancer(return_X_y=True)
    return _standardised(_divided(x, labels, 114))


def wine() -> Arrays:
    """Scikit-learn's 178 wines of three growers, standardised, float32 [N, 13].

    36 of them are the test set.
    """
    from sklearn.datasets import load_wine

    x, labels = load_wine(return_X_y=True)
    return _standardised(_divided(x, labels, 36))


def _divided(x: np.ndarray, labels: np.ndarray, test: int, scale: float = 1.0) -> Arrays:
    """The data set with a test set of so many examples, stratified by class.

    It is the same for every seed of the split, like a published one.
    """
    held_out, x, y = splits.test_set(x, labels.astype(np.int64), test)
    return Arrays(x[~held_out], y[~held_out], x[held_out], y[held_out], scale)


def _standardised(data: Arrays) -> Arrays:
    """The data set with inputs of mean 0 and deviation 1 over all that is not the test set.

    Validation examples count, so that the inputs are the same for every seed of the split. Sums are
    exact: every machine prepares the same bytes.
    """
    count = len(data.x_train)
    mean = np.array([math.fsum(column) / count for column in data.x_train.T])
    squares = ((data.x_train - mean) ** 2).T
    deviation = np.sqrt([math.fsum(column) / count for column in squares])
    x_train, x_test = (
        ((x - mean) / deviation).astype(np.float32) for x in (data.x_train, data.x_test)
    )
    return replace(data, x_train=x_train, x_test=x_test)
