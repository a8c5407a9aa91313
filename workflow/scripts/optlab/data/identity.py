"""The name of a prepared data set, which identifies everything that its tensors depend on."""

import functools
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from optlab import files
from optlab.catalogue.datasets import CORPUS, FURTHER, NPZ, PATHS, SOURCES, Definition
from optlab.catalogue.tasks import NEXT_TOKEN
from optlab.data import headers, listing, texts
from optlab.errors import DataError, Mistake, allowed, show

FOLDER = Path("results/data")
FORMAT = 1  # to be raised when the same definition gives other tensors


def prepared_path(name: str, definition: Definition) -> str:
    """The description of a prepared data set: ``results/data/<name>-<12 hex digits>.json``.

    The digits are a hash of the definition and of the content of a user's file, not of its path;
    of the text that comes with Python, too.

    Raises:
        DataError: the file cannot be read.
    """
    split = {key: definition.get(key) for key in ("validation", "split_seed", "subset")}
    return f"{FOLDER}/{name}-{_hash({**whole_identity(definition), **split})}.json"


def whole_identity(definition: Definition) -> dict[str, Any]:
    """What the arrays of a definition depend on before they are split.

    Raises:
        DataError: the file cannot be read.
    """
    source, file = definition["source"], definition.get("file")
    found = {"format": FORMAT, "source": source, "content": _digest(Path(file)) if file else None}
    if source == "topics":
        found["content"] = _digest(_documentation())
    for key in FURTHER[1:]:
        if (value := definition.get(key)) not in (None, False):
            found[key] = _digest(Path(value)) if key in PATHS else value
    if source == NPZ and file and "x_val" in headers.of_file(file):
        found["validation_of_its_own"] = True  # once nothing read these arrays
    if SOURCES[source].task == NEXT_TOKEN:
        found |= texts.settings(definition)
    if source == CORPUS:
        found["content"] = texts.corpus_digest()
    return found


def _documentation() -> Path:
    """The file of Python's documentation, which differs from one Python to another."""
    found = importlib.util.find_spec("pydoc_data.topics")
    if found is None or not found.origin:
        raise DataError("source topics: this Python lacks its documentation (pydoc_data.topics)")
    return Path(found.origin)


def mark(definition: Definition) -> str:
    """A hash of what the arrays of a definition depend on before they are split."""
    return _hash(whole_identity(definition))


