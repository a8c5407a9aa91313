"""Two optimizers on the same seeds: which one is better, or what is missing to say so.

Everything here stays valid when seeds are added after a look at the results (`results.anytime`).
Verdicts generalise over the seeds on one test set.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from optlab.catalogue.tasks import is_share, measured_in, sign
from optlab.results import anytime, examples, reading
from optlab.results.anytime import More
from optlab.results.statistics import LEVEL, Estimate, cells
from optlab.runs import record
from optlab.study import confirmation
from optlab.study.run import Run
from optlab.values import counted

BETTER, WORSE, EQUIVALENT, OPEN = "better", "worse", "equivalent", "open"
UNKNOWN = More(None, None, None)


@dataclass(frozen=True)
class Contestant:
    """An optimizer on a problem, at the setting and on the seeds by which it is judged.

    Attributes:
        run: with these seeds.
        values: the figure that decides, by seed; those that diverged are left out.
        diverged: number of seeds that did.
        seconds: of training and evaluating one seed; NaN where that is not known.
    """

    run: Run
    values: pd.Series
    diverged: int
    seconds: float

    @cached_property
    def correct(self) -> examples.Correct:
        """Which test examples it classifies correctly, by seed of `values`, where recorded."""
        found = examples.correct(self.run)
        return {seed: answers for seed, answers in found.items() if seed in self.values.index}

    @property
    def lost(self) -> bool:
        """Whether every seed diverged."""
        return self.diverged == self.run.seeds

    @property
    def mean(self) -> float:
        """Of the figure; NaN where every seed diverged."""
        return float(self.values.mean())


@dataclass(frozen=True)
class Pair:
    """Two contestants, and what was found.

    Attributes:
        one, other: the one of the better rank first.
        difference: of the figure, one minus other, with its interval.
        values: the differences of the seeds that neither of them diverged on.
        p, p_holm: of "no difference", alone and in its family.
        p_equivalent: of "a difference of the margin or more", in its family.
        verdict: of the first: better, worse, equivalent or open.
        margin: the largest difference that does not matter, if there is one.
        levels: the p at which a difference, and an equivalence, of this family is shown.
        grain: the resolution of the figure.
        figure: by which they are compared.
    """

    one: Contestant
    other: Contestant
    difference: Estimate
    values: list[float]
    p: float
    p_holm: float
    p_equivalent: float
    verdict: str
    margin: float | None
    levels: tuple[float, float]
    grain: float
    figure: str

    @property
    def seeds(self) -> int:
        """The seeds of both."""
        return len(self.values)

    @property
    def over_examples(self) -> Estimate:
        """The difference with an interval over seeds and test examples; only for accuracies."""
        if self.figure != "test_accuracy":
            return Estimate()
        return examples.difference(self.one.correct, self.other.correct)

    @property
    def exact(self) -> bool:
        """Whether nothing about it is random."""
        return is_exact(self.one, self.other)

    @cached_property
    def more(self) -> More:
        """The further seeds that would probably settle it; unknown where it is not open."""
        if self.verdict != OPEN or self.exact or self.one.diverged or self.other.diverged:
            return UNKNOWN
        return anytime.more_seeds(self.values, self.margin, *self.levels, self.grain)

    @property
    def minutes(self) -> float:
        """What the further seeds of both would take, one after another; NaN where unknown."""
        if self.more.seeds is None:
            return math.nan
        until = self.seeds + self.more.seeds
        missing = [(until - len(c.values), c.seconds) for c in (self.one, self.other)]
        return sum(max(0, seeds) * seconds for seeds, seconds in missing) / 60

    def swapped(self) -> "Pair":
        """The same pair, the other first."""
        mean, low, high = self.difference
        verdict = {BETTER: WORSE, WORSE: BETTER}.get(self.verdict, self.verdict)
        turned = Estimate(-mean, -high, -low)
        values = [-value for value in self.values]
        return replace(
            self, one=self.other, other=self.one, difference=turned, values=values, verdict=verdict
        )

    def row(self) -> dict[str, Any]:
        """The columns of a comparison."""
        return {
            **cells("difference", self.difference),
            **dict(zip(OVER_EXAMPLES, self.over_examples[1:], strict=True)),
            "margin": math.nan if self.margin is None else self.margin,
            "common_seeds": self.seeds,
            **{name: getattr(self, name) for name in ("p", "p_holm", "p_equivalent")},
        }

    def effort(self) -> dict[str, float]:
        """The columns of what would settle it."""
        return {
            **dict(zip(MORE, map(_number, self.more), strict=True)),
            "more_minutes": self.minutes,
        }


OVER_EXAMPLES = ("difference_examples_low", "difference_examples_high")
MORE = ("more_seeds", "more_seeds_low", "more_seeds_high")


def _number(count: int | None) -> float:
    return math.nan if count is None else count


def contestant(run: Run, figure: str) -> Contestant:
    """A run as a contestant; ``figure`` is a column of `reading.FIGURES`."""
    last = reading.finals([run]).loc[run.path]
    good = last["status"] == "ok"
    values = last.loc[good, figure].astype(float).dropna().sort_index()
    return Contestant(run, values, int((~good).sum()), seconds(run))


def seconds(run: Run) -> float:
    """The mean time of training and evaluating one seed, by the record of the run."""
    try:
        times = [one["seconds"] + one["evaluation_seconds"] for one in record.seeds(run)]
        return math.fsum(times) / len(times)
    except (KeyError, TypeError, ZeroDivisionError):
        return math.nan


def margin(given: Mapping[str, Any], figure: str, best: float) -> float | None:
    """The margin of a figure: a percentage is relative to the best one's mean."""
    found = confirmation.margin(given, measured_in(figure) or "")
    if found is None:
        return None
    amount, relative = found
    return amount * abs(best) if relative else amount


