"""Atomic writing: a file is seen complete or not at all, whenever the process is killed."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write(path: Path, content: str, durable: bool = True) -> None:
    """Write a text file atomically."""
    with replacing(path, durable) as temporary:
        temporary.write_text(content, encoding="utf-8")


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary file that replaces ``path`` at the end.

    Args:
        path: the file; its folder is created.
        durable: whether the content must survive a crash of the machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
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


def arrays_hash(arrays: Mapping[str, Any]) -> str:
    """The SHA-256 of the names, types, shapes and values of NumPy arrays."""
    digest = hashlib.sha256()
    for name, values in arrays.items():
        digest.update(f"{name} {values.dtype} {values.shape};".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
