"""The metrics of a run: what is measured of a network's outputs beside the loss.

A metric adds sums over blocks of examples, so that ranks can share them. The user's own sees all
outputs at once.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from optlab import custom
from optlab.catalogue import tasks
from optlab.errors import UserError
from optlab.training.datasets import Dataset, Split
from optlab.training.settings import Settings
from optlab.training.world import World


class Measure(Protocol):
    """One metric of one split."""

    def add(self, output: Tensor, y: Tensor) -> None:
        """Count a block of examples."""

    def value(self, world: World) -> float:
        """The metric over the blocks of all ranks."""


def named(settings: Settings, data: Dataset) -> Sequence[str]:
    """The metrics of a run; the usual ones of its task where none are named.

    A loss that is a sum has none: its data sets have no parts to compare.
    """
    if settings.metrics is not None:
        return settings.metrics
    usual = tasks.TASKS[data.task].metrics
    return [] if data.loss == tasks.SQUARED_ERROR_SUM else usual


def others(settings: Settings, data: Dataset) -> list[str]:
    """The metrics of a run besides the accuracy, which classes have in any case.

    Raises:
        UserError: one is none of the data set's task.
    """
    found = [name for name in named(settings, data) if name != "accuracy"]
    for name in found:
        metric = tasks.metric_named(tasks.column(name))
        if metric is None or (metric.tasks and data.task not in metric.tasks):
            raise UserError(f"the metric {name} is none of a {data.task} data set's")
    return found


def of(name: str, data: Dataset, split: Split) -> Measure:
    """The measure of a metric on a split."""
    if custom.is_custom(name):
        return _Own(name)
    if top := tasks.TOP.fullmatch(name):
        return _Top(int(top[1]), data, split)
    if name in ("r2", "rmse"):
        return (_R2 if name == "r2" else _Rmse)(split)
    return _Entropy(name, split)


class _Sums:
    """A metric that follows from sums over the examples."""

    def __init__(self, sums: int, split: Split):
        self.sums = torch.zeros(sums, dtype=torch.float64, device=split.y.device)
        self.split = split

    def total(self, world: World) -> Tensor:
        return world.sum(self.sums)


class _Top(_Sums):
    """The share of examples whose class is among those with the highest outputs."""

    def __init__(self, most: int, data: Dataset, split: Split):
        super().__init__(1, split)
        if data.classes is not None and most >= data.classes:
            words = f"of {data.name}'s {data.classes} classes, so that it is always 1"
            raise UserError(f"top_{most}_accuracy is no metric {words}; use fewer")
        self.most = most

    def add(self, output: Tensor, y: Tensor) -> None:
        best = output.topk(self.most, dim=1).indices
        self.sums[0] += (best == y[:, None]).any(1).sum()

    def value(self, world: World) -> float:
        return float(self.total(world)) / len(self.split.y)


class _Errors(_Sums):
    """Sums of squared errors, of each output."""

    def __init__(self, split: Split):
        super().__init__(split.y[0].numel(), split)

    def add(self, output: Tensor, y: Tensor) -> None:
        self.sums += (output.double() - y.double()).pow(2).flatten(1).sum(0)


class _Rmse(_Errors):
    """The root of the mean squared error over all outputs."""

    def value(self, world: World) -> float:
        return math.sqrt(float(self.total(world).sum()) / self.split.y.numel())


class _R2(_Errors):
    """The coefficient of determination 1 - SSE / SST, averaged over the outputs.

    As ``sklearn.metrics.r2_score``; NaN for targets that are all equal.
    """

    def value(self, world: World) -> float:
        y = self.split.y.double().flatten(1)
        spread = (y - y.mean(0)).pow(2).sum(0)
        return float((1 - self.total(world) / spread).mean()) if (spread > 0).all() else math.nan


class _Entropy(_Sums):
    """Cross entropy over all symbols, in bits or as perplexity."""

    def __init__(self, name: str, split: Split):
        super().__init__(1, split)
        self.name = name

    def add(self, output: Tensor, y: Tensor) -> None:
        logits = output.flatten(0, 1).float()
        self.sums[0] += functional.cross_entropy(logits, y.flatten(), reduction="sum")

    def value(self, world: World) -> float:
        nats = float(self.total(world)) / self.split.y.numel()
        if self.name == "perplexity":
            return math.exp(nats) if nats < 700 else math.inf
        return nats / math.log(2)


class _Own:
    """A function of the user's own, of all outputs and targets."""

    def __init__(self, spec: str):
        self.spec = spec
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def add(self, output: Tensor, y: Tensor) -> None:
        self.outputs.append(output)
        self.targets.append(y)

    def value(self, world: World) -> float:
        output, y = torch.cat(self.outputs), torch.cat(self.targets)
        if world.size > 1:
            parts = world.gather((output.cpu(), y.cpu()))
            output, y = (torch.cat([part[i] for part in parts]) for i in (0, 1))
        found = custom.load(self.spec)(output, y)
        try:
            return float(found)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.spec} returns {type(found).__name__}, not a number") from error
