"""The training loop: one loop for every exercise, network, optimizer and device.

The data set stays on the device in the form in which it was prepared. Steps neither gather data nor
synchronize with the device: examples are gathered for a block of batches at a time, and losses
stay on the device until the next evaluation. The training clock excludes everything else.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from optlab import custom
from optlab.training import batch_norm, losses, optimizers, protocol, resumption, stacking, stepping
from optlab.training.checkpoints import Checkpoints
from optlab.training.datasets import Dataset
from optlab.training.evaluation import Evaluation
from optlab.training.replicates import Replicate
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World

AVERAGED = 50  # batches over which BatchNorm averages anew, as in the README of schedule-free

Report = Callable[[int, Evaluation], None]  # a seed and its new row


@dataclass
class Outcome:
    """The result of training one seed.

    Attributes:
        evaluations: from row 0 (before the first step) to the last.
        model: the network after the last step.
        seconds: of the training clock, without evaluation and start-up; of replicates that were
            trained at once, an equal share.
        evaluation_seconds: of the evaluations, shared in the same way.
        cpu_seconds: for which the training thread had a core while the training clock ran, shared
            in the same way. On a CPU it is less where other work had its core.
    """

    evaluations: list[Evaluation]
    model: nn.Module
    seconds: float
    evaluation_seconds: float
    cpu_seconds: float = 0.0


class Clock:
    """A stopwatch that synchronizes with the device whenever it starts or stops."""

    def __init__(self, device: torch.device):
        self.seconds = self.cpu = 0.0
        self._device = device
        self._start = self._start_cpu = 0.0

    def __enter__(self) -> None:
        self._wait()
        self._start, self._start_cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._wait()
        self.seconds += time.perf_counter() - self._start
        self.cpu += time.thread_time() - self._start_cpu

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the running clock for the time of the context."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class Trainer:
    """The training of one replicate, or of several that are stacked and step at once.

    For its arguments and errors see `train`. Each rank has such an object.
    """

    def __init__(
        self, settings: Settings, data: Dataset, seeds: Sequence[int], world: World = ALONE
    ):
        self.settings, self.world = settings, world
        self.device = torch.device(settings.device)
        self.replicates = [Replicate(settings, data, seed, world) for seed in seeds]
        first = self.replicates[0]
        batch_norm.prepare(first.model, first.batches, settings, world)
        # Only a user's own network may have parameters that its output does not depend on.
        unused = not custom.is_ours(settings.network_builder)
        self.network = world.wrap(first.model, unused)
        self.batches, named = self._batches(), self._named()
        if settings.batch_size == "full":
            next(self.batches.epoch(1))  # makes the batch before the training clock starts
        graph = recordable(settings, world)
        self.steps = settings.epochs * self.batches.per_epoch
        examples = len(data.train.x)
        self.context = optimizers.Context(first.model, named, settings.epochs, self.steps, examples)
        self.optimizer = optimizers.build(settings, self.context, capturable=graph)
        optimizers.check_processes(self.optimizer, world.size)
        self.parameters, self.gradient = list(named.values()), self._gradient(data, named)
        self.schedule = optimizers.build_scheduler(settings, self.optimizer, self.steps)
        self.take_step = stepping.make_step(
            self.gradient, self.parameters, self.optimizer, self.schedule, graph
        )
        self.training, self.evaluating = Clock(self.device), Clock(self.device)
        self.losses: list[Tensor] = []  # of the steps since the last evaluation
        self.step = 0
        self.data = data
        # Whether its state can be continued from; None until that is tried.
        self.resumes = True if resumption.is_known(settings) else None

    def _batches(self) -> Any:
        """The batches of the single replicate or of the stack."""
        batches = [replicate.batches for replicate in self.replicates]
        return batches[0] if len(batches) == 1 else stacking.StackedBatches(batches)

    def _named(self) -> Mapping[str, Tensor]:
        """The parameters of the single replicate or of the stack, by name."""
        if len(self.replicates) == 1:
            return dict(self.replicates[0].model.named_parameters())
        return stacking.stack([replicate.model for replicate in self.replicates])

    def _gradient(self, data: Dataset, named: Mapping[str, Tensor]) -> stepping.Gradient:
        loss = losses.of(self.settings, data, smoothed=True)
        if len(self.replicates) == 1:
            own = protocol.backward_of(self.optimizer)
            return stepping.make_gradient(self.network, loss, self.world, own)
        randomness = "different" if "order" in self.settings.vary else "same"
        return stacking.make_gradient(dict(named), self.network, loss, randomness)

    def run(self, report: Report, checkpoints: Checkpoints) -> list[Outcome]:
        """Train from the current step to the end, or until every replicate has diverged."""
        if not self.replicates[0].rows:
            self.evaluate(0, report)
        while self.step < self.steps and not all(r.diverged for r in self.replicates):
            epoch = self.step // self.batches.per_epoch + 1
            self._train(epoch, checkpoints)
            if epoch == self.settings.epochs or epoch % self.settings.evaluate_every == 0:
                self.evaluate(epoch, report)
        shares = (self._share(self.training), self._share(self.evaluating))
        cpu = self.training.cpu / len(self.replicates)
        return [Outcome(r.rows, r.model, *shares, cpu) for r in self.replicates]

    def _train(self, epoch: int, checkpoints: Checkpoints) -> None:
        """Train an epoch, or the rest of it."""
        with self.training:
            protocol.set_mode(self.optimizer, training=True)
            for batch in self.batches.epoch(epoch, self.step % self.batches.per_epoch):
                if checkpoints.due():
                    with self.training.paused():
                        self._save(checkpoints, batch)
                self.take(batch)

    def take(self, batch: Any) -> None:
        """Take one step on a batch."""
        self.losses.append(self.take_step(*batch))
        self.step += 1

    def _save(self, checkpoints: Checkpoints, batch: Any) -> None:
        """Save the state, unless it could not be continued exactly."""
        if self.resumes is None:
            self.resumes = self.world.size > 1 or resumption.is_exact(
                self.settings, self.context, self.optimizer, self.data, batch
            )
        if self.resumes:
            checkpoints.save(self.state())
        else:
            name = self.settings.optimizer_class
            checkpoints.skip(f"the state_dict of {name} does not hold all of its state")

    def evaluate(self, epoch: int, report: Report) -> None:
        """Evaluate each replicate that has not diverged."""
        seconds, count = self._share(self.training), len(self.replicates)
        losses = torch.stack(self.losses) if self.losses else torch.empty(0)
        if self.step and protocol.set_mode(self.optimizer, training=False):
            self._average_again()
        for number, replicate in enumerate(self.replicates):
            if replicate.diverged:
                continue
            with self.evaluating:
                own = losses.view(-1, count)[:, number]
                row = replicate.evaluate(epoch, self.step, seconds, own)
            report(replicate.seed, row)
        self.losses.clear()

    def _average_again(self) -> None:
        """Take the running averages of BatchNorm anew, for weights that no step has seen.

        As the authors of schedule-free optimizers ask for, with the first batches of an epoch.
        """
        if not batch_norm.averages(self.network):
            return
        with self.evaluating, torch.no_grad():
            for x, *_ in islice(self.batches.epoch(1), AVERAGED):
                self.network(x)

    def _share(self, clock: Clock) -> float:
        """The seconds of a clock, shared equally among the replicates."""
        return clock.seconds / len(self.replicates)

    def state(self) -> dict[str, Any]:
        """What `restore` needs to continue with the next step exactly."""
        mine = {"random": torch.get_rng_state(), "random_python": random.getstate()}
        if self.losses:
            # On the CPU: gathered CUDA tensors would be put on the GPU of the rank that sent them.
            mine["losses"] = torch.stack(self.losses).cpu()
        if self.device.type == "cuda":
            mine["random_cuda"] = torch.cuda.get_rng_state()
        return {
            "seeds": [replicate.seed for replicate in self.replicates],
            "step": self.step,
            "seconds": [self.training.seconds, self.evaluating.seconds],
            "cpu": self.training.cpu,
            "replicates": [replicate.state() for replicate in self.replicates],
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "processes": self.world.gather(mine),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state` of a trainer with the same arguments."""
        self.step = state["step"]
        self.training.seconds, self.evaluating.seconds = state["seconds"]
        self.training.cpu = state["cpu"]
        for replicate, saved in zip(self.replicates, state["replicates"], strict=True):
            replicate.restore(saved)
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
    seeds: Sequence[int],
    report: Report = lambda seed, evaluation: None,
    checkpoints: Checkpoints | None = None,
    world: World = ALONE,
) -> list[Outcome]:
    """Train replicates, several of them at once, from their checkpoint if there is one.

    Args:
        settings: the run.
        data: the prepared data set, on the settings' device.
        seeds: numbers of the replicates; more than one only if they can be stacked.
        report: called with a seed and each of its evaluations; it may raise to end the training.
        checkpoints: saves the replicates, and holds what an earlier process saved; None saves
            nothing.
        world: the ranks that train together.

    Raises:
        UserError: network, optimizer, batch size and data do not fit together.
    """
    trainer = Trainer(settings, data, seeds, world)
    checkpoints = checkpoints or Checkpoints(None, "")
    if state := checkpoints.resume(seeds):
        trainer.restore(state)
    return trainer.run(report, checkpoints)


def recordable(settings: Settings, world: World = ALONE) -> bool:
    """Whether the step is recorded as a CUDA graph.

    Steps of several ranks are not, and neither are those of timed runs, which are compared with
    them.
    """
    alone = world.size == 1 and not settings.timed
    return settings.recordable and alone and torch.device(settings.device).type == "cuda"
