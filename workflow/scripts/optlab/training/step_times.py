"""Where the time of a step goes, measured on a copy of the run that is thrown away.

Each part of a step is timed alone, with the device synchronized before and after.
"""

import statistics
from collections.abc import Callable
from contextlib import nullcontext
from itertools import chain, count
from typing import Any

import torch

from optlab.training import loop, protocol, stepping
from optlab.training.batches import Batch
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings
from optlab.training.world import ALONE, World

WARM_UP, MEASURED = 5, 25  # steps


def measure(settings: Settings, data: Dataset, world: World = ALONE) -> dict[str, Any] | None:
    """Seconds of a step and of its parts, as the median and quartiles over the steps.

    ``data`` is a batch's share of gathering a block of batches, ``forward_backward`` the gradient
    without averaging over the ranks, ``communication`` what averaging adds, ``optimizer`` its
    step, and ``step`` all of it as the training loop does it. All ranks must call this; each
    returns its own times.

    Returns:
        None for an optimizer that evaluates the gradient any number of times.
    """
    trainer = loop.Trainer(settings, data, [0], world)
    if not protocol.of(type(trainer.optimizer)).apart:
        return None
    batches = chain.from_iterable(map(trainer.batches.epoch, count(1)))
    for _ in range(WARM_UP):
        trainer.take_step(*next(batches))
    # Full batches are gathered once, before the training.
    rows = trainer.batches.order(1)[: 0 if trainer.batches.is_full else trainer.batches.block_size]
    times = [_take_apart(trainer, next(batches), rows) for _ in range(MEASURED)]
    batch = trainer.batches.size
    parts = {name: _summary([step[name] for step in times]) for name in times[0]}
    return {"measured": MEASURED, "warm_up": WARM_UP, "examples_per_step": batch, **parts}


def _take_apart(trainer: loop.Trainer, batch: Batch, rows: torch.Tensor) -> dict[str, float]:
    """Take one step as a whole, then its parts one by one; the seconds of each."""

    def timed(action: Callable[[], Any]) -> float:
        trainer.world.sum(torch.zeros((), device=trainer.device))  # all ranks start together
        clock = loop.Clock(trainer.device)
        with clock:
            action()
        return clock.seconds

    gather = timed(lambda: list(trainer.batches.gather(rows)))
    data = gather / max(1, -(-len(rows) // trainer.batches.size))
    whole = timed(lambda: trainer.take_step(*batch))
    averaged = timed(lambda: trainer.gradient(*batch))
    trainer.network.zero_grad()
    with getattr(trainer.network, "no_sync", nullcontext)():
        alone = timed(lambda: trainer.gradient(*batch))
    optimizer = timed(stepping.update_of(trainer.optimizer))
    trainer.network.zero_grad()
    return {
        "step": data + whole,
        "data": data,
        "forward_backward": alone,
        "communication": averaged - alone if trainer.world.size > 1 else 0.0,
        "optimizer": optimizer,
    }


def _summary(values: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}
