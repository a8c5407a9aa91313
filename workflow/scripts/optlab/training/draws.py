"""The examples of a seed, where seeds vary them: its own subset, its own validation examples.

Both are drawn from the prepared training and validation examples together, stratified by class,
with random numbers that depend on the seed alone. So every optimizer gets the same examples, and so
does a run that is taken up again. The test set is that of every seed.
"""

import dataclasses

import torch
from torch import Tensor

from optlab.catalogue.tasks import CLASSIFICATION
from optlab.errors import DataError
from optlab.strata import stratified
from optlab.training.batches import derived_seed
from optlab.training.datasets import Dataset, Split
from optlab.training.settings import Settings


def of_seed(settings: Settings, data: Dataset, seed: int) -> Dataset:
    """The data set as a seed draws it; ``data`` itself where seeds do not vary the examples.

    Raises:
        DataError: there are too few examples, in all or of some class.
    """
    if not settings.varies_examples:
        return data
    if data.own_validation and "split" in settings.vary:
        raise DataError(f"{data.name} has a validation set of its own, which is not drawn")
    parts = [data.train]
    if data.validation is not None and not data.own_validation:
        parts.append(data.validation)
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    labels = y.cpu() if data.task == CLASSIFICATION else None
    rows = torch.arange(len(y))
    if "subset" in settings.vary:
        rows = _subset(_shuffled(rows, "subset", seed), labels, settings, data)
    rows = _shuffled(rows, "split", settings.seed_of("split", seed))
    held_out = 0 if data.own_validation else sizes(settings, data)["validation"]
    if held_out >= len(rows):
        words = f"{held_out} of {len(rows)} examples for validation"
        raise DataError(f"{data.name}: {words} leave none to train on")
    validation, rest = _divided(rows, labels, held_out, leave=1)

    def split(chosen: Tensor) -> Split:
        chosen = chosen.to(x.device)
        return Split(x.index_select(0, chosen), y.index_select(0, chosen))

    drawn = split(validation) if held_out else data.validation if data.own_validation else None
    return dataclasses.replace(data, train=split(rest), validation=drawn)


def sizes(settings: Settings, data: Dataset) -> dict[str, int]:
    """The number of examples of each seed in each part: train, validation and test."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    found = {name: 0 if part is None else len(part.x) for name, part in parts.items()}
    if settings.subset is not None:
        held_out = settings.subset_validation
        found["train"] = settings.subset - held_out
        found["validation"] = found["validation"] if data.own_validation else held_out
    return found


def _shuffled(rows: Tensor, purpose: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(derived_seed(purpose, seed))
    return rows[torch.randperm(len(rows), generator=generator)]


def _subset(rows: Tensor, labels: Tensor | None, settings: Settings, data: Dataset) -> Tensor:
    """As many of these rows as the subset has, enough of each class to hold one out."""
    count = settings.subset or 0
    if count > len(rows):
        raise DataError(f"subset: {count} of the {len(rows)} examples of {data.name} asked for")
    chosen, _ = _divided(rows, labels, count)
    if labels is not None:
        needed = 2 if settings.subset_validation else 1
        fewest = torch.bincount(labels[chosen], minlength=data.classes or 0).min()
        if fewest < needed:
            words = f"a subset of {count} examples of {data.name} has {fewest} of some class"
            raise DataError(f"{words}; a stratified split needs {needed} or more")
    return chosen


def _divided(
    rows: Tensor, labels: Tensor | None, count: int, leave: int = 0
) -> tuple[Tensor, Tensor]:
    """The first ``count`` rows, of each class its share, and the rest."""
    if labels is None:
        return rows[:count], rows[count:]
    try:
        marked = torch.from_numpy(stratified(labels[rows].numpy(), count, leave))
    except DataError:
        words = f"{count} of {len(rows)} examples leave none of some classes"
        raise DataError(words) from None
    return rows[marked], rows[~marked]
