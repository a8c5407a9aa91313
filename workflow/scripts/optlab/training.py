"""The training loop: one loop for every exercise, network, optimizer and device.

The data set lies on the device as it was prepared. A step gathers nothing and waits for nothing:
examples are gathered a block of batches at a time, and losses stay on the device until the next
evaluation. The clock runs only while training.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from optlab import custom, models, optimizers, precision, schedules, stepping
from optlab.batches import Batches, derived_seed
from optlab.checkpoints import Checkpoints
from optlab.datasets import Dataset
from optlab.distributed import ALONE, World
from optlab.evaluation import Evaluation, Judge

Report = Callable[[Evaluation], None]


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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """In here the clock, which is running, stands still."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class Trainer:
    """One replicate on its way: seed k has the same initial weights and batch order in every run.

    Args:
        settings: the run.
        data: the prepared data set, on the settings' device.
        seed: number of the replicate.
        world: the processes that train it together, each with an object like this one.

    Raises:
        UserError: network, optimizer, batch size and data do not fit together.
    """

    def __init__(self, settings: Settings, data: Dataset, seed: int, world: World = ALONE):
        self.settings, self.seed, self.world = settings, seed, world
        self.device = torch.device(settings.device)
        self.model = build_model(settings, data, seed, world.rank)
        self.optimizer = optimizers.build(
            settings.optimizer, self.model.parameters(), settings.knobs
        )
        self.batches = Batches(settings, data, seed, world)
        self.steps = settings.epochs * self.batches.per_epoch
        self.schedule = schedules.build(
            settings.schedule, self.optimizer, self.steps, settings.knobs.get("lr", 0.0)
        )
        self.gradient = stepping.make_gradient(
            self.model, data, world, own=custom.is_custom(settings.network)
        )
        self.take_step = stepping.make_step(
            self.gradient, self.model, self.optimizer, self.schedule
        )
        self.judge = Judge(settings, data, self.model, stepping.loss_function(data), world)
        self.training, self.evaluating = Clock(self.device), Clock(self.device)
        self.rows: list[Evaluation] = []
        self.losses: list[Tensor] = []  # of the steps since the last evaluation
        self.step = 0

    def run(self, report: Report, checkpoints: Checkpoints) -> Outcome:
        """Train from where it is to the end, or until the loss diverges."""
        if not self.rows:
            self._evaluate(0, report)
        while self.step < self.steps and self.rows[-1].status == "ok":
            epoch = self.step // self.batches.per_epoch + 1
            self._train(epoch, checkpoints)
            if epoch == self.settings.epochs or epoch % self.settings.evaluate_every == 0:
                self._evaluate(epoch, report)
        return Outcome(self.rows, self.model, self.training.seconds, self.evaluating.seconds)

    def _train(self, epoch: int, checkpoints: Checkpoints) -> None:
        """One epoch, or what is left of it."""
        take_step, losses, due = self.take_step, self.losses, checkpoints.due
        with self.training:
            for batch in self.batches.epoch(epoch, self.step % self.batches.per_epoch):
                if due():
                    with self.training.paused():
                        checkpoints.save(self.state())
                losses.append(take_step(*batch))
                self.step += 1

    def _evaluate(self, epoch: int, report: Report) -> None:
        with self.evaluating:
            row = self.judge.evaluate(epoch, self.step, self.training.seconds, self.losses)
            if epoch == self.settings.epochs and row.status == "ok":
                self.judge.test(row)
        self.losses.clear()
        self.rows.append(row)
        report(row)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on with the next step as if nothing had happened."""
        mine = {"random": torch.get_rng_state(), "random_python": random.getstate()}
        if self.losses:
            mine["losses"] = torch.stack(self.losses)
        if self.device.type == "cuda":
            mine["random_cuda"] = torch.cuda.get_rng_state()
        return {
            "seed": self.seed,
            "step": self.step,
            "rows": [vars(row) for row in self.rows],
            "seconds": [self.training.seconds, self.evaluating.seconds],
            "judge": self.judge.state(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "processes": self.world.gather(mine),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that an object like this one had."""
        self.step = state["step"]
        self.rows = [Evaluation(**row) for row in state["rows"]]
        self.training.seconds, self.evaluating.seconds = state["seconds"]
        self.judge.restore(state["judge"])
        self.model.load_state_dict(state["model"])
        optimizers.restore(self.optimizer, state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        mine = state["processes"][self.world.rank]
        if "losses" in mine:
            self.losses[:] = mine["losses"].to(self.device).unbind()
        torch.set_rng_state(mine["random"])
        random.setstate(mine["random_python"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(mine["random_cuda"])


def train(
    settings: Settings,
    data: Dataset,
    seed: int,
    report: Report = lambda evaluation: None,
    checkpoints: Checkpoints | None = None,
    world: World = ALONE,
) -> Outcome:
    """Train one replicate, from its checkpoint where there is one.

    Args:
        report: called with each evaluation as it is made; it may raise to end the training.
        checkpoints: where it is saved, and what an earlier process saved; None saves nothing.

    Raises:
        UserError: network, optimizer, batch size and data do not fit together.
    """
    trainer = Trainer(settings, data, seed, world)
    checkpoints = checkpoints or Checkpoints(None, "")
    if state := checkpoints.resume(seed):
        trainer.restore(state)
    return trainer.run(report, checkpoints)


def recordable(settings: Settings) -> bool:
    """Whether a step never asks the device for a value; of the user's own code nobody knows."""
    entry = optimizers.OPTIMIZERS.get(settings.optimizer)
    return settings.network in models.NETWORKS and entry is not None and entry.capturable


def build_model(settings: Settings, data: Dataset, seed: int, rank: int = 0) -> nn.Module:
    """The network with the initial weights of ``seed``, made on the CPU for every device."""
    outputs = data.classes if data.classes is not None else math.prod(data.train.y.shape[1:])
    torch.manual_seed(derived_seed("weights", seed))
    usual = torch.get_default_dtype()
    torch.set_default_dtype(precision.WEIGHTS[settings.precision])  # of constants too
    try:
        model = models.build(settings.network, data.shape, outputs, settings.network_options)
    finally:
        torch.set_default_dtype(usual)
    if settings.precision == "bfloat16":
        precision.mix(model, torch.device(settings.device).type)
    torch.manual_seed(derived_seed("dropout", seed, *([rank] if rank else [])))
    random.seed(derived_seed("python", seed, rank))  # a network of the user's own may draw from it
    # Convolutions are faster on channels-last weights, on CPU and GPU; other layers do not care,
    # but PyTorch's L-BFGS lays the gradients side by side in a way that cannot take them.
    layout = torch.preserve_format if settings.optimizer == "lbfgs" else torch.channels_last
    return cast(Any, model).to(settings.device, memory_format=layout)
