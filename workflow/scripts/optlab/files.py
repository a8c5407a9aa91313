"""Atomic writing: a file is seen complete or not at all, whenever the process is killed."""

import errno
import glob
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optlab import locks

SEAL = "description_sha256"  # the key that holds it


def write(path: Path, content: str, durable: bool = True) -> None:
    """Write a text file atomically."""
    with replacing(path, durable) as temporary:
        temporary.write_text(content, encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, in whatever way.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if it cannot be read, or holds something else."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def seal(content: Mapping[str, Any]) -> str:
    """A hash of a file's content, which the file holds too, so that damage is found."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_sealed(path: Path) -> Any:
    """The content of a JSON file without its seal; see `read_json`."""
    content = read_json(path)
    if SEAL in content and content.pop(SEAL) != seal(content):
        raise ValueError("damaged")
    return content


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary file that replaces ``path`` at the end.

    It is locked, so that the next process to write or `remove` the path knows those that a killed
    one has left, and removes them.

    Args:
        path: the file; its folder is created.
        durable: whether the content must survive a crash of the machine.
    """
    _tidy(path)
    temporary = _temporary(path)
    opened = locks.wait(temporary)
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # an error of a full disk does not name the file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(opened)


def remove(path: Path) -> None:
    """Remove a file, if it is there, and what killed processes have left of it."""
    path.unlink(missing_ok=True)
    _tidy(path)


def check(*paths: Path) -> None:
    """Make sure, before hours of work, that files can be written; their folders are created.

    Raises:
        OSError: one cannot be written.
    """
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        temporary = _temporary(path)
        try:
            temporary.touch()
            temporary.unlink()
        except OSError as error:
            error.filename = str(path)
            raise


def _temporary(path: Path) -> Path:
    """A file beside ``path`` that this process writes first; its folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _tidy(path: Path) -> None:
    """Remove the temporary files of a path whose process has ended."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        locks.remove_left(left)


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def arrays_hash(arrays: Mapping[str, Any]) -> str:
    """The SHA-256 of the names, types, shapes and values of NumPy arrays."""
    digest = hashlib.sha256()
    for name, values in arrays.items():
        digest.update(f"{name} {values.dtype} {values.shape};".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
