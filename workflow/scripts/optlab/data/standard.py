"""Test sets that we hold out, inputs and targets standardised without them, guesses at targets."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from optlab.data import division, splits
from optlab.data.arrays import Arrays
from optlab.errors import DataError, show

MOST_CLASSES = 20  # values of whole numbers up to which they are taken for classes


def of_channels(x: np.ndarray, scale: float) -> dict[str, list[float]]:
    """Mean and deviation of inputs [N, ...], of each channel of images, or of each column.

    They are those of the inputs as networks get them: bytes of images are multiplied by ``scale``.
    """
    by_column = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    if x.dtype != np.uint8:
        return Scale.of(by_column.astype(np.float64)).said()
    counts = [np.bincount(column, minlength=256).tolist() for column in by_column.T]
    sums = [sum(value * count for value, count in enumerate(one)) for one in counts]
    squares = [sum(value**2 * count for value, count in enumerate(one)) for one in counts]
    mean = [total / len(by_column) for total in sums]
    # Of whole numbers, so that nothing is lost where two large numbers are nearly equal.
    spread = [s * len(by_column) - t**2 for s, t in zip(squares, sums, strict=True)]
    deviation = [math.sqrt(one) / len(by_column) or 1 / scale for one in spread]
    return {"mean": [scale * one for one in mean], "deviation": [scale * one for one in deviation]}


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

    def said(self) -> dict[str, list[float]]:
        """Both, as the description of a data set has them."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}


def standardised(data: Arrays) -> Arrays:
    """The data set with inputs, and targets of a regression, of mean 0 and deviation 1.

    Over all that is not the test set: validation examples count, so that values are the same for
    every seed of the split.
    """
    x = Scale.of(data.x_train)
    said = {"x": x.said()}
    found = replace(data, x_train=x(data.x_train), x_test=x(data.x_test), standard=said)
    if data.classes is not None:
        return found
    y = Scale.of(data.y_train)
    said["y"] = y.said()
    return replace(found, y_train=y(data.y_train), y_test=y(data.y_test))


def divided(x: np.ndarray, y: np.ndarray, test: int | None = None, scale: float = 1.0) -> Arrays:
    """The data set with a test set of so many examples, or the usual share of all.

    y are int64 classes, by which the test set is stratified, or floats. It is the same for every
    seed of the split, like a published one.
    """
    count = division.tested(len(y)) if test is None else test
    held_out, x, y = splits.test_set(x, y, count)
    return Arrays(x[~held_out], y[~held_out], x[held_out], y[held_out], scale)


def targets(
    numbers: np.ndarray, name: str, task: str | None
) -> tuple[np.ndarray, list[str] | None, list[str]]:
    """What finite numbers are as targets: classes, or those of a regression.

    Args:
        numbers: float64 [N].
        name: of the target, as messages name it.
        task: what the user says that they are, if anything.

    Returns:
        The targets, the names of the classes (None for a regression), and what is to be noted.
    """
    distinct = np.unique(numbers)
    told = []
    if task is None:
        is_whole = bool((numbers == numbers.round()).all())
        task = "classification" if is_whole and len(distinct) <= MOST_CLASSES else "regression"
        if is_whole:
            as_what = "classes" if task == "classification" else "numbers of a regression"
            words = f"the target {name} holds {len(distinct)} different whole numbers"
            told.append(f"{words}, which are taken for {as_what}; `task` says what they are")
    if task == "regression":
        return numbers[:, None], None, told
    return np.searchsorted(distinct, numbers), [f"{one:.15g}" for one in distinct], told


def finished(data: Arrays, classes: Sequence[str] | None, told: Sequence[str], file: str) -> Arrays:
    """The data set with its notes and the names of its classes, or its targets standardised.

    Raises:
        DataError: there is one class, or one that only the test set has.
    """
    if classes is None:
        scale = Scale.of(data.y_train)
        by = f"minus {scale.mean[0]:.6g}, divided by {scale.deviation[0]:.6g}"
        told = (*told, f"the target is standardised: {by}")
        y_train, y_test = scale(data.y_train), scale(data.y_test)
        return replace(data, y_train=y_train, y_test=y_test, notes=told)
    if len(classes) < 2:
        raise DataError(f"{file}: the target holds a single class; there must be two or more")
    if len(missing := np.setdiff1d(data.y_test, data.y_train)):
        words = f"class {show(classes[missing[0]])} is in the test set, and in no other example"
        raise DataError(f"{file}: {words}")
    return replace(data, notes=tuple(told), class_names=tuple(classes))
