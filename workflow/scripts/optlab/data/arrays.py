"""Data sets as NumPy arrays, before they are split, and the reader of a user's own `.npz` file.

Every array of a user's file is checked here, so that whatever is wrong with it is one line that
names the file, the array and what would be right.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optlab.errors import DataError

NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
IMAGES = "uint8 images [N, H, W], [N, H, W, 1 or 3] or [N, 1 or 3, H, W]"


@dataclass(frozen=True)
class Arrays:
    """A data set as its source gives it.

    x_train, x_test: uint8 [N, C, H, W] or float32 [N, ...]; y: int64 [N] (classes from 0) or
    float32 [N, ...]. The test arrays are None where there is no test set. `scale` is the factor
    that brings x to [0, 1].
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    scale: float

    @property
    def classes(self) -> int | None:
        """The number of classes, or None for a regression."""
        return None if self.y_train.dtype.kind == "f" else int(self.y_train.max()) + 1


def read_npz(file: Path) -> Arrays:
    """Read and check a user's `.npz` file with the arrays x_train, y_train, x_test and y_test.

    x: uint8 images, stored as [N, C, H, W], or floats [N, ...], stored as float32 ([N] as [N, 1]).
    y: integers 0..classes-1 [N] (classification) or floats [N, ...] (regression, [N] as [N, 1]).
    Raises DataError.
    """
    found = _open(file)
    clean = {
        name: (_inputs if name.startswith("x") else _targets)(file, name, found[name])
        for name in NPZ_ARRAYS
    }
    for part in ("train", "test"):
        rows_x, rows_y = len(clean[f"x_{part}"]), len(clean[f"y_{part}"])
        if rows_x != rows_y:
            raise DataError(f"{file}: x_{part} has {rows_x} rows and y_{part} {rows_y}; "
                            "they must have as many")  # fmt: skip
    for letter in "xy":
        _check_same_kind(file, letter, clean[f"{letter}_train"], clean[f"{letter}_test"])
    if clean["y_train"].dtype.kind == "i":
        _check_labels(file, clean["y_train"], clean["y_test"])
    scale = 1 / 255 if clean["x_train"].dtype == np.uint8 else 1.0
    return Arrays(**clean, scale=scale)


def _open(file: Path) -> dict[str, np.ndarray]:
    """The four arrays by name. Raises DataError."""
    try:
        archive = np.load(file, allow_pickle=False)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: not a .npz file, or a truncated one; "
                        "write it with numpy.savez") from error  # fmt: skip
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{file}: holds a single array, not a .npz file; write it with numpy.savez")
    with archive:
        for name in NPZ_ARRAYS:
            if name not in archive.files:
                held = ", ".join(sorted(archive.files)) or "nothing"
                raise DataError(f"{file}: array {name} is missing (it holds {held}); needed: "
                                + ", ".join(NPZ_ARRAYS))  # fmt: skip
        return {name: _member(file, archive, name) for name in NPZ_ARRAYS}


def _member(file: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        array = archive[name]
    except MemoryError as error:
        raise DataError(f"{file}: array {name} does not fit into memory") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise DataError(f"{file}: array {name} is damaged; write the file again") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise DataError(f"{file}: array {name} is damaged; write the file again") from error
        raise DataError(f"{file}: array {name} holds Python objects; it must hold numbers "
                        "(objects are never unpickled)") from error  # fmt: skip
    if not isinstance(array, np.ndarray):
        raise DataError(f"{file}: {name} is not an array; write the file with numpy.savez")
    if array.size == 0:
        raise DataError(f"{file}: array {name} is empty (shape {list(array.shape)})")
    return array


def _inputs(file: Path, name: str, x: np.ndarray) -> np.ndarray:
    """x as uint8 [N, C, H, W] or float32 [N, ...] (at least two axes)."""
    if x.dtype.kind == "f":
        return _floats(file, name, x)
    if x.dtype != np.uint8:
        raise DataError(f"{file}: array {name} is of type {x.dtype}; it must be {IMAGES}, "
                        "or floats")  # fmt: skip
    if x.ndim == 3:
        return x[:, None]
    # Where both ends could be the channels, the last axis is: most files are written that way.
    if x.ndim == 4 and x.shape[3] in (1, 3):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return x
    raise DataError(f"{file}: array {name} has the shape {list(x.shape)}; it must be {IMAGES}")


def _targets(file: Path, name: str, y: np.ndarray) -> np.ndarray:
    """y as int64 [N] or float32 [N, ...] (at least two axes)."""
    if y.dtype.kind == "f":
        return _floats(file, name, y)
    if y.dtype.kind not in "iu":
        raise DataError(f"{file}: array {name} is of type {y.dtype}; it must be integers "
                        "(classification) or floats (regression)")  # fmt: skip
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(f"{file}: array {name} has the shape {list(y.shape)}; "
                        "labels must be [N]")  # fmt: skip
    return y.astype(np.int64)


def _floats(file: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Float32 values, a single axis [N] as [N, 1]. Raises DataError for NaN and infinity."""
    if values.ndim == 0:
        raise DataError(f"{file}: array {name} is a single number; it must be [N, ...]")
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite: found just below
        values = values.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if wrong.size:
        raise DataError(f"{file}: array {name} holds NaN or infinite values (as float32) in "
                        f"{wrong.size} of {len(values)} rows, first in row {wrong[0]}")  # fmt: skip
    return values[:, None] if values.ndim == 1 else values


def _check_same_kind(file: Path, letter: str, train: np.ndarray, test: np.ndarray) -> None:
    if train.dtype != test.dtype:
        raise DataError(f"{file}: {letter}_train is stored as {train.dtype} and {letter}_test as "
                        f"{test.dtype}; they must be of one type")  # fmt: skip
    if train.shape[1:] != test.shape[1:]:
        raise DataError(f"{file}: one example of {letter}_train has the shape "
                        f"{list(train.shape[1:])} and one of {letter}_test "
                        f"{list(test.shape[1:])}; they must be the same")  # fmt: skip


def _check_labels(file: Path, train: np.ndarray, test: np.ndarray) -> None:
    """Raise DataError unless the labels are 0..classes-1 with every class in the training data."""
    for name, labels in (("y_train", train), ("y_test", test)):
        if labels.min() < 0:
            raise DataError(f"{file}: array {name} holds the label {labels.min()}; "
                            "classes are counted from 0")  # fmt: skip
    present = np.unique(train)
    classes = int(present[-1]) + 1
    if classes < 2:
        raise DataError(f"{file}: array y_train holds a single class; there must be two or more")
    if len(present) < classes:
        missing = np.flatnonzero(present != np.arange(len(present)))[0]
        raise DataError(f"{file}: array y_train has no example of class {missing}, but labels up "
                        f"to {classes - 1}; every class must appear in it")  # fmt: skip
    if test.max() >= classes:
        raise DataError(f"{file}: array y_test holds the label {test.max()}; the classes of "
                        f"y_train are 0..{classes - 1}")  # fmt: skip
