"""Preparation of a data set: read it, split it, and write tensors with a description."""

import glob
import importlib
import io
import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from optlab import files, locks
from optlab.catalogue.datasets import NPZ, SOURCES, Definition, Source
from optlab.catalogue.tasks import NEXT_TOKEN
from optlab.data import archives, arrays, builtin, identity, known, splits, standard, windows
from optlab.data.arrays import Arrays
from optlab.errors import DISK_FULL, DataError

# Sources whose modules need what others do not, such as pandas.
READERS = {
    "folder": "folders:read",
    "csv": "tables:read",
    "parquet": "tables:read",
    "libsvm": "bags:libsvm",
    "words": "bags:words",
    "topics": "bags:about_python",
}
LOCK = "lock"  # in a temporary folder, held by its owner
UNOWNED_SECONDS = 60.0  # after which a folder without it is one that nobody makes or removes
_unfinished: dict[Path, int] = {}  # temporary folder -> its open, locked file


def prepare(name: str, definition: Definition, output: Path, folder: str | None) -> None:
    """Read, split and write a data set: a description to `output` and tensors beside it (`.pt`).

    The same input gives the same description, byte for byte. An error leaves no partial files.

    Args:
        name: the name in the study.
        definition: the definition in the study.
        output: the JSON file of the description.
        folder: a folder of downloaded archives, or None.

    Raises:
        DataError: the definition or the source is wrong, or the files cannot be written.
    """
    identity.check(definition)
    # On the same disk as the output: finished files are renamed, not copied.
    temporary = output.parent / f".{output.stem}-{secrets.token_hex(4)}"
    try:
        temporary.mkdir(parents=True)
        _unfinished[temporary] = locks.wait(temporary / LOCK)
        _remove_left(output)
        _write(*_made(name, definition, folder, temporary), temporary, output)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in DISK_FULL:
            reason = f"no room left on the disk ({reason}); free some and run again"
        raise DataError(f"{output}: cannot be written: {reason}") from error
    finally:
        abandon()


def in_memory(
    name: str, definition: Definition
) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays of a small data set, or of a user's, by name, and their description; else None.

    Raises:
        DataError: as `prepare`.
    """
    if SOURCES[definition["source"]].per_class:
        return None
    return _made(name, definition, None, Path())


def look(definition: Definition) -> known.Known:
    """What is known of a source once it has been read; see `known`.

    Raises:
        DataError: as `prepare`.
    """
    identity.check(definition)
    whole = _read(definition, None, Path())
    return known.Known(
        examples=len(whole.x_train),
        per_class=None if whole.classes is None else tuple(np.bincount(whole.y_train).tolist()),
        shape=whole.x_train.shape[1:],
        task=_task(whole),
        validation=None if whole.x_val is None else len(whole.x_val),
        notes=whole.notes,
    )


def _task(whole: Arrays) -> str:
    return "regression" if whole.classes is None else "classification"


def abandon() -> None:
    """Remove the temporary folders of this process; also called when a signal ends it."""
    for temporary, opened in tuple(_unfinished.items()):
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(opened)
        del _unfinished[temporary]


def _remove_left(output: Path) -> None:
    """Remove the temporary folders that killed processes have left of a data set."""
    for left in output.parent.glob(f".{glob.escape(output.stem)}-{'?' * 8}"):
        with suppress(OSError):  # it is gone meanwhile
            age = time.time() - left.stat().st_mtime
            unowned = age > UNOWNED_SECONDS and not (left / LOCK).exists()
            if locks.remove_left(left / LOCK) or unowned:
                shutil.rmtree(left, ignore_errors=True)


def _made(
    name: str, definition: Definition, folder: str | None, temporary: Path
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The stored arrays by name, and their sealed description."""
    if SOURCES[definition["source"]].task == NEXT_TOKEN:
        stored, description = windows.split(name, definition)
    else:
        stored, description = _split(name, definition, _read(definition, folder, temporary))
    return stored, {**description, files.SEAL: files.seal(description)}


