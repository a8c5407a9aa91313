"""Where the time of a step goes, measured apart from the training that it is about.

Each part is timed alone, with the device waited for before and after, in steps of a copy of the
run that is thrown away. The first steps are not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch

from optlab.training import loop, optimizers, stepping
from optlab.training.batches import Batch
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World

WARM_UP, MEASURED = 5, 25

Times = dict[str, list[float]]


def measure(settings: Settings, data: Dataset, world: World = ALONE) -> dict[str, Any] | None:
    """Seconds of a step and of its parts, each as the median and quartiles over the steps.

    ``data`` is a batch's share of gathering a block of batches, ``forward_backward`` the gradient
    without averaging over processes, ``communication`` the gradient with averaging less that
    without, ``optimizer`` its step, ``step`` all of it as the training loop does it. The processes
    take part together, and the first one's times are told. None for an optimizer that evaluates
    the gradient as often as it likes.
    """
    trainer = loop.Trainer(settings, data, [0], world)
    if optimizers.needs_closure(trainer.optimizer):
        return None
    clock = loop.Clock(trainer.device)
    batches = _endless(trainer)
    for _ in range(WARM_UP):
        trainer.take_step(*next(batches))
    times: Times = defaultdict(list)
    rows = trainer.batches.block(1)
    for _ in range(MEASURED):
        _take_apart(trainer, next(batches), rows, clock, times)
    batch = trainer.batches.size
    parts = {name: _summary(values) for name, values in times.items()}
    return {"measured": MEASURED, "warm_up": WARM_UP, "examples_per_step": batch, **parts}


def _take_apart(
    trainer: loop.Trainer,
    batch: Batch,
    rows: torch.Tensor,
    clock: loop.Clock,
    times: Times,
) -> None:
    """One step as a whole, and then its parts one by one."""

    def timed(action: Callable[[], Any]) -> float:
        trainer.world.sum(torch.zeros((), device=trainer.device))  # all processes begin together
        before = clock.seconds
        with clock:
            action()
        return clock.seconds - before

    def clear() -> None:
        for parameter in trainer.parameters:
            parameter.grad = None

    gather = timed(lambda: list(trainer.batches.gather(rows)))
    data = gather / max(1, -(-len(rows) // trainer.batches.size))
    whole = timed(lambda: trainer.take_step(*batch))
    averaged = timed(lambda: trainer.gradient(*batch))
    clear()
    wrapped = getattr(trainer.gradient, "model", None)
    with wrapped.no_sync() if wrapped is not None else nullcontext():
        alone = timed(lambda: trainer.gradient(*batch))
    optimizer = timed(stepping.update_of(trainer.optimizer))
    clear()
    times["step"].append(data + whole)
    times["data"].append(data)
    times["forward_backward"].append(alone)
    times["communication"].append(averaged - alone if wrapped is not None else 0.0)
    times["optimizer"].append(optimizer)


def _endless(trainer: loop.Trainer) -> Iterator[Batch]:
    epoch = 0
    while True:
        epoch += 1
        yield from trainer.batches.epoch(epoch)


def _summary(values: list[float]) -> dict[str, float]:
    low, median, high = torch.tensor(values, dtype=torch.float64).quantile(
        torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    )
    return {"median": float(median), "low": float(low), "high": float(high)}
