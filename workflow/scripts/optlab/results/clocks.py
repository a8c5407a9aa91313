"""Whether the times of a run were measured beside other work.

A process that has a core for itself computes all the time. One that shares it waits, and its clock
runs on: of the seconds of training, those in which the training thread had a core tell. On a GPU,
and in runs of several processes, it waits for others, and nothing follows.
"""

import math
from collections.abc import Iterable

from optlab.runs import record
from optlab.study.run import Run

ALONE = 0.8  # of the time: a thread that had a core for less was not alone
SHORTEST = 0.05  # seconds of training; of less, the clocks say nothing
COLUMN = "other_work"  # of the tables


def share(run: Run) -> float:
    """The share of the training time in which a run had a core; NaN where that says nothing."""
    seeds = record.seeds(run)
    try:
        whole = math.fsum(seed["seconds"] for seed in seeds)
        busy = math.fsum(seed["cpu_seconds"] for seed in seeds)
    except (KeyError, TypeError):  # of an earlier version
        return math.nan
    return busy / whole if whole >= SHORTEST else math.nan


def note(run: Run, device: str) -> str:
    """That other work made the times of a run longer, and how much was left for it; else nothing.

    Args:
        device: cpu or cuda, on which it was trained.
    """
    found = share(run) if device == "cpu" and run.gpus == 1 else math.nan
    return f"left it {found:.0%} of a core" if found < ALONE else ""


def warnings(run: Run, device: str) -> list[str]:
    """What a reader has to know of the times of a run, and of what follows from them."""
    found = []
    if told := note(run, device):
        words = "its steps are too few" if run.minutes else "its seconds are too long"
        found.append(f"{words}: other work {told}")
    if run.minutes:
        found.append("trained by the clock: another machine takes other numbers of steps")
    if early := sum(bool(seed.get(record.STOPPED)) for seed in record.seeds(run)):
        found.append(f"{early} of {run.seeds} seeds stopped early")
    return found


def notes(runs: Iterable[Run], devices: Iterable[str]) -> list[str]:
    """`note` of each run."""
    return [note(run, device) for run, device in zip(runs, devices, strict=True)]