def _read(definition: Definition, folder: str | None, temporary: Path) -> Arrays:
    """The data set as its source provides it."""
    published = SOURCES[definition["source"]].published
    if published:
        return archives.read(published, folder, temporary)
    if definition["source"] == NPZ:
        return arrays.read_npz(Path(definition["file"]))
    if definition["source"] in READERS:
        module, _, name = READERS[definition["source"]].partition(":")
        return getattr(importlib.import_module(f"optlab.data.{module}"), name)(definition)
    return getattr(builtin, definition["source"])()


def _split(
    name: str, definition: Definition, whole: Arrays
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The stored arrays by name, and their description."""
    source = SOURCES[definition["source"]]
    subset, seed = definition.get("subset"), definition.get("split_seed", 0)
    if definition["source"] == "line":
        stored = {"x_train": whole.x_train, "y_train": whole.y_train}
    else:
        validation = known.validation(definition, len(whole.x_train))
        if whole.x_val is not None:
            if definition.get("validation") is not None:
                raise DataError(known.OWN_VALIDATION)
            validation = 0
        try:
            stored = splits.split(whole, validation, subset, seed)
        except DataError as error:
            raise DataError(f"data set {name}: {error}") from error
    sizes = {part: len(stored.get(f"x_{part}", ())) for part in ("train", "validation", "test")}
    label = source.label or name
    description = {
        "name": name,
        "source": definition["source"],
        "label": f"{label}, {subset:,}-example subset" if subset else label,
        "task": _task(whole),
        "classes": whole.classes,
        "shape": list(whole.x_train.shape[1:]),
        "scale": whole.scale,
        "sizes": sizes,
        "split": _sentence(source, definition, whole, sizes),
        "seed": seed,
        "sha256": files.arrays_hash(stored),
        **_more(whole),
    }
    if whole.classes is None and whole.y_train.shape[1:] != (1,):
        description["targets"] = list(whole.y_train.shape[1:])
    if definition.get("normalize"):
        description["normalize"] = standard.of_channels(stored["x_train"], whole.scale)
    return stored, description


def _more(whole: Arrays) -> dict[str, Any]:
    """What the description says only of data sets that have it."""
    found = {
        "validation_of_its_own": whole.x_val is not None,
        "class_names": list(whole.class_names),
        "notes": list(whole.notes),
        "standard": whole.standard,
    }
    return {key: value for key, value in found.items() if value}


def _sentence(source: Source, definition: Definition, whole: Arrays, sizes: dict[str, int]) -> str:
    """The split in words."""
    how = "at random" if whole.classes is None else "stratified by class"
    drawn = f"drawn {how} with seed {definition.get('split_seed', 0)}"
    counts = ", ".join(f"{count:,} {part}" for part, count in sizes.items() if count)
    if definition["source"] == "line":
        return f"{counts} examples in their natural order; no validation or test set"
    held_out = f"validation {drawn}" if sizes["validation"] else "no validation set"
    if whole.x_val is not None:
        held_out = "validation set as in the file"
    if subset := definition.get("subset"):
        held_out = f"training set cut to {subset:,} of {len(whole.x_train):,}, {drawn}; {held_out}"
    return f"{counts} examples; {held_out}; test set {whole.test or source.test}"


def _write(
    stored: dict[str, np.ndarray], description: dict[str, Any], temporary: Path, output: Path
) -> None:
    """Write both files in the temporary folder, then rename them, tensors first."""
    import torch

    # Through memory: if torch writes the file, it hides why a write failed.
    content = io.BytesIO()
    torch.save({name: torch.from_numpy(x) for name, x in stored.items()}, content)
    tensors, draft = temporary / "tensors", temporary / "description"
    tensors.write_bytes(content.getbuffer())
    draft.write_text(json.dumps(description, indent=2) + "\n")
    os.replace(tensors, output.with_suffix(".pt"))
    try:
        os.replace(draft, output)
    except BaseException:
        output.with_suffix(".pt").unlink(missing_ok=True)
        raise
