"""What is known of a data set before it is prepared, from the catalogue or a user's file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from optlab import files
from optlab.catalogue.datasets import NPZ, SOURCES, Definition
from optlab.data import division, headers, identity
from optlab.data import notes as noted
from optlab.errors import DataError

OWN_VALIDATION = "validation: there is a validation set of its own; nothing else can be held out"


class Known(NamedTuple):
    """A data set as its source has it.

    Attributes:
        examples: of the training set, validation included.
        per_class: the same of each class; None for a regression, and for a user's `.npz` file.
        shape: of one example.
        task: "regression" or "classification".
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
        "regression" if y.kind == "f" else "classification",
        found["x_val"].shape[0] if "x_val" in found else None,
        tuple(noted.of_headers(found, unread)),
    )


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
