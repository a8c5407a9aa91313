"""The training loop: one loop for every exercise, network, optimizer and device.

The data set lies on the device as it was prepared. A step gathers nothing and waits for nothing:
examples are gathered a block of batches at a time, and losses stay on the device until the next
evaluation. The clock runs only while training.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from optlab import models, optimizers
from optlab.datasets import Dataset, Split
from optlab.errors import UserError

DIVERGED = 1000.0  # a loss so many times that of row 0 counts as divergence
Loss = Callable[[Tensor, Tensor], Tensor]  # outputs, targets -> scalar
Step = Callable[[Tensor, Tensor], Tensor]  # inputs, targets -> scalar
BLOCK = 2**20  # input values gathered at once: a block stays in the processor's cache


@dataclass(frozen=True)
class Settings:
    """What the digits of a run depend on, besides data, code and seed."""

    network: str
    optimizer: str
    knobs: Mapping[str, Any]
    batch_size: int | str = 100
    epochs: int = 10
    precision: str = "float32"
    device: str = "cpu"
    evaluate_every: int = 1
    train_loss_examples: int = 10_000
    network_options: Mapping[str, Any] = field(default_factory=dict)


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


@dataclass
class Outcome:
    """What training one seed gave.

    Attributes:
        evaluations: row 0 (before the first step) to the last.
        model: the network after the last step.
        seconds: training clock, evaluation and start-up excluded.
        evaluation_seconds: what the evaluations took.
    """

    evaluations: list[Evaluation]
    model: nn.Module
    seconds: float
    evaluation_seconds: float


class Clock:
    """Seconds spent training; the device is waited for wherever the clock starts or stops."""

    def __init__(self, device: torch.device):
        self.seconds = 0.0
        self._device = device
        self._start = 0.0

    def __enter__(self) -> None:
        self._wait()
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._wait()
        self.seconds += time.perf_counter() - self._start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def derived_seed(*words: object) -> int:
    """A seed of its own for each purpose, from the words that name it."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=7).digest()
    return int.from_bytes(digest)


def train(
    settings: Settings,
    data: Dataset,
    seed: int,
    report: Callable[[Evaluation], None] = lambda evaluation: None,
) -> Outcome:
    """Train one replicate: seed k has the same initial weights and batch order in every run.

    Args:
        settings: the run.
        data: the prepared data set, on the settings' device.
        seed: number of the replicate.
        report: called with each evaluation as it is made.

    Raises:
        UserError: network, optimizer, batch size and data do not fit together.
    """
    device = torch.device(settings.device)
    model = build_model(settings, data, seed)
    optimizer = optimizers.build(settings.optimizer, model.parameters(), settings.knobs)
    loss = loss_function(data)
    take_step = make_step(model, optimizer, loss)
    batches = Batches(settings, data, seed)
    judge = _Judge(settings, data, model, loss)
    training, evaluating = Clock(device), Clock(device)
    losses: list[Tensor] = []
    step = 0

    with evaluating:
        rows = [judge.evaluate(0, 0, 0.0, [])]
    report(rows[0])
    for epoch in range(1, settings.epochs + 1):
        with training:
            for x, y in batches.epoch(epoch):
                losses.append(take_step(x, y))
                step += 1
        last = epoch == settings.epochs
        if last or epoch % settings.evaluate_every == 0:
            with evaluating:
                row = judge.evaluate(epoch, step, training.seconds, losses)
                if last and row.status == "ok":
                    judge.test(row)
            rows.append(row)
            report(row)
            losses.clear()
            if row.status != "ok":
                break
    return Outcome(rows, model, training.seconds, evaluating.seconds)


def make_step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss) -> Step:
    """A function that takes one step on one batch.

    It returns the loss before the step, a scalar left on the device.
    """
    parameters = list(model.parameters())
    one = torch.ones((), device=parameters[0].device, dtype=parameters[0].dtype)

    def step(x: Tensor, y: Tensor) -> Tensor:
        value = loss(model(x), y)
        value.backward(one)
        optimizer.step()
        for parameter in parameters:
            parameter.grad = None  # what zero_grad does, without its bookkeeping
        return value.detach()

    return step


def build_model(settings: Settings, data: Dataset, seed: int) -> nn.Module:
    """The network with the initial weights of ``seed``, made on the CPU for every device."""
    outputs = data.classes if data.classes is not None else math.prod(data.train.y.shape[1:])
    torch.manual_seed(derived_seed("weights", seed))
    usual = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, settings.precision))  # constants in full precision too
    try:
        model = models.build(settings.network, data.shape, outputs, settings.network_options)
    finally:
        torch.set_default_dtype(usual)
    torch.manual_seed(derived_seed("dropout", seed))
    # Convolutions are faster on channels-last weights, on CPU and GPU; other layers do not care.
    return model.to(settings.device, memory_format=torch.channels_last)


def loss_function(data: Dataset) -> Loss:
    """Mean cross entropy for classes, else the sum of squared errors."""
    if data.task == "classification":
        return functional.cross_entropy
    return lambda output, y: functional.mse_loss(output, y, reduction="sum")


