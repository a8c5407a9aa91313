"""Where further confirmation seeds settle something: what `settle.py` trains next, and why."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from optlab.results import comparison, pairs, summary
from optlab.results.comparison import Contest
from optlab.results.pairs import OPEN, Pair
from optlab.study import table

LEAST = 4  # seeds of a step; else half of those there are: the estimate of how many grows better


class Budget(NamedTuple):
    """What may be spent: seeds, and minutes of training and evaluation, summed over all jobs."""

    seeds: float
    minutes: float

    def covers(self, spent: "Budget") -> bool:
        """Whether this much is within it. Times may be unknown (NaN) where there is no limit."""
        unlimited = self.minutes == math.inf
        return spent.seeds <= self.seeds and (unlimited or spent.minutes <= self.minutes)


def contests(study: Mapping[str, Any]) -> list[Contest]:
    """The comparisons of a study whose workflow has ended.

    Raises:
        UserError: something of it has not been trained.
    """
    names = [name for name, one in study["exercises"].items() if one["kind"] == "sweep"]
    runs = [run for name in names for run in table.finished(study, name)]
    if not runs:
        return []
    best = summary.best(summary.summarise(runs), summary.metrics(study))
    return comparison.contests(study, best)


def open_pairs(found: Iterable[Contest]) -> list[Pair]:
    """The pairs that further seeds can settle."""
    every = (pair for contest in found for pair in contest.against_first)
    return [p for p in every if p.verdict == OPEN and p.one.run.confirms and p.other.run.confirms]


def step(
    found: Sequence[Contest], numbers: Mapping[str, int], begin: Mapping[str, int], budget: Budget
) -> dict[str, int]:
    """The units to raise next, each with its new number of seeds; empty where the end is reached.

    The pairs that are settled in the shortest time come first. Left open is a pair that would
    probably need more than `anytime.MOST` seeds, or whose next step is more than what is left of
    the budget.

    Args:
        numbers: of the confirmation seeds of each unit.
        begin: the same when the budget was given.
    """
    seconds = seconds_of(found)
    raised: dict[str, int] = {}
    for pair in sorted(open_pairs(found), key=_effort):
        # No seeds where no number of them is known to help.
        until = pair.seeds + min(pair.more.seeds or 0, max(LEAST, pair.seeds // 2))
        units = (pair.one.run.unit, pair.other.run.unit)
        wanted = {unit: max(until, raised.get(unit, numbers[unit])) for unit in units}
        if budget.covers(spent({**numbers, **raised, **wanted}, begin, seconds)):
            raised |= {name: n for name, n in wanted.items() if n > numbers[name]}
    return raised


def _effort(pair: Pair) -> tuple[bool, float]:
    """A key that sorts by time, and what is unknown last."""
    return math.isnan(pair.minutes), pair.minutes


def spent(
    numbers: Mapping[str, int], begin: Mapping[str, int], seconds: Mapping[str, float]
) -> Budget:
    """What the seeds beyond those of the beginning cost."""
    added = {name: n - begin.get(name, n) for name, n in numbers.items()}
    time = sum(n * seconds[name] for name, n in added.items() if name in seconds and n)
    return Budget(sum(added.values()), time / 60)


def seconds_of(found: Iterable[Contest]) -> dict[str, float]:
    """The seconds of one seed of each unit."""
    return {one.run.unit: one.seconds for contest in found for one in contest.contestants}


def lines(found: Iterable[Contest]) -> list[str]:
    """What stands and what is open, a line a problem and a line an open comparison."""
    said: list[str] = []
    for contest in found:
        run, every = contest.contestants[0].run, contest.against_first
        kinds = Counter(pair.swapped().verdict for pair in every)
        stand = len(every) - kinds[OPEN]
        parts = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        place = f"{run.exercise}, {run.model} on {run.dataset}"
        said.append(f"{place}: first {run.optimizer}; {stand} of {len(every)} stand ({parts})")
        for pair in every:
            if pair.verdict == OPEN:
                said.append(f"  {pair.other.run.optimizer}: {pairs.words(pair.swapped())}")
    return said
