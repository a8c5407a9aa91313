"""Small networks over learning rates and seeds: one run after the other, and several in one step.

A way of training a sweep is a function in `WAYS`; each is compared with the first. All of them get
the same runs, and return their outcomes rate by rate, in each seed by seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gpu import images, runs
from gpu.day import Day
from optlab.training import loop
from optlab.training.datasets import Dataset
from optlab.training.outcome import Outcome
from optlab.training.settings import Settings

Way = Callable[[Sequence[Settings], Dataset, Sequence[int]], list[Outcome]]
RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]


def _separate(sweep: Sequence[Settings], data: Dataset, seeds: Sequence[int]) -> list[Outcome]:
    return [loop.train(run, data, [seed])[0] for run in sweep for seed in seeds]


def _together(sweep: Sequence[Settings], data: Dataset, seeds: Sequence[int]) -> list[Outcome]:
    return [outcome for run in sweep for outcome in loop.train(run, data, seeds)]


WAYS: dict[str, Way] = {"one by one": _separate, "seeds together": _together}


def measure(day: Day) -> None:
    data = images.to_time(day)
    day.note("data", data.label)
    rates = RATES[-day.size(len(RATES), 2) :]
    for network in ("softmax", "mlp"):
        sweep = [
            runs.settings(day, network, "sgd", lr, batch_size=100, epochs=day.size(2, 1))
            for lr in rates
        ]
        _compare(day, network, sweep, data)


def _compare(day: Day, network: str, sweep: Sequence[Settings], data: Dataset) -> None:
    """Train a sweep in each way."""
    found: dict[str, list[Outcome]] = {}
    figures: dict[str, Any] = {}
    for name, way in WAYS.items():

        def trained(name: str = name, way: Way = way) -> dict[str, Any]:
            seeds = range(day.size(3, 2))
            # At the first steps of their kind libraries load their kernels.
            few = replace(sweep[0], epochs=1, epoch_examples=min(len(data.train.x), 1000))
            way([few], data, seeds)

            def train() -> list[Outcome]:
                found[name] = way(sweep, data, seeds)
                return found[name]

            return runs.measured(day.device, train)

        figures[name] = day.measure(f"{network}, {name}", trained)
    first, *others = WAYS
    for name in others:
        if name in found and first in found:
            day.note(f"{network}, {first} / {name}", {
                "training clocks": runs.ratio(figures[first], figures[name]),
                "wall": runs.ratio(figures[first], figures[name], "wall"),
                "largest difference of a loss": _difference(found[name], found[first]),
            })  # fmt: skip


def _difference(found: Sequence[Outcome], expected: Sequence[Outcome]) -> float | None:
    """The largest relative difference between last training losses of what did not diverge."""
    pairs = [[o.evaluations[-1] for o in both] for both in zip(found, expected, strict=True)]
    good = [(a.train_loss, b.train_loss) for a, b in pairs if a.status == b.status == "ok"]
    return max((abs(a - b) / abs(b) for a, b in good), default=None)
