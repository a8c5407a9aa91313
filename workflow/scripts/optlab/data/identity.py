"""The name of a prepared data set, which stands for everything that its tensors depend on."""

from __future__ import annotations

import functools
import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from optlab import files
from optlab.catalogue.datasets import NPZ, SOURCES, Definition
from optlab.errors import DataError

FOLDER = Path("results/data")
FORMAT = 1  # of the prepared files: raised when the same definition gives other tensors


def prepared_path(name: str, definition: Definition) -> str:
    """The description of a prepared data set: ``results/data/<name>-<12 hex digits>.json``.

    The digits are a hash of the definition and of the content of a user's file, wherever it is.

    Raises:
        DataError: the definition makes no sense, or the file cannot be read.
    """
    check(definition)
    identity = {
        "format": FORMAT,
        "content": _digest(Path(definition["file"])) if definition.get("file") else None,
        **{key: definition.get(key) for key in ("source", "validation", "split_seed", "subset")},
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{FOLDER}/{name}-{digest[:12]}.json"


def tensors(description: str) -> str:
    """The file with the tensors of the data set that a file describes."""
    return description.removesuffix(".json") + ".pt"


@functools.cache
def size(description: str, source: str, subset: int | None) -> tuple[int, tuple[int, ...]]:
    """Training examples and the shape of one: as prepared, else as published."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(Path(description).read_text(encoding="utf-8"))
        return found["sizes"]["train"], tuple(found["shape"])
    entry = SOURCES.get(source, SOURCES[NPZ])
    return min(subset or entry.trained, entry.trained), entry.shape


def known_examples(description: str, definition: Definition) -> int | None:
    """Training examples of a data set; None where only preparing it will tell."""
    source = definition["source"]
    changed = definition["subset"] is not None or definition["validation"] is not None
    if Path(description).exists() or (source != NPZ and not changed):
        return size(description, source, None)[0]
    return None


def arguments(name: str, definition: Definition, archives: str | None) -> list[str]:
    """The options with which ``prepare_data.py`` prepares a data set."""
    options: dict[str, Any] = {"name": name, **definition, "archives": archives}
    given = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
    return [word for key, value in given.items() for word in (f"--{key}", str(value))]


def check(definition: Definition) -> None:
    """Raise DataError unless the definition makes sense by itself."""
    source, seed = definition.get("source"), definition.get("split_seed", 0)
    validation, subset = definition.get("validation"), definition.get("subset")
    if source not in SOURCES:
        raise DataError(f"source: {source} is unknown; there are {', '.join(SOURCES)}")
    if (source == NPZ) != bool(definition.get("file")):
        raise DataError("file: source npz needs the path of a .npz file, and no other source "
                        "takes one")  # fmt: skip
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise DataError(f"split_seed: {seed} is not a whole number from 0 to {2**32 - 1}")
    if type(subset) not in (int, type(None)) or (subset is not None and subset < 1):
        raise DataError(f"subset: {subset} is not a number of examples, 1 or more")
    wrong = validation is not None and (
        not (type(validation) is int and validation >= 0)
        and not (type(validation) is float and 0 <= validation < 1)
    )
    if wrong:
        raise DataError(f"validation: {validation} is neither a number of examples (0, 1, ...) "
                        "nor a fraction below 1")  # fmt: skip
    if source == "line" and (validation or subset):
        raise DataError("source line has four examples: neither validation nor subset can be set")


def _digest(file: Path) -> str:
    """The SHA-256 of a user's file."""
    try:
        status = file.stat()
        return _remembered_digest(str(file.absolute()), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


@functools.cache
def _remembered_digest(file: str, size: int, mtime_ns: int) -> str:
    """The SHA-256, from a cache on disk where size and time of the file are unchanged."""
    cache = FOLDER / ".digests.json"
    try:
        known = json.loads(cache.read_text())
        entry = known.get(file, {})
        if entry.get("size") == size and entry.get("mtime_ns") == mtime_ns:
            return str(entry["sha256"])
    except (OSError, ValueError, AttributeError, KeyError):
        known = {}  # no cache yet, or a damaged one; it only saves time
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    known = {**known, file: {"size": size, "mtime_ns": mtime_ns, "sha256": digest}}
    with suppress(OSError):  # a folder that cannot be written to costs time, no more
        files.write(cache, json.dumps(known, indent=1), durable=False)
    return digest
