"""Optimizers against each other on one problem: their rank, and whether it means anything.

Validation data decide everything (the setting of each optimizer and its rank); the test data are
read for the final accuracies and for the test of the differences between them, paired by seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optlab import results
from optlab.results import Best, Curve
from optlab.statistics import LEVEL, Comparison, Estimate, estimate, holm, paired_t_test

TOO_FEW = "not enough seeds to say"


@dataclass(frozen=True)
class Target:
    """How long an optimizer takes to a validation accuracy.

    Attributes:
        reached: how many seeds reach it.
        epochs, seconds: of training until the first evaluation that does; infinite, without an
            interval, where a seed misses it.
    """

    reached: int
    epochs: Estimate
    seconds: Estimate


@dataclass(frozen=True)
class Ranked:
    """One optimizer at its best setting among all of one problem.

    Attributes:
        best: the setting.
        rank: 1 for the lowest loss on validation data; settings with a diverged seed come last.
        difference: test accuracy, this one's minus that of rank 1; None for rank 1 itself and
            where there are too few seeds.
        p_holm: its p-value, adjusted for all comparisons on the problem.
        target: None where the exercise names no target.
    """

    best: Best
    rank: int
    difference: Comparison | None
    p_holm: float | None
    target: Target | None

    @property
    def verdict(self) -> str:
        """What the paired test says of this optimizer and the one of rank 1."""
        if self.rank == 1:
            return "the best on validation data"
        if self.difference is None or self.p_holm is None:
            return TOO_FEW
        if self.p_holm >= 1 - LEVEL:
            return "no difference shown"
        return "worse" if self.difference.difference.mean < 0 else "better"


def rank(best: Sequence[Best], targets: Mapping[str, float]) -> list[Ranked]:
    """The optimizers of each exercise, data set and model, in the order of their ranks.

    Args:
        best: of each optimizer the setting that `optlab.results` chose.
        targets: exercise -> validation accuracy to be reached, where it names one.
    """
    problems: dict[tuple[str, ...], list[Best]] = {}
    for one in best:
        run = one.chosen.run
        if one.chosen_on == "val_loss" and _classifies(one):
            problems.setdefault((run.exercise, run.dataset, run.model), []).append(one)
    return [
        ranked
        for (exercise, *_), group in problems.items()
        if len(group) > 1
        for ranked in _rank(group, targets.get(exercise))
    ]


def _classifies(best: Best) -> bool:
    return any("accuracy" in name and value for name, value in best.chosen.figures.items()) or (
        best.chosen.diverged == best.chosen.seeds
    )


def _rank(group: Sequence[Best], target: float | None) -> list[Ranked]:
    order = sorted(group, key=lambda b: (b.chosen.diverged, b.chosen.loss(b.chosen_on)))
    accuracy = [results.by_seed(one.chosen.run, "test_accuracy") for one in order]
    tests: list[Comparison | None] = [None]
    for own in accuracy[1:]:
        tests.append(paired_t_test(*results.paired(own, accuracy[0])))
    adjusted = iter(holm([test.p for test in tests if test is not None]))
    return [
        Ranked(
            best=one,
            rank=place,
            difference=test,
            p_holm=None if test is None else next(adjusted),
            target=None if target is None else to_target(results.curves(one.chosen.run), target),
        )
        for place, (one, test) in enumerate(zip(order, tests, strict=True), 1)
    ]


def to_target(curves: Sequence[Curve], target: float) -> Target:
    """How long the seeds of a run take to a validation accuracy of ``target``."""
    epochs, seconds = [], []
    for curve in curves:
        there = curve.values["val_accuracy"] >= target
        if there.any():
            first = int(there.argmax())
            epochs.append(float(curve.epoch[first]))
            seconds.append(float(curve.seconds[first]))
    missed = len(epochs) < len(curves)
    return Target(len(epochs), *(_time(values, missed) for values in (epochs, seconds)))


def _time(values: Sequence[float], missed: bool) -> Estimate:
    found = None if missed else estimate(values)
    return found or Estimate(math.inf)
