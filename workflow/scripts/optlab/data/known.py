"""What is known of a data set before it is prepared, from the catalogue or a user's file."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from optlab import files
from optlab.catalogue.datasets import NPZ, SOURCES, Definition
from optlab.catalogue.tasks import CLASSIFICATION, NEXT_TOKEN, REGRESSION
from optlab.data import division, headers, identity, listing, texts
from optlab.data import notes as noted
from optlab.errors import DataError
from optlab.strata import shares

_seen: dict[str, Any] = {}  # by the mark of what has been looked at
PROGRAM = Path(__file__).parents[2] / "prepare_data.py"
OWN_VALIDATION = "validation: there is a validation set of its own; nothing else can be held out"


class Known(NamedTuple):
    """A data set as its source has it.

    Attributes:
        examples: of the training set, validation included.
        per_class: the same of each class; None for a regression, and for a user's `.npz` file.
        shape: of one example.
        task: one of `optlab.catalogue.tasks`.
        validation: examples of a validation set of its own; None where it is drawn.
        notes: what is to be noted, as far as it is known.
    """

    examples: int
    per_class: tuple[int, ...] | None
    shape: tuple[int, ...]
    task: str
    validation: int | None = None
    notes: tuple[str, ...] = ()


def source(definition: Definition) -> Known:
    """What the source of a definition has.

    Raises:
        DataError: the user's file cannot be read, or does not hold what it should.
    """
    entry = SOURCES[definition["source"]]
    if entry.looked:
        return _looked(definition)
    if definition.get("folder"):
        return _of_folder(definition)
    if entry.task == NEXT_TOKEN:
        windows, shape = texts.windows(definition), (texts.context(definition),)
        examples = windows.all - windows.test
        return Known(examples, None, shape, NEXT_TOKEN, notes=texts.notes(definition))
    if definition["source"] != NPZ:
        assert entry.task is not None
        return Known(entry.examples, entry.per_class or None, entry.shape, entry.task)
    found, unread = headers.arrays_of(str(definition["file"]))
    x, y = found["x_train"], found["y_train"]
    examples = x.shape[0] - (0 if "x_test" in found else division.tested(x.shape[0]))
    return Known(
        examples,
        None,
        x.example,
        REGRESSION if y.kind == "f" else CLASSIFICATION,
        found["x_val"].shape[0] if "x_val" in found else None,
        tuple(noted.of_headers(found, unread)),
    )


def _of_folder(definition: Definition) -> Known:
    """What the names of the files of a folder say."""
    found = listing.of(str(definition["folder"]))
    per_class = list(map(len, found.parts["train"]))
    if "test" not in found.parts:
        tested = shares(per_class, division.tested(sum(per_class)), leave=1)
        per_class = [have - take for have, take in zip(per_class, tested, strict=True)]
    return Known(
        sum(per_class),
        tuple(per_class),
        image_shape(definition),
        CLASSIFICATION,
        sum(map(len, found.parts["val"])) if "val" in found.parts else None,
        tuple(noted.of_listing(found)),
    )


def image_shape(definition: Definition) -> tuple[int, int, int]:
    """The shape of an image of a folder, channels first."""
    height, width = definition["size"]
    return definition.get("channels") or 3, height, width


def _looked(definition: Definition) -> Known:
    """What a look at the source has found, in a process of its own: the first time, then kept."""
    mark = identity.mark(definition)
    if mark not in _seen:
        _seen[mark] = _look(definition, identity.FOLDER / f".known-{mark}.json")
    return _seen[mark]


def _look(definition: Definition, file: Path) -> Known:
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        found = files.read_sealed(file)  # there is none yet, or it is damaged
        return Known(**{name: _frozen(found[name]) for name in Known._fields})
    whole = {**definition, **dict.fromkeys(("validation", "split_seed", "subset"))}
    command = [sys.executable, str(PROGRAM), *identity.arguments("", whole, None), "--look"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"status {done.returncode}"
        raise DataError(last.removeprefix("error: "))
    content = json.loads(done.stdout)
    with suppress(OSError):  # a folder that cannot be written costs only time
        files.write(file, json.dumps({**content, files.SEAL: files.seal(content)}), durable=False)
    return Known(**{name: _frozen(value) for name, value in content.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def validation(definition: Definition, examples: int) -> int | float:
    """The number of validation examples that are drawn, or their fraction of all examples."""
    if definition.get("validation") is not None:
        return definition["validation"]
    default = SOURCES[definition["source"]].validation
    return default / examples if isinstance(default, int) and definition.get("subset") else default


def sizes(definition: Definition) -> tuple[int, int]:
    """The numbers of training and of validation examples that preparation will leave.

    Raises:
        DataError: as `source`, or there are too few.
    """
    found, subset = source(definition), definition.get("subset")
    kept = subset or found.examples
    if found.validation is not None:
        if definition.get("validation") is not None:
            raise DataError(OWN_VALIDATION)
        division.check(found.examples, found.per_class, 0, subset)
        return kept, found.validation
    wanted = validation(definition, found.examples)
    division.check(found.examples, found.per_class, wanted, subset)
    held_out = division.held_out(wanted, kept)
    return kept - held_out, held_out


def drawn(definition: Definition) -> dict[str, int]:
    """The settings of a run whose seeds draw subsets of the size that the definition has.

    Raises:
        DataError: as `sizes`.
    """
    subset = int(definition["subset"])
    return {"subset": subset, "subset_validation": subset - sizes(definition)[0]}


def notes(study: Mapping[str, Any]) -> list[str]:
    """What is to be noted of the data sets that a resolved study uses, a line each."""
    used = {name for one in study["exercises"].values() for name in one["datasets"]}
    return [
        f"datasets.{name}: {note}"
        for name, definition in study["datasets"].items()
        if name in used
        for note in _notes(name, definition)
    ]


def _notes(name: str, definition: Definition) -> list[str]:
    """The notes on a data set: all of them once it is prepared."""
    try:
        description = Path(identity.prepared_path(name, definition))
        if description.is_file():
            return list(map(str, files.read_object(description).get("notes", [])))
        return list(source(definition).notes)
    except DataError:
        return []  # a mistake, reported elsewhere