def compare(contestants: Sequence[Contestant], figure: str, margin: float | None) -> list[Pair]:
    """Every pair of these, in their order; all pairs are one family.

    The first in rank is not known beforehand, so the comparisons with it alone would not be.
    """
    pairs = list(itertools.combinations(contestants, 2))
    differences = [list((a.values - b.values).dropna()) for a, b in pairs]
    size = reading.grain(contestants[0].run, figure) if contestants else 0.0
    alone = [
        _p_values(values, margin, size, is_exact(*pair))
        for pair, values in zip(pairs, differences, strict=True)
    ]
    family = anytime.adjusted([p for p, _ in alone], [p for _, p in alone])
    levels = (family.alpha_difference, family.alpha_equivalence)
    found = []
    for (one, other), values, (p, _), p_holm, p_equivalent in zip(
        pairs, differences, alone, family.different, family.equivalent, strict=True
    ):
        interval = anytime.interval(values, grain=size)
        if is_exact(one, other):
            interval = Estimate(values[0] if values else interval.mean)
        verdict = _verdict(one, other, sign(figure) * interval.mean, p_holm, p_equivalent)
        tests = (p, p_holm, p_equivalent)
        found.append(
            Pair(one, other, interval, values, *tests, verdict, margin, levels, size, figure)
        )
    return found


def is_exact(one: Contestant, other: Contestant) -> bool:
    """Whether nothing is random in either, so that one seed says all."""
    return one.run.is_deterministic and other.run.is_deterministic


def _p_values(
    values: Sequence[float], margin: float | None, size: float, exact: bool
) -> tuple[float, float]:
    """The p of "no difference", and that of "a difference of the margin or more"."""
    if exact and values:
        apart = abs(values[0])
        close = apart < margin if margin else apart == 0
        return float(apart == 0), float(not close)
    return anytime.p_value(values, size), anytime.p_equivalent(values, margin or 0.0, size)


def _verdict(
    one: Contestant, other: Contestant, worse_by: float, p: float, p_equivalent: float
) -> str:
    """Better, worse, equivalent or open, as seen from the first."""
    if one.lost != other.lost:
        return WORSE if one.lost else BETTER
    if one.diverged and other.diverged:
        return OPEN
    if one.diverged or other.diverged:
        return WORSE if one.diverged else BETTER
    if p_equivalent <= 1 - LEVEL:
        return EQUIVALENT
    if p <= 1 - LEVEL:
        return WORSE if worse_by > 0 else BETTER
    return OPEN


def words(pair: Pair) -> str:
    """The verdict of the first of a pair, as a person would say it."""
    verdict = pair.verdict
    if verdict in (BETTER, WORSE):
        lost = (pair.one if verdict == WORSE else pair.other).diverged
        return f"{verdict}: {counted(lost, 'seed')} diverged" if lost else verdict
    if verdict == EQUIVALENT and pair.margin is not None:
        return f"equivalent (within {amount(pair.margin, pair.figure)})"
    if verdict == EQUIVALENT:
        return "equivalent (exactly equal)"
    if pair.one.diverged or pair.other.diverged:
        return f"open: {'every seed' if pair.one.lost else 'seeds'} of both diverged"
    return f"open: {_missing(pair)}"


def amount(value: float, figure: str) -> str:
    """A margin in words: accuracies in points."""
    if is_share(figure):
        return counted(float(f"{100 * value:.3g}"), "point")
    return f"{value:.3g}"


def _missing(pair: Pair) -> str:
    """What would settle an open pair."""
    seeds, low, high = pair.more
    if not pair.seeds:
        return "no seed has both figures"
    if pair.seeds < 2:
        return "one seed says nothing; use confirm"
    if seeds is None:
        return f"more than {anytime.MOST} further seeds"
    span = "" if low == high else f" ({low or 1} to {high or f'over {anytime.MOST}'})"
    if math.isnan(pair.minutes):
        return f"about {counted(seeds, 'more seed')}{span}"
    minutes = pair.minutes
    time = f"{minutes:.0f} min" if minutes >= 1.5 else f"{60 * minutes:.0f} s"
    return f"about {counted(seeds, 'more seed')}{span}, {time}"
