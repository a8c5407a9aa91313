"""Optimizers across the problems of a study: how fast each reaches the targets.

The performance profile of an optimizer is the share of problems that it solves within ``tau`` times
the time of the fastest (E. D. Dolan and J. J. Moré, "Benchmarking optimization software with
performance profiles", Math. Program. 91 (2002) 201-213). Its score is the mean of that share over
tau from 1 to `LONGEST` (G. Dahl et al., "Benchmarking neural network training algorithms", 2023,
arXiv:2306.07179). A mean rank would depend on how many optimizers there are.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optlab.results import comparison, reading
from optlab.results.summary import PROBLEM
from optlab.study import table
from optlab.study.run import Run

LONGEST = 4.0  # times the fastest's time, up to which a problem counts for the score
MEASURES = ("epochs", "seconds")
COLUMNS = ["optimizer", "problems", "measure", "score", "tau", "share"]


def frame(study: Mapping[str, Any], best: pd.DataFrame) -> pd.DataFrame:
    """The table profiles.tsv: the steps of each optimizer's profile, by epochs and by seconds.

    ``share`` of the problems are solved within ``tau`` times the time of the fastest; it holds up
    to the next row. The first row is tau = 1: the problems on which the optimizer is the fastest.
    It has no rows where the study has no two problems with a target, or no two optimizers on them.

    Args:
        study: resolved.
        best: of each optimizer the chosen setting (`summary.best`).
    """
    rows = [
        {"optimizer": name, "problems": len(ratios), "measure": measure, "score": score(ratios),
         "tau": tau, "share": share}
        for measure, times in _times(study, best).items()
        for name, ratios in _ratios(times).items()
        for tau, share in steps(ratios)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def steps(ratios: Sequence[float]) -> list[tuple[float, float]]:
    """The profile of these ratios to the fastest, as tau and share: at 1, and at each step."""
    taus = sorted({1.0, *(ratio for ratio in ratios if math.isfinite(ratio))})
    return [(tau, sum(ratio <= tau for ratio in ratios) / len(ratios)) for tau in taus]


def score(ratios: Sequence[float]) -> float:
    """The integral of the profile from 1 to `LONGEST`, divided by its length."""
    return math.fsum(max(0.0, LONGEST - ratio) for ratio in ratios) / (LONGEST - 1) / len(ratios)


def _times(study: Mapping[str, Any], best: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """For each measure the times to the target: a row a problem, a column an optimizer.

    On confirmation seeds, where there are any. Seconds of different devices are not compared: they
    are left out.
    """
    problems, common = table.races(study)
    runs = best.set_index([*PROBLEM, "optimizer"])["run"]
    confirmed = table.confirmed(study) if problems else {}
    targets = {name: one.get("target_accuracy") for name, one in study["exercises"].items()}
    rows, alike = [], True
    for problem in problems:
        judged = [comparison.judged(runs[*problem, name], confirmed) for name in common]
        rows.append([_time(run, targets[problem[0]]) for run in judged])
        alike &= reading.finals(judged)["device"].nunique() == 1
    return {
        measure: pd.DataFrame([[time[at] for time in row] for row in rows], columns=common)
        for at, measure in enumerate(MEASURES)
        if rows and (alike or measure != "seconds")
    }


def _time(run: Run, target: float) -> tuple[float, float]:
    """Epochs and seconds to the target; infinite unless more than half of the seeds reach it."""
    curves = reading.curves(run)
    reached, epochs, seconds = comparison.to_target(curves, target)
    return (epochs.mean, seconds.mean) if 2 * reached > len(curves) else (math.inf, math.inf)


def _ratios(times: pd.DataFrame) -> dict[str, list[float]]:
    """The ratios to the fastest of each problem; infinite where a problem is not solved."""

    def ratio(time: float, fastest: float) -> float:
        if math.isinf(time) or time == fastest:
            return math.inf if math.isinf(time) else 1.0
        # Without the last digits of a geometric mean, so that equal times are equal.
        return float(f"{time / fastest:.9g}") if fastest else math.inf

    fastest = times.min(axis=1)
    return {name: [*map(ratio, times[name], fastest)] for name in times}
