"""Where data sets come from: their definitions, and the file that each definition is prepared into.

The workflow imports this module at every parse, so only the standard library is imported here;
whatever reads, downloads or splits is imported by the function that needs it.

A definition is a dict with the keys

    source       a name of SOURCES
    file         the .npz file of source npz, None for the others
    validation   examples to hold out of the training set: a number, a fraction (below 1),
                 or None for the source's default, which shrinks in proportion with a subset
    split_seed   seed of the subset, of the validation split and of the training order
    subset       keep only so many training examples, the validation examples included,
                 in proportion to the classes; None keeps all. The test set is never cut.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optlab.errors import NO_ROOM, DataError

if TYPE_CHECKING:
    import numpy as np

    from optlab.arrays import Arrays

FOLDER = Path("results/data")
FORMAT = 1  # of the prepared files: raised when the same definition gives other tensors
_unfinished: set[Path] = set()


@dataclass(frozen=True)
class Source:
    """A place that a data set can come from.

    validation: the default, examples (int) or fraction of the training set (float).
    published: torchvision's name for it, None where it is not one of torchvision's.
    task: "regression" or "classification"; None where the user's labels say.
    """

    label: str
    task: str | None
    validation: int | float
    test: str
    published: str | None = None


SOURCES: dict[str, Source] = {
    "line": Source("Line", "regression", 0, "no test set"),
    "digits": Source("Digits", "classification", 360, "360 of the 1,797 images, stratified by "
                     "class, the same for every seed"),
    "mnist": Source("MNIST", "classification", 10_000, "as published", "MNIST"),
    "fashion_mnist": Source("Fashion-MNIST", "classification", 10_000, "as published",
                            "FashionMNIST"),
    "cifar10": Source("CIFAR-10", "classification", 5_000, "as published", "CIFAR10"),
    "npz": Source("", None, 1 / 6, "as in the file"),
}  # fmt: skip


def prepared_path(name: str, definition: Mapping[str, Any]) -> str:
    """Return where a data set is prepared: `results/data/<name>-<12 hex digits>.json`.

    The digits stand for all that the prepared tensors depend on, the content of a user's file
    included, and not for where that file lies. Raises DataError.
    """
    _check(definition)
    identity = {
        "format": FORMAT,
        "content": _digest(Path(definition["file"])) if definition.get("file") else None,
        **{key: definition.get(key) for key in ("source", "validation", "split_seed", "subset")},
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{FOLDER}/{name}-{digest[:12]}.json"


def prepare(name: str, definition: Mapping[str, Any], output: Path, archives: str | None) -> None:
    """Read, split and write a data set: tensors to `<output>.pt`, a description to `output` (JSON).

    archives: a folder of archives already downloaded, or None. The same input gives the same
    description, byte for byte. Whatever fails, nothing half-written stays. Raises DataError.
    """
    _check(definition)
    # In the same folder as the output, so that the finished files need only be renamed.
    temporary = output.parent / f".{output.stem}-{secrets.token_hex(4)}"
    _unfinished.add(temporary)
    try:
        temporary.mkdir(parents=True)
        _prepare(name, definition, output, archives, temporary)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in NO_ROOM:
            reason = f"no room left on the disk ({reason}); free some and run again"
        raise DataError(f"{output}: cannot be written: {reason}") from error
    finally:
        abandon()


def abandon() -> None:
    """Remove the temporary folders of this process: also called by a program that is stopped."""
    for temporary in tuple(_unfinished):
        shutil.rmtree(temporary, ignore_errors=True)
        _unfinished.discard(temporary)


def _check(definition: Mapping[str, Any]) -> None:
    """Raise DataError unless the definition makes sense by itself."""
    source, seed = definition.get("source"), definition.get("split_seed", 0)
    validation, subset = definition.get("validation"), definition.get("subset")
    if source not in SOURCES:
        raise DataError(f"source: {source} is unknown; there are {', '.join(SOURCES)}")
    if (source == "npz") != bool(definition.get("file")):
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
    """Return the SHA-256 of a user's file. Raises DataError where it cannot be read."""
    try:
        status = file.stat()
        return _remembered_digest(str(file.absolute()), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


@functools.cache
def _remembered_digest(file: str, size: int, mtime_ns: int) -> str:
    """Return the SHA-256, from the cache where size and time of the file are as they were."""
    cache = FOLDER / ".digests.json"
    try:
        known = json.loads(cache.read_text())
        entry = known.get(file, {})
        if entry.get("size") == size and entry.get("mtime_ns") == mtime_ns:
            return str(entry["sha256"])
    except (OSError, ValueError, AttributeError, KeyError):
        known = {}  # no cache yet, or a damaged one: it is only there to save time
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    known = {**known, file: {"size": size, "mtime_ns": mtime_ns, "sha256": digest}}
    with suppress(OSError):  # a results folder that cannot be written to costs time, no more
        cache.parent.mkdir(parents=True, exist_ok=True)
        _write(cache, json.dumps(known, indent=1))
    return digest


def _write(file: Path, text: str) -> None:
    """Write a small file in one step: a reader sees the old content or the new."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        draft.write_text(text)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _prepare(
    name: str, definition: Mapping[str, Any], output: Path, archives: str | None, temporary: Path
) -> None:
    """Make both files in the temporary folder, then put them in place, the description last."""
    tensors, description = _split(name, definition, archives, temporary)
    draft = {suffix: temporary / f"prepared{suffix}" for suffix in (".pt", ".json")}
    _save(tensors, draft[".pt"])
    draft[".json"].write_text(json.dumps(description, indent=2) + "\n")
    big = output.with_suffix(".pt")
    os.replace(draft[".pt"], big)
    try:
        os.replace(draft[".json"], output)
    except BaseException:
        big.unlink(missing_ok=True)
        raise


def _split(
    name: str, definition: Mapping[str, Any], archives: str | None, temporary: Path
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the stored arrays by name, and their description."""
    from optlab import splits

    source = SOURCES[definition["source"]]
    arrays = _read(definition, archives, temporary)
    subset, seed = definition.get("subset"), definition.get("split_seed", 0)
    if definition["source"] == "line":
        stored = {"x_train": arrays.x_train, "y_train": arrays.y_train}
    else:
        validation = _validation(definition, len(arrays.x_train))
        try:
            stored = splits.split(arrays, validation, subset, seed)
        except DataError as error:
            raise DataError(f"data set {name}: {error}") from error
    sizes = {part: len(stored.get(f"x_{part}", ())) for part in ("train", "validation", "test")}
    label = source.label or name
    description = {
        "name": name,
        "source": definition["source"],
        "label": f"{label}, {subset:,}-example subset" if subset else label,
        "task": "regression" if arrays.classes is None else "classification",
        "classes": arrays.classes,
        "shape": list(arrays.x_train.shape[1:]),
        "scale": arrays.scale,
        "sizes": sizes,
        "split": _sentence(source, definition, arrays, sizes),
        "seed": seed,
        "sha256": _content(stored),
    }
    return stored, description


def _read(definition: Mapping[str, Any], archives: str | None, temporary: Path) -> Arrays:
    """Return the data set as its source gives it."""
    from optlab import arrays

    source = SOURCES[definition["source"]]
    if source.published:
        from optlab.archives import read

        return read(source.published, archives, temporary)
    if definition["source"] == "npz":
        return arrays.read_npz(Path(definition["file"]))
    return arrays.line() if definition["source"] == "line" else arrays.digits()


def _validation(definition: Mapping[str, Any], examples: int) -> int | float:
    """Return how many examples, or which fraction of them, are for validation."""
    if definition.get("validation") is not None:
        return definition["validation"]
    default, subset = SOURCES[definition["source"]].validation, definition.get("subset")
    if isinstance(default, int) and subset:
        return default / examples
    return default


def _sentence(
    source: Source, definition: Mapping[str, Any], arrays: Arrays, sizes: dict[str, int]
) -> str:
    """Return the split in words."""
    how = "at random" if arrays.classes is None else "stratified by class"
    drawn = f"drawn {how} with seed {definition.get('split_seed', 0)}"
    counts = ", ".join(f"{count:,} {part}" for part, count in sizes.items() if count)
    if definition["source"] == "line":
        return f"{counts} examples in their natural order; no validation or test set"
    held_out = f"validation {drawn}" if sizes["validation"] else "no validation set"
    if subset := definition.get("subset"):
        held_out = f"training set cut to {subset:,} of {len(arrays.x_train):,}, {drawn}; {held_out}"
    return f"{counts} examples; {held_out}; test set {source.test}"


def _content(stored: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, values in stored.items():
        digest.update(f"{name} {values.dtype} {values.shape};".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _save(stored: dict[str, np.ndarray], file: Path) -> None:
    """Save the arrays as tensors. Raises OSError where they cannot be written."""
    import torch

    try:
        # Through a file object: with a path, torch hides why a write failed.
        with file.open("wb") as stream:
            torch.save({name: torch.from_numpy(x) for name, x in stored.items()}, stream)
    except RuntimeError as error:
        cause: BaseException | None = error
        while isinstance(cause, RuntimeError):  # what stopped the write: a full disk, a signal
            cause = cause.__context__
        raise cause or error from error
