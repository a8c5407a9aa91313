"""The headers of the arrays in a user's `.npz` file, and what types and shapes they may have.

Read without NumPy, which takes too long to import when a study is checked.
"""

import ast
import functools
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from optlab.errors import DataError

NPZ_PARTS = ("train", "val", "test")  # the first is needed
NPZ_ARRAYS = tuple(f"{letter}_{part}" for part in NPZ_PARTS for letter in "xy")
IMAGES = "uint8 images [N, H, W], [N, H, W, 1 or 3] or [N, 1 or 3, H, W]"
_TYPES = {"i": "int", "u": "uint", "f": "float", "c": "complex"}


class Header(NamedTuple):
    """The kind and item size of an array's type, as NumPy has them, and its shape."""

    kind: str
    size: int
    shape: tuple[int, ...]

    @property
    def type(self) -> str:
        """The type in NumPy's words."""
        name = _TYPES.get(self.kind)
        return f"{name}{8 * self.size}" if name else {"b": "bool"}.get(self.kind, self.kind)

    @property
    def example(self) -> tuple[int, ...]:
        """The shape of one example as it is stored: images have their channels first."""
        one = self.shape[1:]
        if self.kind == "f":
            return one or (1,)
        if len(one) == 2:
            return (1, *one)
        # If both ends could be the channels, the last axis is taken, as in most files.
        return (one[2], *one[:2]) if self.shape[3] in (1, 3) else one


def of_file(file: str) -> dict[str, Header]:
    """The headers of the arrays that are read; see `arrays_of`."""
    return arrays_of(file)[0]


def arrays_of(file: str) -> tuple[dict[str, Header], list[str]]:
    """The headers of the arrays that are read, and the names of those that are not.

    Raises:
        DataError: there is no such file, it is damaged, or an array is missing or not allowed.
    """
    try:
        status = os.stat(file)
        return _read(file, status.st_size, status.st_mtime_ns)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


@functools.lru_cache
def _read(file: str, _size: int, _mtime_ns: int) -> tuple[dict[str, Header], list[str]]:
    try:
        with zipfile.ZipFile(file) as archive:
            held = {Path(name).stem: name for name in archive.namelist() if name.endswith(".npy")}
            needed, unread = divided(held)
            found = {name: _header(archive, held[name]) for name in needed}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        problem = "not a .npz file, or a truncated one; write it with numpy.savez"
        raise DataError(problem) from error
    check(found)
    return found, unread


def _header(archive: zipfile.ZipFile, member: str) -> Header:
    try:
        with archive.open(member) as stream:
            magic = stream.read(8)
            length = int.from_bytes(stream.read(2 if magic[6] == 1 else 4), "little")
            if magic[:6] != b"\x93NUMPY" or length > 65_536:
                raise ValueError("another format")
            facts: dict[str, Any] = ast.literal_eval(stream.read(length).decode("latin-1").strip())
        kind = facts["descr"]
        if not isinstance(kind, str):  # of several fields
            return Header("V", 0, tuple(facts["shape"]))
        return Header(kind[1], int(kind[2:] or 0), tuple(map(int, facts["shape"])))
    except (ValueError, SyntaxError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"array {Path(member).stem} is damaged; write the file again") from error


def divided(held: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The names of the arrays that are read, and of those that are not.

    Raises:
        DataError: one is missing: those of the training set, or one of another pair.
    """
    found = [name for name in NPZ_ARRAYS if name in held]
    for first in range(0, len(NPZ_ARRAYS), 2):
        pair = NPZ_ARRAYS[first : first + 2]
        lacking = [name for name in pair if name not in held]
        if lacking and (first == 0 or len(lacking) == 1):
            needed = "x_train and y_train; x_val and y_val, x_test and y_test each both or neither"
            words = (
                f"array {lacking[0]} is missing (it holds {', '.join(sorted(held)) or 'nothing'})"
            )
            raise DataError(f"{words}; needed: {needed}")
    return found, sorted(held.keys() - set(found))


def check(found: Mapping[str, Header]) -> None:
    """Raise DataError for the first array that is not allowed, or has other rows than its pair."""
    for name, header in found.items():
        if 0 in header.shape:
            raise DataError(f"array {name} is empty (shape {list(header.shape)})")
        (inputs if name.startswith("x") else targets)(name, header)
    for part in parts(found):
        x, y = found[f"x_{part}"].shape[0], found[f"y_{part}"].shape[0]
        if x != y:
            raise DataError(f"x_{part} has {x} rows and y_{part} {y}; they must be equal")


def parts(found: Mapping[str, Any]) -> list[str]:
    """The parts of the data set of which there are arrays."""
    return [part for part in NPZ_PARTS if f"x_{part}" in found]


def inputs(name: str, header: Header) -> None:
    """Raise DataError if an array can be no x: uint8 images, or floats."""
    shape = header.shape
    if header.kind == "f":
        _has_rows(name, header)
    elif header.type != "uint8":
        raise _wrong_type(name, header, f"{IMAGES}, or floats")
    elif len(shape) != 3 and not (len(shape) == 4 and {shape[1], shape[3]} & {1, 3}):
        raise _wrong_shape(name, header, f"it must be {IMAGES}")


def targets(name: str, header: Header) -> None:
    """Raise DataError if an array can be no y: labels [N], or floats [N] or [N, outputs]."""
    shape = header.shape
    if header.kind == "f":
        _has_rows(name, header)
        if len(shape) > 2:
            raise _wrong_shape(name, header, "targets must be [N] or [N, outputs]")
    elif header.kind not in "iu":
        raise _wrong_type(name, header, "integers (classification) or floats (regression)")
    elif len(shape) != 1 and (len(shape) != 2 or shape[1] != 1):
        raise _wrong_shape(name, header, "labels must be [N]")


def _has_rows(name: str, header: Header) -> None:
    if not header.shape:
        raise DataError(f"array {name} is a single number; it must be [N, ...]")


def _wrong_type(name: str, header: Header, needed: str) -> DataError:
    if header.kind == "O":
        words = "holds Python objects, which are never unpickled; it must hold numbers"
        return DataError(f"array {name} {words}")
    return DataError(f"array {name} is of type {header.type}; it must be {needed}")


def _wrong_shape(name: str, header: Header, needed: str) -> DataError:
    return DataError(f"array {name} has the shape {list(header.shape)}; {needed}")
