"""The training loop: one loop for every exercise, network, optimizer and device.

The data set lies on the device as it was prepared. A step gathers nothing and waits for nothing:
examples are gathered a block of batches at a time, and losses stay on the device until the next
evaluation. The clock runs only while training.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler

from optlab import models, optimizers, precision, schedules, stepping
from optlab.datasets import Dataset
from optlab.errors import UserError
from optlab.evaluation import Evaluation, Judge, Loss

BLOCK = 2**18  # input values gathered at once: few enough to stay in the processor's cache


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
    schedule: str = schedules.CONSTANT
    epoch_examples: int | None = None  # an epoch is so many examples of its order; None: all


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
    batches = Batches(settings, data, seed)
    steps = settings.epochs * batches.per_epoch
    schedule = schedules.build(settings.schedule, optimizer, steps, settings.knobs.get("lr", 0.0))
    take_step = make_step(model, optimizer, loss, schedule)
    judge = Judge(settings, data, model, loss)
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


def make_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    schedule: LRScheduler | None = None,
) -> stepping.Step:
    """A function that takes one step on one batch: see `stepping.eager`."""
    return stepping.eager(model, list(model.parameters()), optimizer, loss, schedule)


def build_model(settings: Settings, data: Dataset, seed: int) -> nn.Module:
    """The network with the initial weights of ``seed``, made on the CPU for every device."""
    outputs = data.classes if data.classes is not None else math.prod(data.train.y.shape[1:])
    torch.manual_seed(derived_seed("weights", seed))
    usual = torch.get_default_dtype()
    torch.set_default_dtype(
        precision.WEIGHTS[settings.precision]
    )  # constants in full precision too
    try:
        model = models.build(settings.network, data.shape, outputs, settings.network_options)
    finally:
        torch.set_default_dtype(usual)
    if settings.precision == "bfloat16":
        precision.mix(model, torch.device(settings.device).type)
    torch.manual_seed(derived_seed("dropout", seed))
    # Convolutions are faster on channels-last weights, on CPU and GPU; other layers do not care,
    # but PyTorch's L-BFGS lays the gradients side by side in a way that cannot take them.
    layout = torch.preserve_format if settings.optimizer == "lbfgs" else torch.channels_last
    return cast(Any, model).to(settings.device, memory_format=layout)


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
        if (settings.epoch_examples or 0) > examples:
            raise UserError(
                f"an epoch of {settings.epoch_examples} examples is more than the {examples} "
                f"training examples of {data.name}"
            )
        self.size = examples if full else int(settings.batch_size)
        self._examples = settings.epoch_examples
        self.per_epoch = 1 if full else -(-(self._examples or examples) // self.size)
        self._data, self._seed = data, seed
        self._dtype = precision.WEIGHTS[settings.precision]
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
        """The training examples of an epoch, by row number: a permutation, or its beginning."""
        generator = torch.Generator().manual_seed(derived_seed("order", self._seed, epoch))
        order = torch.randperm(len(self._data.train.x), generator=generator)
        return order[: self._examples].to(self._data.train.x.device)

    def _take(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        x, y = self._data.train.x, self._data.train.y
        if rows is not None:  # copies whole rows, where indexing would go value by value
            x, y = x.index_select(0, rows), y.index_select(0, rows)
        x = self._data.inputs(x).to(self._dtype)
        return x, y.to(self._dtype) if y.is_floating_point() else y
