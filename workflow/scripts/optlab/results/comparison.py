"""Optimizers against each other on one problem: their rank, and what is known of each pair.

The setting of each optimizer is chosen on validation data and tuning seeds. Ranks and verdicts are
by the same metric on test data, on confirmation seeds where the study has them, paired by seed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from optlab.catalogue.tasks import sign
from optlab.results import clocks, pairs, reading, summary
from optlab.results.pairs import BETTER, EQUIVALENT, OPEN, Contestant, Pair
from optlab.results.reading import Curve
from optlab.results.statistics import Estimate, cells, geometric, with_ends
from optlab.runs import failures
from optlab.study import table
from optlab.study.confirmation import Confirmed
from optlab.study.run import Run
from optlab.values import counted

CROWN = "the best"
DIFFERENCE = (
    *(*with_ends("difference"), *pairs.OVER_EXAMPLES),
    *("margin", "common_seeds", "p", "p_holm", "p_equivalent"),
)
_TRIED = ("settings", "diverged_settings", "failed_settings", "lr_at_edge")
EFFORT = (*pairs.MORE, "more_minutes")
PAIRS = [*summary.PROBLEM, "optimizer", "other", "judged_by", "verdict", *DIFFERENCE]


class Contest(NamedTuple):
    """The optimizers of one problem in the order of their rank.

    Attributes:
        figure: by which they are judged.
        best: the rows of their chosen settings (`summary.best`).
        contestants: each at its setting, on the seeds by which it is judged.
        pairs: every pair of them, the one of the better rank first.
    """

    figure: str
    best: pd.DataFrame
    contestants: list[Contestant]
    pairs: list[Pair]

    @property
    def against_first(self) -> list[Pair]:
        """The pairs of the first in rank and each of the others, in their order."""
        return self.pairs[: len(self.contestants) - 1]


def contests(study: Mapping[str, Any], best: pd.DataFrame) -> list[Contest]:
    """The problems of a study on which there is something to compare.

    Left out are those with a single optimizer, without validation data or without test data; and
    in each problem the optimizers of which every setting failed.

    Args:
        study: resolved.
        best: of each optimizer the chosen setting (`summary.best`).

    Raises:
        UserError: a chosen setting has not been confirmed.
    """
    confirmed = table.confirmed(study)
    return [
        _contest(sound, confirmed, study["exercises"][exercise]["margin"])
        for (exercise, *_), group in best.groupby(summary.PROBLEM, sort=False)
        if len(sound := group[_comparable(group)]) and len(group) > 1
    ]


def _comparable(group: pd.DataFrame) -> pd.Series:
    """Whether a setting was chosen on validation data and tested, unless every seed diverged."""
    figures = group["chosen_on"].str.replace("val_", "test_")
    tested = [
        not np.isnan(row.get(name, math.nan))
        for name, row in zip(figures, group.to_dict("records"), strict=True)
    ]
    judged = group["chosen_on"].str.startswith("val_")
    return judged & (pd.Series(tested, group.index) | (group["diverged"] == group["seeds"]))


def _contest(
    group: pd.DataFrame, confirmed: Mapping[str, Confirmed], margin: Mapping[str, Any]
) -> Contest:
    figure = group["chosen_on"].iloc[0].replace("val_", "test_")
    found = [pairs.contestant(judged(run, confirmed), figure) for run in group["run"]]
    order = sorted(range(len(found)), key=lambda i: _place(found[i], figure))
    size = pairs.margin(margin, figure, found[order[0]].mean)
    tested = pairs.compare([found[i] for i in order], figure, size)
    ranked = _ranked([found[i] for i in order], tested)
    best = group.set_index(pd.Index([found.path for found in group["run"]], name="path"))
    rows = best.loc[[one.run.path for one in ranked]]
    place = {one.run.path: number for number, one in enumerate(ranked)}
    turned = [p if place[p.one.run.path] < place[p.other.run.path] else p.swapped() for p in tested]
    turned.sort(key=lambda pair: (place[pair.one.run.path], place[pair.other.run.path]))
    return Contest(figure, rows, ranked, turned)


def judged(chosen: Run, confirmed: Mapping[str, Confirmed]) -> Run:
    """The run by which a chosen setting is judged: on its confirmation seeds, if it has any."""
    unit = confirmed.get(chosen.unit)
    return unit.run if unit and unit.seeds else chosen


def paired(one: Run, other: Run, figure: str) -> tuple[list[float], list[float]]:
    """A figure of two runs, after the last epoch, for the seeds that diverged in neither."""
    last = reading.finals([one, other])
    values = last.loc[last["status"] == "ok", figure].astype(float).unstack("path")
    values = values.reindex(columns=[one.path, other.path]).dropna()
    return list(values[one.path]), list(values[other.path])


def _place(one: Contestant, figure: str) -> tuple[bool, float]:
    """A key that sorts the best first: those that diverge on no seed, then the figure."""
    return bool(one.diverged), math.inf if math.isnan(one.mean) else sign(figure) * one.mean


def _ranked(ordered: Sequence[Contestant], tested: Sequence[Pair]) -> list[Contestant]:
    """By their means, but none behind one that it is shown to be better than.

    The two can differ where seeds were added to some optimizers only: means are then over
    different seeds, while pairs are compared on common ones.
    """
    better = {(p.one.run.path, p.other.run.path) for p in tested if p.verdict == BETTER}
    better |= {(p.other.run.path, p.one.run.path) for p in tested if p.verdict == pairs.WORSE}
    left, found = list(ordered), []
    while left:
        unbeaten = (
            number
            for number, one in enumerate(left)
            if not any((two.run.path, one.run.path) in better for two in left)
        )
        found.append(left.pop(next(unbeaten, 0)))
    return found


def failed(best: pd.DataFrame, ranked: int) -> pd.DataFrame:
    """The rows of ``optimizers.tsv`` of the optimizers that failed, behind those that are ranked.

    Args:
        best: the chosen settings of a problem (`summary.best`), with a column ``reason``.
        ranked: number of optimizers that have a rank.
    """
    rows = best[best["status"] == failures.STATUS]
    places = range(ranked + 1, ranked + 1 + len(rows))
    return rows.assign(rank=list(places), verdict=failures.STATUS, warnings=rows["reason"])


def rank(
    contest: Contest, target: float | None, warnings: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """The optimizers of a problem by rank: the rows of ``optimizers.tsv``.

    Args:
        target: a validation accuracy to be reached, if the exercise names one.
        warnings: optimizer -> further warnings.
    """
    figures = summary.summarise([one.run for one in contest.contestants])
    chosen_rows = [row for _, row in contest.best.iterrows()]
    against = [None, *(pair.swapped() for pair in contest.against_first)]
    rows: list[dict[str, Any]] = []
    for one, chosen, pair in zip(contest.contestants, chosen_rows, against, strict=True):
        notes = [*_warnings(one, chosen, contest), *warnings.get(one.run.optimizer, ())]
        rows.append(
            {
                "rank": len(rows) + 1,
                "verdict": pairs.words(pair) if pair else _crown(contest),
                "warnings": "; ".join(notes),
                **target_cells(reading.curves(one.run), target),
                **(pair.row() if pair else dict.fromkeys(DIFFERENCE, math.nan)),
                **(pair.effort() if pair else dict.fromkeys(EFFORT, math.nan)),
                **{name: chosen[name] for name in _TRIED},
                "judged_by": contest.figure,
                "tuning_seeds": chosen["seeds"],
            }
        )
    return pd.concat([figures, pd.DataFrame(rows, index=figures.index)], axis=1)


def _crown(contest: Contest) -> str:
    """The verdict of the first in rank."""
    if contest.contestants[0].lost:
        return "first, but no optimizer has a seed that did not diverge"
    if edge := _edge(contest.best.iloc[0]):
        return f"first, not crowned: {edge}"
    verdicts = {pair.verdict for pair in contest.against_first}
    if not verdicts:
        return "the only one that could be trained"
    if OPEN in verdicts:
        return "first, with others not told apart yet"
    return f"{CROWN}, with equivalent ones" if EQUIVALENT in verdicts else CROWN


def _warnings(one: Contestant, chosen: pd.Series, contest: Contest) -> list[str]:
    """What a reader has to know before believing a row."""
    found = [edge] if (edge := _edge(chosen)) else []
    if chosen["lr_at_edge"] == "only":
        found.append("a single learning rate was tried")
    if reason := failures.reason(one.run.folder) if one.diverged else None:
        found.append(f"its confirmation failed: {reason}")
    elif one.diverged:
        found.append(f"{one.diverged} of {one.run.seeds} seeds diverged")
    if chosen["failed_settings"]:
        found.append(f"{counted(int(chosen['failed_settings']), 'setting')} failed")
    found += clocks.warnings(one.run, chosen["device"])
    if not one.run.confirms:
        found.append("judged on the seeds that chose its setting")
    most = int(contest.best["settings"].max())
    if 2 * chosen["settings"] <= most:
        tried = counted(int(chosen["settings"]), "setting")
        found.append(f"tuned with {tried}, another one with {most}")
    return found


def _edge(chosen: pd.Series) -> str:
    """That the learning rate of a setting is at an end of those tried, in words."""
    end = chosen["lr_at_edge"]
    known = end in ("lowest", "highest")
    return f"its learning rate is the {end} that was tried" if known else ""


def frame(contest: Contest) -> pd.DataFrame:
    """Every pair of a problem: the rows of ``pairs.tsv``."""
    problem = {name: getattr(contest.contestants[0].run, name) for name in summary.PROBLEM}
    return pd.DataFrame(
        [
            {
                **problem,
                "optimizer": pair.one.run.optimizer,
                "other": pair.other.run.optimizer,
                "judged_by": contest.figure,
                "verdict": pair.verdict,
                **pair.row(),
            }
            for pair in contest.pairs
        ],
        columns=PAIRS,  # also where there is no pair
    )


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
