"""Evaluation: losses and accuracies of a network, divergence, and the epoch that validation chose.

Always off the clock, in evaluation mode, and with one wait for the device a split.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from optlab.training import precision
from optlab.training.datasets import Dataset, Split
from optlab.training.world import ALONE, World

if TYPE_CHECKING:
    from optlab.training.settings import Settings

DIVERGED = 1000.0  # a loss so many times that of row 0 counts as divergence
BLOCK = 2**20  # input values gathered at once: a block stays in the processor's cache
Loss = Callable[[Tensor, Tensor], Tensor]  # outputs, targets -> scalar


@dataclass
class Evaluation:
    """One row of a seed: losses in the exercise's own loss, accuracies in [0, 1], else None."""

    epoch: int
    step: int
    seconds: float
    train_loss: float
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    status: str = "ok"
    best_epoch: int | None = None
    best_test_loss: float | None = None
    best_test_accuracy: float | None = None


class Judge:
    """Evaluates a network, notices divergence, and remembers the epoch that validation chose."""

    def __init__(
        self,
        settings: Settings,
        data: Dataset,
        model: nn.Module,
        loss: Loss,
        world: World = ALONE,
    ):
        sample = slice(settings.train_loss_examples)
        self._sample = Split(data.train.x[sample], data.train.y[sample])
        self._data, self._model, self._loss, self._world = data, model, loss, world
        self._dtype = precision.WEIGHTS[settings.precision]
        self._limit = math.inf
        self._step = 0
        self._best_loss, self._best_epoch = math.inf, 0
        self._best_state: dict[str, Any] = {}

    def evaluate(self, epoch: int, step: int, seconds: float, losses: Tensor) -> Evaluation:
        """The row of an evaluation; ``losses`` [steps] are those since the last one."""
        bad = self._first_bad(losses)
        if bad is not None:
            bad_step, value = bad
            return Evaluation(epoch, bad_step, seconds, value, status="diverged")
        self._world.broadcast(
            self._model.buffers()
        )  # each process has averages of its own examples
        row = Evaluation(epoch, step, seconds, *self.measure(self._sample))
        if epoch == 0:
            self._limit = DIVERGED * max(row.train_loss, 1e-30)
        if not row.train_loss <= self._limit:
            row.status = "diverged"
        if self._data.validation is not None:
            row.val_loss, row.val_accuracy = self.measure(self._data.validation)
            if row.val_loss < self._best_loss:
                self._best_loss, self._best_epoch = row.val_loss, epoch
                self._best_state = self._weights()
        self._step = step
        return row

    def test(self, row: Evaluation) -> None:
        """Read the test set once: for the last epoch, and for the epoch that validation chose."""
        if self._data.test is None:
            return
        row.test_loss, row.test_accuracy = self.measure(self._data.test)
        if self._best_state:
            last = self._weights()
            self._model.load_state_dict(self._best_state)
            row.best_epoch = self._best_epoch
            row.best_test_loss, row.best_test_accuracy = self.measure(self._data.test)
            self._model.load_state_dict(last)

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on from here."""
        best = {"best_loss": self._best_loss, "best_epoch": self._best_epoch}
        return {"limit": self._limit, "step": self._step, **best, "best_state": self._best_state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` told."""
        self._limit, self._step = state["limit"], state["step"]
        self._best_loss, self._best_epoch = state["best_loss"], state["best_epoch"]
        self._best_state = state["best_state"]

    def _weights(self) -> dict[str, Any]:
        """A copy of the network's state; of weights that are views, not of all they are part of."""
        state = self._model.state_dict().items()
        return {k: v.clone() if isinstance(v, Tensor) else copy.deepcopy(v) for k, v in state}

    @torch.inference_mode()
    def measure(self, split: Split) -> tuple[float, float | None]:
        """Loss and accuracy on a split, in evaluation mode; one wait for the device.

        Several processes share the examples out, and all of them get the figures of the whole.
        """
        classes = self._data.task == "classification"
        block = max(1, 4 * BLOCK // math.prod(self._data.shape))
        total = torch.zeros(2, dtype=torch.float64, device=split.x.device)
        self._model.eval()
        shares = (self._world.share(values).split(block) for values in (split.x, split.y))
        for x, y in zip(*shares, strict=True):
            output = self._model(self._data.inputs(x).to(self._dtype))
            if classes:
                total[0] += functional.cross_entropy(output, y, reduction="sum")
                total[1] += (output.argmax(1) == y).sum()
            else:
                total[0] += self._loss(output, y.to(self._dtype))
        self._model.train()
        loss, correct = self._world.sum(total).tolist()
        return (loss / len(split.x), correct / len(split.x)) if classes else (loss, None)

    def _first_bad(self, losses: Tensor) -> tuple[int, float] | None:
        """The first step whose loss was not finite or over the limit, and that loss."""
        if not len(losses):
            return None
        values = self._world.sum(losses)
        good = values <= self._limit
        if good.all():  # the one wait for the device
            return None
        number = int((~good).int().argmax())
        return self._step + number, float(values[number])
