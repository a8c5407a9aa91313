"""One trial of a search: a setting trained within the search's budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from optlab import datasets, devices, training
from optlab.datasets import Dataset, Split
from optlab.errors import UserError
from optlab.search_plan import Search
from optlab.search_space import Setting

TRAIN_LOSS_EXAMPLES = 1000  # the training loss of a trial is only looked at, never searched for


def device_of(search: Search) -> str:
    """Where the search trains.

    Raises:
        UserError: the study asks for a GPU and there is none.
    """
    return devices.resolve(search.device)


def trial_data(search: Search, data: Dataset) -> Dataset:
    """What a trial sees: the validation examples of its budget, and never the test set.

    Prepared examples are in a random order, so the first ones are a sample.

    Raises:
        UserError: there are fewer validation examples than the budget wants, or none.
    """
    held_out = data.validation
    if held_out is None:
        raise UserError(f"the data set {data.name} has no validation examples to judge trials on")
    wanted = search.validation_examples or len(held_out.x)
    if wanted > len(held_out.x):
        raise UserError(
            f"validation_examples: {wanted}, but {data.name} has only {len(held_out.x)}"
        )
    return replace(data, validation=Split(held_out.x[:wanted], held_out.y[:wanted]), test=None)


def trial_seed(search: Search) -> int:
    """The seed of all trials, below zero: no retraining has it."""
    return -1 - search.seed


def train(
    search: Search,
    chosen: Setting,
    data: Dataset,
    seed: int,
    report: Callable[[training.Evaluation], None] = lambda evaluation: None,
    epoch_examples: int | None = None,
) -> training.Outcome:
    """Train one setting; ``report`` may raise to end it early."""
    settings = training.Settings(
        network=search.network,
        network_options=chosen.network_options,
        optimizer=chosen.optimizer,
        knobs=chosen.knobs,
        batch_size=chosen.batch_size,
        epochs=search.epochs,
        precision=search.precision,
        device=device_of(search),
        train_loss_examples=TRAIN_LOSS_EXAMPLES,
        epoch_examples=epoch_examples,
    )
    return training.train(settings, data, seed, report)


def load(search: Search) -> Dataset:
    """The prepared data set on the search's device; also sets the number of threads."""
    torch.set_num_threads(search.threads)
    return datasets.load(Path(search.data), device_of(search))