class Batches:
    """The training examples in the order of one seed, gathered a block of batches at a time."""

    def __init__(self, settings: Settings, data: Dataset, seed: int):
        examples = len(data.train.x)
        full = settings.batch_size == "full"
        if not full and int(settings.batch_size) > examples:
            raise UserError(
                f"a batch of {settings.batch_size} is more than the {examples} training examples "
                f"of {data.name}; use at most {examples}, or full"
            )
        self.size = examples if full else int(settings.batch_size)
        self._data, self._seed = data, seed
        self._dtype = getattr(torch, settings.precision)
        self._whole = self._take(None) if full else None
        values = math.prod(data.shape)
        self._block = self.size * max(1, BLOCK // (self.size * values))

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch, a new order each; the last one may be smaller."""
        if self._whole is not None:
            yield self._whole
            return
        for rows in self.order(epoch).split(self._block):
            x, y = self._take(rows)
            yield from zip(x.split(self.size), y.split(self.size), strict=True)

    def order(self, epoch: int) -> Tensor:
        """The order of the training examples in an epoch: a permutation of their row numbers."""
        generator = torch.Generator().manual_seed(derived_seed("order", self._seed, epoch))
        order = torch.randperm(len(self._data.train.x), generator=generator)
        return order.to(self._data.train.x.device)

    def _take(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        x, y = self._data.train.x, self._data.train.y
        if rows is not None:  # copies whole rows, where indexing would go value by value
            x, y = x.index_select(0, rows), y.index_select(0, rows)
        x = self._data.inputs(x).to(self._dtype)
        return x, y.to(self._dtype) if y.is_floating_point() else y


class _Judge:
    """Evaluates a network, notices divergence, and remembers the epoch that validation chose."""

    def __init__(
        self,
        settings: Settings,
        data: Dataset,
        model: nn.Module,
        loss: Loss,
    ):
        sample = slice(settings.train_loss_examples)
        self._sample = Split(data.train.x[sample], data.train.y[sample])
        self._data, self._model, self._loss = data, model, loss
        self._dtype = getattr(torch, settings.precision)
        self._limit = math.inf
        self._step = 0
        self._best_loss, self._best_epoch = math.inf, 0
        self._best_state: dict[str, Any] = {}

    def evaluate(self, epoch: int, step: int, seconds: float, losses: list[Tensor]) -> Evaluation:
        """The row of an evaluation; ``losses`` are those of the steps since the last one."""
        bad = self._first_bad(losses)
        if bad is not None:
            bad_step, value = bad
            return Evaluation(epoch, bad_step, seconds, value, status="diverged")
        row = Evaluation(epoch, step, seconds, *self.measure(self._sample))
        if epoch == 0:
            self._limit = DIVERGED * max(row.train_loss, 1e-30)
        if not row.train_loss <= self._limit:
            row.status = "diverged"
        if self._data.validation is not None:
            row.val_loss, row.val_accuracy = self.measure(self._data.validation)
            if row.val_loss < self._best_loss:
                self._best_loss, self._best_epoch = row.val_loss, epoch
                self._best_state = copy.deepcopy(self._model.state_dict())
        self._step = step
        return row

    def test(self, row: Evaluation) -> None:
        """Read the test set once: for the last epoch, and for the epoch that validation chose."""
        if self._data.test is None:
            return
        row.test_loss, row.test_accuracy = self.measure(self._data.test)
        if self._best_state:
            last = copy.deepcopy(self._model.state_dict())
            self._model.load_state_dict(self._best_state)
            row.best_epoch = self._best_epoch
            row.best_test_loss, row.best_test_accuracy = self.measure(self._data.test)
            self._model.load_state_dict(last)

    @torch.inference_mode()
    def measure(self, split: Split) -> tuple[float, float | None]:
        """Loss and accuracy on a split, in evaluation mode; one wait for the device."""
        classes = self._data.task == "classification"
        block = max(1, 4 * BLOCK // math.prod(self._data.shape))
        total = torch.zeros(2, dtype=torch.float64, device=split.x.device)
        self._model.eval()
        for x, y in zip(split.x.split(block), split.y.split(block), strict=True):
            output = self._model(self._data.inputs(x).to(self._dtype))
            if classes:
                total[0] += functional.cross_entropy(output, y, reduction="sum")
                total[1] += (output.argmax(1) == y).sum()
            else:
                total[0] += self._loss(output, y.to(self._dtype))
        self._model.train()
        loss, correct = total.tolist()
        return (loss / len(split.x), correct / len(split.x)) if classes else (loss, None)

    def _first_bad(self, losses: list[Tensor]) -> tuple[int, float] | None:
        """The first step whose loss was not finite or over the limit, and that loss."""
        if not losses:
            return None
        values = torch.stack(losses)
        bad = ~(values <= self._limit)
        number = int(torch.where(bad.any(), bad.int().argmax(), -1))
        return None if number < 0 else (self._step + number, float(values[number]))
