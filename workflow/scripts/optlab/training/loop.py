"""The training loop: one loop for every exercise, network, optimizer and device.

The data set stays on the device in the form in which it was prepared. Steps neither gather data nor
synchronize with the device: examples are gathered for a block of batches at a time, and losses
stay on the device until the next evaluation. The training clock excludes everything else.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from optlab import custom
from optlab.training import (
    batch_norm,
    gradients,
    optimizers,
    protocol,
    resumption,
    stacking,
    stepping,
)
from optlab.training.averages import Averages
from optlab.training.checkpoints import Checkpoints
from optlab.training.clock import Clock, Deadline
from optlab.training.datasets import Dataset
from optlab.training.evaluation import Evaluation
from optlab.training.outcome import Outcome
from optlab.training.replicates import Replicate
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World

AVERAGED = 50  # batches over which BatchNorm averages anew, as in the README of schedule-free

Report = Callable[[int, Evaluation], None]  # a seed and its new row


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
        self.parameters = list(named.values())
        self.gradient = gradients.of(
            settings, self.network, data, named, self.optimizer, world, len(seeds) > 1
        )
        self.schedule = optimizers.build_scheduler(settings, self.optimizer, self.steps)
        self.take_step = stepping.make_step(
            self.gradient, self.parameters, self.optimizer, self.schedule, graph
        )
        self.averages = (
            Averages(first.model, settings.ema, self.optimizer) if settings.ema else None
        )
        if self.averages is not None:
            self.take_step = self.averages.after(self.take_step)
        self.training, self.evaluating = Clock(self.device), Clock(self.device)
        self.losses: list[Tensor] = []  # of the steps since the last evaluation
        self.step, self.late = 0, False
        self.deadline = Deadline(settings.minutes, world)
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

    def run(self, report: Report, checkpoints: Checkpoints) -> list[Outcome]:
        """Train from the current step to the end, or until every replicate has diverged."""
        if not self.replicates[0].rows:
            self.evaluate(0, report)
        while not self.ended and not all(r.ended for r in self.replicates):
            epoch = self.step // self.batches.per_epoch + 1
            self._train(epoch, checkpoints)
            if self.ended or epoch % self.settings.evaluate_every == 0:
                self.evaluate(self._trained(), report, last=self.ended)
        shares = (self._share(self.training), self._share(self.evaluating))
        cpu = self.training.cpu / len(self.replicates)
        return [
            Outcome(r.rows, r.model, *shares, cpu, r.stopped, r.to_keep) for r in self.replicates
        ]

    @property
    def ended(self) -> bool:
        """Whether all epochs are trained, or the time is over."""
        return self.step >= self.steps or self.late

    def _trained(self) -> float:
        """The epochs that have been trained; with a fraction where the time ended one."""
        epochs, more = divmod(self.step, self.batches.per_epoch)
        return self.step / self.batches.per_epoch if more else epochs

    def _train(self, epoch: int, checkpoints: Checkpoints) -> None:
        """Train an epoch, or the rest of it."""
        with self.training:
            self.set_mode(training=True)
            batches = self.batches.epoch(epoch, self.step % self.batches.per_epoch)
            for batch in self._in_time(batches) if self.settings.minutes else batches:
                if checkpoints.due():
                    with self.training.paused():
                        self._save(checkpoints, batch)
                self.take(batch)

    def _in_time(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The batches until the time of the run is over; at least one."""
        for batch in batches:
            yield batch
            if self.deadline.is_over(self.training.seconds_so_far()):
                self.late = True
                return

    def set_mode(self, training: bool) -> bool:
        """Put the weights in place that are trained, or those that are evaluated.

        Returns:
            Whether they may be different ones, of which the optimizer knows.
        """
        if self.averages is not None:
            self.averages.show(not training)
        return protocol.set_mode(self.optimizer, training)

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

    def evaluate(self, epoch: float, report: Report, last: bool = False) -> None:
        """Evaluate each replicate that has not ended; the ``last`` time on the test set too."""
        seconds, count = self._share(self.training), len(self.replicates)
        losses = torch.stack(self.losses) if self.losses else torch.empty(0)
        if self.step and self.set_mode(training=False):
            self._average_again()
        for number, replicate in enumerate(self.replicates):
            if replicate.ended:
                continue
            with self.evaluating:
                own = losses.view(-1, count)[:, number]
                row = replicate.evaluate(epoch, self.step, seconds, own, last)
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
            **({"averages": self.averages.state()} if self.averages is not None else {}),
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
        if self.averages is not None:
            self.averages.restore(state["averages"])
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
