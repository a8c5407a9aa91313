"""One trial of a search: one setting trained within the budget of the search."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from optlab.errors import UserError
from optlab.machine import devices
from optlab.study.carried import carried
from optlab.study.kinds.search import Search
from optlab.study.run import Run
from optlab.study.space import Setting
from optlab.training import datasets, loop
from optlab.training.datasets import Dataset, Split
from optlab.training.evaluation import Evaluation

TRAIN_LOSS_EXAMPLES = 1000  # few, because the training loss of a trial is only for information

# Fields that a search and its runs have in common.
_SAME = ("study", "exercise", "dataset", "data", "epochs", "precision", "threads", "seeds")


def load(search: Search) -> Dataset:
    """The prepared data set on the search's device; also sets the number of threads."""
    torch.set_num_threads(search.threads)
    return datasets.load(Path(search.data), devices.resolve(search.device))


def trial_data(search: Search) -> Dataset:
    """The data set as trials use it: with the budget's validation examples, without a test set.

    Prepared examples are in random order, so the first ones are a sample.

    Raises:
        UserError: there are fewer validation examples than the budget asks for, or none.
    """
    data = load(search)
    held_out = data.validation
    if held_out is None:
        raise UserError(f"the data set {data.name} has no validation examples to judge trials on")
    wanted = search.validation_examples or len(held_out.x)
    if wanted > len(held_out.x):
        raise UserError(
            f"validation_examples: {wanted}, but {data.name} has only {len(held_out.x)}"
        )
    return replace(data, validation=Split(held_out.x[:wanted], held_out.y[:wanted]), test=None)


def run_of(search: Search, chosen: Setting, epoch_examples: int | None) -> Run:
    """A setting as a run on a device of this machine."""
    network, optimizer = search.network, chosen.optimizer
    return Run(
        **{name: getattr(search, name) for name in _SAME},
        model=network,
        network=network,
        optimizer=optimizer,
        knobs=chosen.knobs,
        **carried(network, optimizer, chosen.knobs, chosen.network_options),
        batch_size=chosen.batch_size,
        **chosen.axes,
        epoch_examples=epoch_examples,
        train_loss_examples=TRAIN_LOSS_EXAMPLES,
        device=devices.resolve(search.device),
    )


def train(
    search: Search,
    chosen: Setting,
    data: Dataset,
    report: Callable[[Evaluation], None] = lambda evaluation: None,
) -> loop.Outcome:
    """Train a setting as a trial; ``report`` may raise to end it early.

    All trials have one seed, below zero, so that no retraining uses it.
    """
    run = run_of(search, chosen, search.epoch_examples)
    return loop.train(run, data, [-1 - search.seed], lambda _, row: report(row))[0]