def _hash(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def tensors(description: str) -> str:
    """The file with the tensors of the data set with this description."""
    return description.removesuffix(".json") + ".pt"


@functools.cache
def size(description: str, source: str, subset: int | None) -> tuple[int, tuple[int, ...]]:
    """The number of training examples and the shape of one: as prepared, else as published."""
    with suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        found = files.read_json(Path(description))
        return int(found["sizes"]["train"]), tuple(map(int, found["shape"]))
    entry = SOURCES.get(source, SOURCES[NPZ])
    return min(subset or entry.trained, entry.trained), entry.shape


def whole(definition: Definition) -> Definition:
    """The definition without its subset."""
    return {**definition, "subset": None}


def arguments(name: str, definition: Definition, archives: str | None) -> list[str]:
    """The options with which ``prepare_data.py`` prepares a data set."""
    options: dict[str, Any] = {"name": name, **definition, "archives": archives}
    given = {key.replace("_", "-"): value for key, value in options.items() if value is not None}
    words = [(key, one) for key, v in given.items() for one in (v if isinstance(v, list) else [v])]
    return [word for key, value in words for word in _option(key, str(value))]


def _option(key: str, value: str) -> list[str]:
    """An option as words of a command line: one, where the value could be taken for an option."""
    return [f"--{key}={value}"] if value.startswith("-") else [f"--{key}", value]


def mistakes(definition: Definition) -> Iterator[Mistake]:
    """What is wrong with a definition by itself, whether of a study or of a command line."""
    source, seed = definition["source"], definition.get("split_seed", 0)
    validation, subset = definition.get("validation"), definition.get("subset")
    if source not in SOURCES:
        yield ("source",), f"unknown source {show(source)}; {allowed(source, SOURCES)}"
    else:
        yield from _further_mistakes(definition)
        yield from _size_mistakes(definition.get("size"))
    if source == "line" and (validation or subset):
        yield (), "source line has four examples: neither validation nor subset can be set"
    if not (_is_whole(seed, 0) and seed < 2**32):
        yield ("split_seed",), f"{seed} is not a whole number from 0 to {2**32 - 1}"
    if subset is not None and not _is_whole(subset, 1):
        yield ("subset",), f"{subset} is not a number of examples, 1 or more"
    yield from _no_share("validation", validation)
    if source in SOURCES and SOURCES[source].task == NEXT_TOKEN:
        yield from _of_text(definition)


def _of_text(definition: Definition) -> Iterator[Mistake]:
    """What is wrong with how a text is cut."""
    given = {key: definition.get(key) for key in texts.DEFAULTS}
    if definition.get("split_seed"):
        yield ("split_seed",), "a text is divided in its order: there is nothing to draw"
    symbols, context = given["symbols"], given["context"]
    if symbols is not None and symbols not in texts.SYMBOLS:
        yield ("symbols",), f"{show(symbols)} is not known; {allowed(symbols, texts.SYMBOLS)}"
    if context is not None and not _is_whole(context, 1):
        yield ("context",), f"{show(context)} is not a number of symbols, 1 or more"
    yield from _no_share("test", given["test"])


def _no_share(key: str, value: Any) -> Iterator[Mistake]:
    """Whether a value is neither a number of examples nor a fraction of them."""
    fraction = isinstance(value, float) and 0 <= value < 1
    if value is not None and not (fraction or _is_whole(value, 0)):
        reason = "neither a number of examples (0, 1, ...) nor a fraction below 1"
        yield (key,), f"{value} is {reason}"


def _further_mistakes(definition: Definition) -> Iterator[Mistake]:
    """Keys that the source needs and does not have, or has and does not take."""
    source = definition["source"]
    entry = SOURCES[source]
    for key in FURTHER:
        given = definition.get(key) not in (None, "")
        if key in entry.needs and not given:
            yield (key,), f"source {source} needs {entry.needs[key]}"
        elif given and key not in (*entry.needs, *entry.takes):
            users = [name for name, one in SOURCES.items() if key in (*one.needs, *one.takes)]
            them = f"only source{'s' * (len(users) > 1)} {', '.join(users)}"
            if key == "file":
                do = "reads a file" if len(users) == 1 else "read a file"
                yield (key,), f"{them} {do}; source {source} has its own"
            else:
                yield (key,), f"{them} {'takes' if len(users) == 1 else 'take'} it, not {source}"


def _size_mistakes(size: Any) -> Iterator[Mistake]:
    if size is not None and not (len(size) == 2 and all(_is_whole(one, 1) for one in size)):
        yield ("size",), f"{show(size)} is not [height, width] in pixels"


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check(definition: Definition) -> None:
    """Raise DataError for the first mistake of a definition."""
    for key, message in mistakes(definition):
        raise DataError(": ".join([*map(str, key), message]))


def _digest(file: Path) -> str:
    """The SHA-256 of a user's file, or of all images of a folder."""
    try:
        if file.is_dir():
            found = listing.of(str(file))
            return _remembered_digest(str(file.absolute()), found.images, listing.stamp(found))
        status = file.stat()
        return _remembered_digest(str(file.absolute()), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


@functools.cache
def _remembered_digest(file: str, size: int, mtime_ns: int | str) -> str:
    """The SHA-256, from a cache on disk if size and time of the file are unchanged.

    Of a folder, the number of its images, and a hash of the sizes and times of all.
    """
    cache = FOLDER / ".digests.json"
    try:
        known = files.read_json(cache)
        entry = known.get(file, {})
        if entry.get("size") == size and entry.get("mtime_ns") == mtime_ns:
            return str(entry["sha256"])
    except (OSError, ValueError, AttributeError, KeyError):
        known = {}  # no cache, or a damaged one, which costs only time
    digest = listing.content(file) if isinstance(mtime_ns, str) else files.digest(Path(file))
    known = {**known, file: {"size": size, "mtime_ns": mtime_ns, "sha256": digest}}
    with suppress(OSError):  # a folder that cannot be written costs only time
        files.write(cache, json.dumps(known, indent=1), durable=False)
    return digest
