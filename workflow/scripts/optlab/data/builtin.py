"""Data sets that need no download."""

import numpy as np

from optlab.data.arrays import Arrays
from optlab.data.standard import divided, standardised


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
    return divided(
        images.astype(np.uint8).reshape(-1, 1, 8, 8), labels.astype(np.int64), 360, scale=1 / 16
    )


def breast_cancer() -> Arrays:
    """Scikit-learn's 569 cell samples, standardised, float32 [N, 30]: 0 malignant, 1 benign.

    114 of them are the test set.
    """
    from sklearn.datasets import load_breast_cancer

    x, labels = load_breast_cancer(return_X_y=True)
    return standardised(divided(x, labels.astype(np.int64), 114))


def wine() -> Arrays:
    """Scikit-learn's 178 wines of three growers, standardised, float32 [N, 13].

    36 of them are the test set.
    """
    from sklearn.datasets import load_wine

    x, labels = load_wine(return_X_y=True)
    return standardised(divided(x, labels.astype(np.int64), 36))


def diabetes() -> Arrays:
    """Scikit-learn's 442 patients, 10 measurements each, float32 [N, 10]: a regression.

    The target is the progression of the disease a year later. Inputs and targets are standardised,
    so that the loss of the mean is 1 and rates are those of other data sets. 88 are the test set.
    """
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    return standardised(divided(x, y[:, None], 88))
