"""Whether a training set has enough examples for a subset and a validation set.

By numbers alone, so that it is known when a study is checked; preparation asks the same.
"""

from collections.abc import Sequence

from optlab.errors import DataError
from optlab.strata import shares


def check(
    examples: int, per_class: Sequence[int] | None, validation: float, subset: int | None
) -> None:
    """Raise DataError if there are too few examples, in all or of some class.

    Args:
        examples: of the training set.
        per_class: the same of each class; None for a regression.
        validation: a number of examples, or a fraction (below 1) of what the subset leaves.
        subset: how many of the examples are kept, for training and validation; None: all.
    """
    if subset is not None and subset > examples:
        raise DataError(f"subset: {subset} examples asked for, but there are {examples}")
    kept = examples if subset is None else subset
    if per_class is None:
        held_out(validation, kept)
        return
    if subset is not None:
        per_class = shares(per_class, subset)
    fewest, needed = min(per_class), 1 if validation == 0 else 2
    if fewest < needed:
        where = "the training data" if subset is None else f"the subset of {subset} examples"
        found = f"{where} has {fewest} examples of class {list(per_class).index(fewest)}"
        raise DataError(f"{found}; a stratified split needs {needed} or more of every class")
    if count := held_out(validation, kept):
        try:
            shares(per_class, count, leave=1)
        except DataError as error:
            raise DataError(f"validation: {error}") from error


TESTED = 0.2  # of the examples of a source without a test set


def tested(examples: int) -> int:
    """How many of the examples of a source without a test set are one."""
    return held_out(TESTED, examples)


def tested_words(examples: int, regression: bool) -> str:
    """The same in words."""
    how = "drawn at random" if regression else "stratified by class"
    return f"{tested(examples):,} of the {examples:,} examples, {how}, the same for every seed"


def held_out(validation: float, examples: int) -> int:
    """The number of validation examples, which leaves some to train on."""
    if isinstance(validation, float) and 0 < validation < 1:
        validation = max(1, round(validation * examples))
    if validation >= examples:
        there = f"there are {examples} for training and validation"
        raise DataError(f"validation: {validation} examples asked for, but {there}; ask for fewer")
    return int(validation)
