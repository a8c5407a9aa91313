"""What is known of a data set before it is prepared, from the catalogue or a user's file."""

from typing import NamedTuple

from optlab.catalogue.datasets import NPZ, SOURCES, Definition
from optlab.data import division, headers


class Known(NamedTuple):
    """A data set as its source has it.

    Attributes:
        examples: of the training set, validation included.
        per_class: the same of each class; None for a regression, and for a user's file.
        shape: of one example.
        task: "regression" or "classification".
    """

    examples: int
    per_class: tuple[int, ...] | None
    shape: tuple[int, ...]
    task: str


def source(definition: Definition) -> Known:
    """What the source of a definition has.

    Raises:
        DataError: the user's file cannot be read, or does not hold what it should.
    """
    entry = SOURCES[definition["source"]]
    if definition["source"] != NPZ:
        assert entry.task is not None
        return Known(entry.examples, entry.per_class or None, entry.shape, entry.task)
    found = headers.of_file(str(definition["file"]))
    x, y = found["x_train"], found["y_train"]
    task = "regression" if y.kind == "f" else "classification"
    return Known(x.shape[0], None, x.example, task)


def validation(definition: Definition, examples: int) -> int | float:
    """The number of validation examples, or their fraction of all training examples."""
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
    wanted = validation(definition, found.examples)
    division.check(found.examples, found.per_class, wanted, subset)
    kept = subset or found.examples
    held_out = division.held_out(wanted, kept)
    return kept - held_out, held_out
