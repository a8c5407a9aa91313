"""Data sets as NumPy arrays before they are split, and the reader of a user's `.npz` file.

Every array of a user's file is checked. An error is one line that names the file, the array and
what is allowed.
"""

import itertools
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optlab.data import division, headers, notes, splits
from optlab.data.headers import Header
from optlab.errors import DataError


@dataclass(frozen=True)
class Arrays:
    """A data set as its source provides it.

    x_train, x_test: uint8 [N, C, H, W] or float32 [N, ...]; y_train, y_test: int64 [N] (classes
    from 0) or float32 [N, ...]. The test arrays are empty if there is no test set. Multiplied by
    `scale`, the pixels of images are in [0, 1]. `x_val`, `y_val`: a validation set of its own, else
    None. `test`: where its test set comes from, in words, if it is not as the catalogue says.
    `notes`: what was done as documented, but perhaps not as meant, in a line each. `class_names`:
    of the classes, where they are not numbers. `standard`: the `mean` and the `deviation` of each
    column with which x, and perhaps y, was standardised.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    scale: float
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None
    test: str = ""
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    standard: Mapping[str, Mapping[str, list[float]]] | None = None

    @property
    def classes(self) -> int | None:
        """The number of classes, or None for a regression."""
        return None if self.y_train.dtype.kind == "f" else int(self.y_train.max()) + 1


def read_npz(file: Path) -> Arrays:
    """Read and check a user's `.npz` file with the arrays x_train and y_train.

    x_val and y_val, and x_test and y_test, may be in it; without the latter, examples of the
    training set are the test set.

    x: uint8 images, stored as [N, C, H, W], or floats [N, ...], stored as float32 ([N] as [N, 1]).
    y: integers 0..classes-1 [N] (classification) or floats (regression, [N] as [N, 1]).

    Raises:
        DataError: the file cannot be read, or an array is not allowed.
    """
    try:
        found, unread = _load(file)
        clean = {n: (inputs if n.startswith("x") else _targets)(n, a) for n, a in found.items()}
        _check_pairs(clean)
        seen = {name: _header(array) for name, array in found.items()}
        told = [*notes.of_headers(seen, unread), *notes.of_values(found, clean)]
        scale = 1 / 255 if clean["x_train"].dtype == np.uint8 else 1.0
        none = {f"{letter}_test": clean[f"{letter}_train"][:0] for letter in "xy"}
        every: dict[str, Any] = {**none, **clean}
        read = Arrays(**every, scale=scale, notes=tuple(told))
        return read if "x_test" in clean else held_out(read)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def held_out(data: Arrays) -> Arrays:
    """A data set without a test set, whose training set loses some examples to one."""
    count = len(data.x_train)
    chosen, x, y = splits.test_set(data.x_train, data.y_train, division.tested(count))
    parts = {"x_train": x[~chosen], "y_train": y[~chosen], "x_test": x[chosen], "y_test": y[chosen]}
    return replace(data, **parts, test=division.tested_words(count, data.classes is None))


def _load(file: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays that are read by name, and the names of the others."""
    try:
        archive = np.load(file, allow_pickle=False)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        problem = "not a .npz file, or a truncated one; write it with numpy.savez"
        raise DataError(problem) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError("holds a single array, not a .npz file; write it with numpy.savez")
    with archive:
        needed, unread = headers.divided(dict.fromkeys(archive.files))
        return {name: _member(archive, name) for name in needed}, unread


def _member(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        array = archive[name]
    except MemoryError as error:
        raise DataError(f"array {name} does not fit into memory") from error
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        problem = "is damaged; write the file again"
        if "allow_pickle" in str(error):
            problem = "holds Python objects, which are never unpickled; it must hold numbers"
        raise DataError(f"array {name} {problem}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} is not an array; write the file with numpy.savez")
    if array.size == 0:
        raise DataError(f"array {name} is empty (shape {list(array.shape)})")
    return array


def inputs(name: str, x: np.ndarray) -> np.ndarray:
    """x as uint8 [N, C, H, W] or float32 [N, ...] (at least two axes)."""
    header = _header(x)
    headers.inputs(name, header)
    if x.dtype.kind == "f":
        return _floats(name, x)
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x.reshape(len(x), *header.example)


def _targets(name: str, y: np.ndarray) -> np.ndarray:
    """y as int64 [N] or float32 [N, outputs]."""
    headers.targets(name, _header(y))
    return _floats(name, y) if y.dtype.kind == "f" else y.reshape(-1).astype(np.int64)


def _header(array: np.ndarray) -> Header:
    return Header(array.dtype.kind, array.dtype.itemsize, array.shape)


def _floats(name: str, values: np.ndarray) -> np.ndarray:
    """Finite float32 values; a single axis [N] becomes [N, 1]."""
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite: an error below
        values = values.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if wrong.size:
        rows = f"{wrong.size} of {len(values)} rows, first in row {wrong[0]}"
        raise DataError(f"array {name} holds NaN or infinite values (as float32) in {rows}")
    return values[:, None] if values.ndim == 1 else values


def _check_pairs(arrays: dict[str, np.ndarray]) -> None:
    """Check what arrays must have in common: rows, types, shapes and classes."""
    others = headers.parts(arrays)[1:]
    for part in headers.parts(arrays):
        x, y = len(arrays[f"x_{part}"]), len(arrays[f"y_{part}"])
        if x != y:
            raise DataError(f"x_{part} has {x} rows and y_{part} {y}; they must be equal")
    for letter, part in itertools.product("xy", others):
        train, other = arrays[f"{letter}_train"], arrays[f"{letter}_{part}"]
        stored = [f"{array.dtype} {list(array.shape[1:])}" for array in (train, other)]
        if stored[0] != stored[1]:
            raise DataError(
                f"an example of {letter}_train is stored as {stored[0]} and one of {letter}_{part} "
                f"as {stored[1]}; they must have one type and shape"
            )
    if arrays["y_train"].dtype.kind == "i":
        _check_labels(arrays["y_train"], {f"y_{part}": arrays[f"y_{part}"] for part in others})


def _check_labels(train: np.ndarray, others: Mapping[str, np.ndarray]) -> None:
    """Check that the labels are 0..classes-1, and that every class is in the training data."""
    for name, labels in {"y_train": train, **others}.items():
        if (least := labels.min()) < 0:
            raise DataError(f"array {name} holds the label {least}; classes are counted from 0")
    present = np.unique(train)
    last = int(present[-1])
    if last < 1:
        raise DataError("array y_train holds a single class; there must be two or more")
    if len(present) <= last:
        missing = np.flatnonzero(present != np.arange(len(present)))[0]
        needed = f"it needs all classes up to its highest label {last}"
        raise DataError(f"array y_train has no example of class {missing}; {needed}")
    for name, labels in others.items():
        if labels.max() > last:
            classes = f"the classes of y_train are 0..{last}"
            raise DataError(f"array {name} holds the label {labels.max()}; {classes}")
