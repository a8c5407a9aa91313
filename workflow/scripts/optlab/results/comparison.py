"""Optimizers against each other on one problem: their rank, and whether it means anything.

Validation data decide everything (the setting of each optimizer and its rank); the test data are
read for the final accuracies and for the test of the differences between them, paired by seed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optlab.results import reading, summary
from optlab.results.reading import Curve
from optlab.results.statistics import (
    LEVEL,
    Comparison,
    Estimate,
    cells,
    geometric,
    holm,
    paired_t_test,
)
from optlab.study.run import Run

TOO_FEW = "not enough seeds to say"


def rank(best: pd.DataFrame, targets: Mapping[str, float | None]) -> pd.DataFrame:
    """The optimizers of each problem by rank; problems with a single optimizer are left out.

    Further columns: ``rank``, 1 for the lowest loss on validation data; ``test_difference``, the
    test accuracy minus that of rank 1; ``p`` of a paired t-test, and ``p_holm`` adjusted for all
    comparisons on the problem; ``verdict``; and those of `to_target`.

    Args:
        best: of each optimizer the chosen setting (`summary.best`).
        targets: exercise -> validation accuracy to be reached, if it names one.
    """
    ranked = [
        _rank(summary.ordered(group), targets.get(exercise))
        for (exercise, *_), group in best[_comparable(best)].groupby(summary.PROBLEM, sort=False)
        if len(group) > 1
    ]
    return pd.concat(ranked) if ranked else pd.DataFrame()


def _comparable(group: pd.DataFrame) -> pd.Series:
    """Whether there is validation data, and accuracies, unless every seed diverged."""
    classes = group.filter(regex="accuracy$").notna().any(axis=1)
    judged = group["chosen_on"].str.startswith("val_")
    return judged & (classes | (group["diverged"] == group["seeds"]))


def _rank(group: pd.DataFrame, target: float | None) -> pd.DataFrame:
    best, *others = group["run"]
    tests = [None, *(paired_t_test(*paired(run, best, "test_accuracy")) for run in others)]
    adjusted = iter(holm([test.p for test in tests if test is not None]))
    rows: list[dict[str, Any]] = []
    for place, (run, test) in enumerate(zip(group["run"], tests, strict=True), 1):
        p_holm = next(adjusted) if test else math.nan
        verdict = "the best on validation data" if place == 1 else _verdict(test, p_holm)
        rows.append(
            {
                "rank": place,
                "verdict": verdict,
                **target_cells(reading.curves(run), target),
                **cells("test_difference", test.difference if test else Estimate()),
                "p": test.p if test else math.nan,
                "p_holm": p_holm,
            }
        )
    return pd.concat([group, pd.DataFrame(rows, index=group.index)], axis=1)


def paired(one: Run, other: Run, figure: str) -> tuple[list[float], list[float]]:
    """A figure of two runs, after the last epoch, for the seeds that diverged in neither."""
    last = reading.finals([one, other])
    values = last.loc[last["status"] == "ok", figure].astype(float).unstack("path")
    values = values.reindex(columns=[one.path, other.path]).dropna()
    return list(values[one.path]), list(values[other.path])


def _verdict(test: Comparison | None, p_holm: float) -> str:
    """What the paired test says of an optimizer and the one of rank 1."""
    if test is None:
        return TOO_FEW
    if p_holm >= 1 - LEVEL:
        return "no difference shown"
    return "worse" if test.difference.mean < 0 else "better"


# -- time to a target accuracy ---------------------------------------------------------------


def target_cells(curves: Sequence[Curve], target: float | None) -> dict[str, Any]:
    """The columns on the time to a validation accuracy: see `to_target`."""
    if target is None:
        reached, epochs, seconds = math.nan, Estimate(), Estimate()
    else:
        reached, epochs, seconds = to_target(curves, target)
    return {
        "target_accuracy": math.nan if target is None else target,
        "reached_target": reached,
        **cells("epochs_to_target", epochs),
        **cells("seconds_to_target", seconds),
    }


def to_target(curves: Sequence[Curve], target: float) -> tuple[int, Estimate, Estimate]:
    """How many seeds reach a validation accuracy, and after how many epochs and seconds.

    Of training, until the first evaluation that has it: the geometric mean over the seeds that
    reach it; infinite where none does.
    """
    found = [hit for curve in curves if (hit := first_hit(curve, target)) is not None]
    if not found:
        return 0, Estimate(math.inf), Estimate(math.inf)
    epochs, seconds = (geometric(times) for times in zip(*found, strict=True))
    return len(found), epochs, seconds


def first_hit(curve: Curve, target: float) -> tuple[float, float] | None:
    """Epochs and seconds of a seed until its validation accuracy is reached; None if never."""
    there = curve.values["val_accuracy"] >= target
    if not there.any():
        return None
    first = int(there.argmax())
    return float(curve.epoch[first]), float(curve.seconds[first])
