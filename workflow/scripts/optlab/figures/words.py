"""Runs in words, for titles, legends and names of files."""

from collections.abc import Iterable
from typing import Any

from optlab.catalogue import optimizers, schedules
from optlab.study.run import Run
from optlab.values import text


def figure(name: str) -> str:
    """A figure of the tables in words: validation loss for ``val_loss``."""
    part, _, rest = name.partition("_")
    parts = {"train": "training", "val": "validation", "test": "test"}
    return f"{parts[part]} {rest}"


def values(run: Run) -> dict[str, Any]:
    """The settings in which runs of one optimizer can differ: its knobs and the schedule."""
    return {**run.knobs, "schedule": run.schedule}


def varied(runs: Iterable[Run]) -> list[str]:
    """The settings that have several values among these runs; never the learning rate."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for name, value in values(run).items():
            found.setdefault(name, set()).add(text(value))
    return [name for name, texts in found.items() if len(texts) > 1 and name != "lr"]


def label(run: Run) -> str:
    """The name of a run's optimizer; SGD on the whole training set is gradient descent, GD."""
    is_descent = run.optimizer == "sgd" and run.batch_size == "full"
    return "GD" if is_descent else optimizers.of(run.optimizer).label


def knobs(run: Run, names: Iterable[str] | None = None) -> str:
    """Settings of a run, as ``lr 0.01, momentum 0.8``.

    Without ``names``: the learning rate and the settings that differ from their defaults.
    """
    if names is None:
        defaults = optimizers.complete(run.optimizer, {})
        names = [k for k, v in run.shown_knobs.items() if k == "lr" or v or v != defaults.get(k)]
        names += ["schedule"] if run.schedule != schedules.CONSTANT else []
    found = values(run)
    return ", ".join(f"{name} {text(found[name])}" for name in names if name in found)


def settings(run: Run, names: Iterable[str] | None = None) -> str:
    """The optimizer of a run and its `knobs`, as ``Momentum, lr 0.01, momentum 0.8``."""
    return ", ".join(filter(None, (label(run), knobs(run, names))))
