"""Evaluation of a network: the row that it makes, and its measurement on a split."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from optlab.catalogue import tasks
from optlab.training import losses, measures, networks, precision
from optlab.training.datasets import Dataset, Split
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World

BLOCK = 2**22  # input values per forward pass, which bounds its memory


@dataclass
class Evaluation:
    """One row of a seed: losses in the run's own loss, accuracies in [0, 1], else None.

    ``more`` are the figures of other metrics by the names of their columns, such as ``val_r2``.
    """

    epoch: float
    step: int
    seconds: float
    train_loss: float
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    status: str = "ok"
    best_epoch: float | None = None
    best_test_loss: float | None = None
    best_test_accuracy: float | None = None
    more: dict[str, float] = field(default_factory=dict)

    def put(self, part: str, found: "Measured") -> None:
        """Fill in what was measured on a part: train, val, test or best_test."""
        setattr(self, f"{part}_loss", found.loss)
        setattr(self, f"{part}_accuracy", found.accuracy)
        self.more |= {f"{part}_{metric}": value for metric, value in found.more.items()}

    def cells(self) -> dict[str, Any]:
        """Its figures by the names of their columns."""
        own = {name: value for name, value in vars(self).items() if name != "more"}
        return {**own, **self.more}


class Measured(NamedTuple):
    """Loss, accuracy (None without classes) and other metrics on a split."""

    loss: float
    accuracy: float | None
    more: dict[str, float]


class Judge:
    """What is measured of a run's network: its loss and its metrics.

    Args:
        settings: the run.
        data: the data set of its splits.
        world: the ranks that share the examples; each of them gets the values of the whole split.

    Raises:
        UserError: the loss or a metric is none of the data set's task.
    """

    def __init__(self, settings: Settings, data: Dataset, world: World):
        self._data, self._world = data, world
        self._name, self._dtype = settings.network_builder, precision.WEIGHTS[settings.precision]
        self._loss = losses.of(settings, data)
        self._others = measures.others(settings, data)
        self._classes = data.task == tasks.CLASSIFICATION

    @torch.inference_mode()
    def measure(self, model: nn.Module, split: Split) -> Measured:
        """What a network gives on a split, in evaluation mode.

        The device is synchronized once, and once for each further metric.

        Raises:
            UserError: its outputs do not fit the targets.
        """
        # Loss and number of correct outputs.
        total = torch.zeros(2, dtype=torch.float64, device=split.x.device)
        more = {name: measures.of(name, self._data, split) for name in self._others}
        model.eval()
        for x, y in _blocks(self._data, split, self._dtype, self._world):
            output = model(x)
            networks.check(output, y, self._data, self._name)
            total[0] += self._loss.total(output, y)
            if self._classes:
                total[1] += (output.argmax(1) == y).sum()
            for one in more.values():
                one.add(output, y)
        model.train()
        summed, correct = self._world.sum(total).tolist()
        count = len(split.x)
        values = {tasks.column(name): one.value(self._world) for name, one in more.items()}
        accuracy = correct / count if self._classes else None
        return Measured(summed / self._loss.divisor(count), accuracy, values)


@torch.inference_mode()
def correct(model: nn.Module, data: Dataset, split: Split, dtype: torch.dtype) -> Tensor:
    """Whether each example of a split is classified correctly [examples], in evaluation mode."""
    found = []
    model.eval()
    for x, y in _blocks(data, split, dtype, ALONE):
        found.append(model(x).argmax(1) == y)
    model.train()
    return torch.cat(found)


def _blocks(
    data: Dataset, split: Split, dtype: torch.dtype, world: World
) -> Iterator[tuple[Tensor, Tensor]]:
    """This rank's examples of a split, those of one forward pass at a time."""
    # Of a text each symbol has an output for every other.
    symbols = data.classes or 1 if data.task == tasks.NEXT_TOKEN else 1
    block = max(1, BLOCK // (math.prod(data.shape) * symbols))
    shares = (world.share(values).split(block) for values in (split.x, split.y))
    for x, y in zip(*shares, strict=True):
        yield data.examples(x, y, dtype)
