"""Samples: a figure of one setting, with one value a seed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optlab.catalogue.tasks import sign
from optlab.results import reading
from optlab.results.reading import Curve
from optlab.results.statistics import Estimate, cells, estimate, exp, geometric, predicted
from optlab.runs import failures
from optlab.study.run import Run
from optlab.values import text

DIVERGED, NOT_REACHED = "diverged", "not reached"  # why a seed has no figure

_HIGHER = ("speedup", "efficiency", "samples_per_second")  # better high, as are accuracies


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A figure of one setting.

    Attributes:
        words: the setting.
        figure: the name of the figure.
        values: seed -> figure, for the seeds that have one.
        missing: number of the other seeds, which is zero if the figure is never measured.
        why: the reason, `DIVERGED` or `NOT_REACHED`.
        fixed: nothing is random, so that other seeds would give the same values.
        logarithmic: its mean is geometric, its differences are those of logarithms.
        grain: the resolution of its values, 1 / examples for an accuracy.
    """

    words: str
    figure: str
    values: Mapping[int, float] = field(default_factory=dict)
    missing: int = 0
    why: str = DIVERGED
    fixed: bool = False
    logarithmic: bool = False
    grain: float = 0.0

    @property
    def sign(self) -> int:
        """1 where lower is better, -1 where higher is."""
        return -1 if self.figure in _HIGHER else sign(self.figure)

    @property
    def mean(self) -> Estimate:
        """The mean with its interval, cut to what is possible."""
        found = geometric(self._list) if self.logarithmic else estimate(self._list)
        return Estimate(*cells(self.figure, found).values())

    def predicted(self, runs: int) -> Estimate:
        """The interval in which the mean of as many further runs is expected."""
        if self.logarithmic and all(value > 0 for value in self._list):
            logs = predicted([math.log(value) for value in self._list], runs)
            found = Estimate(*map(exp, logs))
        elif self.logarithmic:
            found = Estimate(self.mean.mean)  # a value of zero has no logarithm
        else:
            found = predicted(self._list, runs, self.grain)
        return Estimate(*cells(self.figure, found).values())

    @property
    def place(self) -> tuple[int, float]:
        """A key that sorts the best first: fewest missing seeds, then the figure."""
        mean = self.mean.mean
        return self.missing, math.inf if math.isnan(mean) else self.sign * mean

    def shown(self, digits: str = ".4g") -> str:
        """The figure in words, with the number of seeds that have none."""
        count = len(self.values)
        if not count:
            return self.why if self.missing else ""
        unit = f" {self.figure}" if self.figure in ("steps", "epochs") else ""
        lacking = f", {self.why} in {self.missing} of {count + self.missing}"
        return f"{self.mean.mean:{digits}}{unit}{lacking if self.missing else ''}"

    def __str__(self) -> str:
        found = self.shown()
        return f"{self.words} ({found})" if found else self.words

    @property
    def _list(self) -> list[float]:
        return list(self.values.values())


class NotTrained(Exception):
    """A claim is about a run that failed, so nothing can be said of it."""

    def __init__(self, run: Run):
        super().__init__(f"{run.path} failed: {failures.reason(run.folder)}")


def words(settings: Mapping[str, Any]) -> str:
    """Settings in words: the optimizer, then the others by name."""
    named = [f"{k}={text(v)}" for k, v in settings.items() if k != "optimizer"]
    return " ".join([str(settings["optimizer"]), *named] if "optimizer" in settings else named)


def in_order(found: Iterable[Any]) -> str:
    """Settings from the best to the worst, in words."""
    return " then ".join(map(str, found))


def at_end(name: str, run: Run, figure: str) -> Sample:
    """A figure after the last epoch.

    Raises:
        NotTrained: the run failed.
    """
    last = reading.finals([run]).droplevel("path")
    good = last["status"] == "ok"
    if (last["status"] == failures.STATUS).any():
        raise NotTrained(run)
    values = last.reindex(columns=[figure]).loc[good, figure].astype(float).dropna()
    return Sample(values=dict(values), missing=int((~good).sum()), **_of(name, run, figure))


def at_epoch(name: str, run: Run, figure: str, epoch: int) -> Sample:
    """A figure after an epoch; a seed that diverged before has none."""
    curves = _curves(run)
    found = {curve.seed: _at(curve, figure, epoch) for curve in curves}
    values = {seed: value for seed, value in found.items() if value is not None}
    known = {seed: value for seed, value in values.items() if not math.isnan(value)}
    return Sample(values=known, missing=len(found) - len(values), **_of(name, run, figure))


def _curves(run: Run) -> list[Curve]:
    """The evaluations of each seed.

    Raises:
        NotTrained: the run failed.
    """
    found = reading.curves(run)
    if any(curve.status == failures.STATUS for curve in found):
        raise NotTrained(run)
    return found


def _at(curve: Curve, figure: str, epoch: int) -> float | None:
    """The figure after an epoch: None if the seed diverged by then, NaN without such a figure."""
    here = (curve.epoch == epoch).nonzero()[0]
    if not len(here) or (curve.diverged and here[-1] == len(curve.epoch) - 1):
        return None
    return float((curve.seconds if figure == "seconds" else curve.of(figure))[here[-1]])


def to_target(name: str, run: Run, figure: str, target: Mapping[str, float]) -> Sample:
    """Steps, epochs or seconds of training until the first evaluation that reaches the target."""
    ((measured, goal),) = target.items()
    values: dict[int, float] = {}
    curves = _curves(run)
    for curve in curves:
        reached = sign(measured) * curve.of(measured) <= sign(measured) * goal
        if reached.any():
            times = {"steps": curve.step, "epochs": curve.epoch, "seconds": curve.seconds}
            values[curve.seed] = float(times[figure][int(reached.argmax())])
    return Sample(
        values=values,
        missing=len(curves) - len(values),
        why=NOT_REACHED,
        logarithmic=True,
        **_of(name, run, figure),
    )


def _of(name: str, run: Run, figure: str) -> dict[str, Any]:
    fixed = run.is_deterministic and figure != "seconds"
    return {"words": name, "figure": figure, "fixed": fixed, "grain": reading.grain(run, figure)}
