"""The rows of the scaling table: each timed run against that of one process.

A speed-up is a ratio of examples a second (under strong scaling the same as one of times), taken
seed by seed, and never of two machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optlab.results import timed
from optlab.results.scaling_laws import (
    Amdahl,
    amdahl,
    karp_flatt,
    paired_ratio,
    replayed_seconds,
)
from optlab.results.statistics import Estimate, geometric
from optlab.results.timed import Timed
from optlab.study.kinds.scaling import STRONG, points

REPLAYED = "replayed"  # not trained: the original lab's arithmetic, in the table beside ours


@dataclass(frozen=True)
class Row:
    """One row of the scaling table.

    Attributes:
        scaling: strong, weak, or replayed: what the original lab's program would have reported.
        batch: the configured batch size: of all processes together (strong) or of each (weak).
        gpus: processes.
        timed: the run; of a replayed row that of one process, from whose numbers it follows.
        seconds: seed -> training clock; of a replayed row with the evaluations, as the original
            measured it.
        speedup: against one process; None where its run is on another machine, or all diverged.
        fit: Amdahl's law over the rows that differ from this one in their processes only.
    """

    scaling: str
    batch: int
    gpus: int
    timed: Timed
    seconds: Mapping[int, float]
    speedup: Estimate | None = None
    fit: Amdahl | None = None

    @property
    def measured(self) -> bool:
        """Whether this row's processes were really run."""
        return self.scaling != REPLAYED

    @property
    def efficiency(self) -> Estimate | None:
        """Speed-up over processes."""
        return self.speedup and self.speedup.mapped(lambda s: s / self.gpus)

    @property
    def samples_per_second(self) -> Estimate | None:
        """Training examples a second, of all processes together."""
        return mean(self.timed.rates) if self.measured else None

    @property
    def seconds_per_epoch(self) -> Estimate | None:
        """Training clock of one pass over the training set."""
        epochs = self.timed.run.epochs
        whole = mean(self.seconds) if self.measured else None
        return whole and whole.mapped(lambda s: s / epochs)

    @property
    def karp_flatt(self) -> Estimate | None:
        """The serial share that the speed-up amounts to; for the same work only, so strong."""
        if self.scaling != STRONG or self.speedup is None:
            return None
        return karp_flatt(self.speedup, self.gpus)

    @property
    def evaluations(self) -> int:
        """How many evaluations a seed has; before the first step too, but where replayed."""
        if self.measured:
            return max(len(curve.epoch) for curve in self.timed.curves)
        return -(-self.timed.run.epochs // self.gpus)

    @property
    def gain_from_evaluation(self) -> float | None:
        """The share of the seconds gained that is evaluations left out; None where none is gained.

        Evaluation is off our clock; the replayed rows train as long as with one process.
        """
        if self.speedup is None or self.speedup.mean <= 1:
            return None
        return 0.0 if self.measured else 1.0


def mean(values: Mapping[int, float]) -> Estimate | None:
    """The geometric mean of one time or rate a seed, with its interval, as of the speed-ups.

    Times and rates have no negative side; neither have these intervals.
    """
    return geometric(list(values.values()))


Group = tuple[str, str, str, int, int]  # data set, network, scaling, batch size, epochs


def rows(study: Mapping[str, Any], exercise: str) -> list[Row]:
    """The rows of a scaling exercise in the study's own order, the replayed ones last.

    Raises:
        UserError: a run of it has not been trained.
    """
    runs: dict[str, Timed] = {}
    groups: dict[Group, list[Row]] = {}
    for point in points(study, exercise):
        run = point.run
        if run.skip_reason is None:
            if run.path not in runs:
                runs[run.path] = timed.read(run)
            found = runs[run.path]
            key = (run.dataset, run.model, point.scaling, point.batch, run.epochs)
            row = Row(point.scaling, point.batch, run.gpus, found, found.seconds)
            groups.setdefault(key, []).append(row)
    measured = [row for group in groups.values() for row in _compared(group)]
    return [*measured, *_replayed(measured, study["exercises"][exercise]["gpus"])]


def _compared(group: Sequence[Row]) -> list[Row]:
    """The rows of one group with their speed-ups and, where the work is the same, the fit."""
    base = next((row for row in group if row.gpus == 1), None)
    if base is None:
        return list(group)
    alike = [row for row in group if row.timed.machines == base.timed.machines]
    fit = None
    if base.scaling == STRONG:
        fit = amdahl({row.gpus: row.seconds for row in alike})
    return [
        replace(row, speedup=_speedup(row, row.timed.rates, base.timed.rates), fit=fit)
        if row in alike
        else row
        for row in group
    ]


def _speedup(row: Row, above: Mapping[int, float], below: Mapping[int, float]) -> Estimate | None:
    if row.gpus == 1 and above:
        return Estimate(1.0)  # by definition: no interval
    return paired_ratio(above, below)


def _replayed(measured: Iterable[Row], gpus: Sequence[int]) -> Iterator[Row]:
    """What the original lab's program would report, from the numbers of each run of one process."""
    runs = {row.timed.run.path: row for row in measured if row.gpus == 1 < len(gpus)}
    for base in runs.values():
        one = base.timed

        def seconds(p: int, one: Timed = one) -> dict[int, float]:
            return {
                seed: replayed_seconds(training, one.evaluation_seconds, one.run.epochs, p)
                for seed, training in one.seconds.items()
            }

        for p in gpus:
            row = Row(REPLAYED, base.batch, p, one, seconds(p))
            yield replace(row, speedup=_speedup(row, seconds(1), row.seconds))
