"""Test sets that we hold out, and inputs and targets that are standardised without them."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from optlab.data import division, splits
from optlab.data.arrays import Arrays


class Scale(NamedTuple):
    """Mean and deviation of each column."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Scale":
        """Those of float64 [N, columns]. Sums are exact: every machine prepares the same bytes.

        The deviation of a constant column is 1, so that it becomes 0.
        """
        mean = np.array([math.fsum(column) / len(values) for column in values.T])
        squares = ((values - mean) ** 2).T
        deviation = np.sqrt([math.fsum(column) / len(values) for column in squares])
        return cls(mean, np.where(deviation > 0, deviation, 1.0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The values with mean 0 and deviation 1, as float32."""
        return ((values - self.mean) / self.deviation).astype(np.float32)


def standardised(data: Arrays) -> Arrays:
    """The data set with inputs, and targets of a regression, of mean 0 and deviation 1.

    Over all that is not the test set: validation examples count, so that values are the same for
    every seed of the split.
    """
    x = Scale.of(data.x_train)
    found = replace(data, x_train=x(data.x_train), x_test=x(data.x_test))
    if data.classes is not None:
        return found
    y = Scale.of(data.y_train)
    return replace(found, y_train=y(data.y_train), y_test=y(data.y_test))


def divided(x: np.ndarray, y: np.ndarray, test: int | None = None, scale: float = 1.0) -> Arrays:
    """The data set with a test set of so many examples, or the usual share of all.

    y are int64 classes, by which the test set is stratified, or floats. It is the same for every
    seed of the split, like a published one.
    """
    count = division.tested(len(y)) if test is None else test
    held_out, x, y = splits.test_set(x, y, count)
    return Arrays(x[~held_out], y[~held_out], x[held_out], y[held_out], scale)
