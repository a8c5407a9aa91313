"""Texts as sequences of symbols: a user's file, and the documentation that comes with Python.

Read without NumPy, which takes too long to import when a study is checked. A text is divided into
windows of ``context`` + 1 symbols: all but the last are what a network sees, all but the first are
what it is to predict. The last windows are the test set, those before it validation.
"""

import functools
import hashlib
import os
import platform
from pathlib import Path
from typing import NamedTuple

from optlab.catalogue.datasets import CORPUS, Definition
from optlab.data import division
from optlab.errors import DataError

SYMBOLS = ("characters", "bytes")
DEFAULTS = {"symbols": "characters", "context": 128, "test": 0.1}
# The corpus with which this project's figures were measured; other releases have another one.
MEASURED_WITH = "Python 3.11.7"
MEASURED = "2a95af4ac93f5b719944030ce3769070ddf827d847cba42192afa8da989e5dc4"


class Windows(NamedTuple):
    """The number of windows of a text: in all, and of these at its end for the test set."""

    all: int
    test: int


def settings(definition: Definition) -> dict[str, object]:
    """How a text is cut: ``symbols``, ``context`` and ``test``, with their defaults."""
    given = {key: definition.get(key) for key in DEFAULTS}
    return {key: DEFAULTS[key] if value is None else value for key, value in given.items()}


def context(definition: Definition) -> int:
    """The number of symbols that a network sees."""
    return int(str(settings(definition)["context"]))


def windows(definition: Definition) -> Windows:
    """The windows of the text of a definition.

    Raises:
        DataError: the text cannot be read, or is too short.
    """
    length, wanted = context(definition) + 1, settings(definition)["test"]
    symbols = length_of(definition)
    count = symbols // length
    least = 1 + bool(wanted) + (definition.get("validation") != 0)
    if count < least:
        longest = symbols // least - 1
        words = f"has {symbols} symbols, too few for {least} windows of {length} (context + 1)"
        right = f"a context of at most {longest}, or " if longest > 0 else ""
        raise DataError(f"{name_of(definition)}: {words}; use {right}a longer text")
    try:
        return Windows(count, division.held_out(wanted, count))  # type: ignore[arg-type]
    except DataError as error:
        words = str(error).removeprefix("validation: ").partition(" for training")[0]
        raise DataError(f"test: {words} windows; ask for fewer") from error


def name_of(definition: Definition) -> str:
    """The text in an error: its file, or the source."""
    return str(definition.get("file") or definition["source"])


def length_of(definition: Definition) -> int:
    """The number of symbols of a text."""
    if definition["source"] == CORPUS:
        return len(read(definition))
    file, kind = str(definition["file"]), str(settings(definition)["symbols"])
    try:
        status = os.stat(file)
        return _length(file, kind, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


@functools.lru_cache
def _length(file: str, kind: str, size: int, _mtime_ns: int) -> int:
    return size if kind == "bytes" and size else len(_content(file, kind))


def read(definition: Definition) -> str | bytes:
    """The text of a definition, as its symbols.

    Raises:
        DataError: the file cannot be read, is empty, or is not UTF-8.
    """
    file, kind = definition.get("file"), str(settings(definition)["symbols"])
    if definition["source"] == CORPUS:
        return corpus() if kind == "characters" else corpus().encode()
    try:
        return _content(str(file), kind)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _content(file: str, kind: str) -> str | bytes:
    content = Path(file).read_bytes()
    if not content:
        raise DataError(f"{file}: is empty")
    if kind == "bytes":
        return content
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{file}: is UTF-16; save it as UTF-8, or use symbols: bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{content[error.start]:02x} at position {error.start}"
        line = content.count(b"\n", 0, error.start) + 1
        words = f"is not UTF-8 ({found}, in line {line}); save it as UTF-8, or use symbols: bytes"
        raise DataError(f"{file}: {words}") from error


@functools.cache
def corpus() -> str:
    """The topics of Python's documentation in alphabetical order, joined by line ends."""
    from pydoc_data.topics import topics  # type: ignore[import-untyped]

    return "\n".join(topics[name] for name in sorted(topics))


@functools.cache
def corpus_digest() -> str:
    """The SHA-256 of the corpus, which differs between versions of Python."""
    return hashlib.sha256(corpus().encode()).hexdigest()


def is_measured() -> bool:
    """Whether the corpus is the one with which this project's figures were measured."""
    return corpus_digest() == MEASURED


def notes(definition: Definition) -> tuple[str, ...]:
    """What is to be noted of a text."""
    if definition["source"] != CORPUS or is_measured():
        return ()
    version, known = platform.python_version(), MEASURED_WITH
    return (f"the text is that of Python {version}; our figures are of that of {known}",)
