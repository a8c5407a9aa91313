"""The results of a sweep, as its pictures need them: rows of the tables, and lines over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from optlab import custom
from optlab.catalogue import tasks
from optlab.catalogue.datasets import SOURCES
from optlab.results import reading, summary, theory
from optlab.results.reading import Curve
from optlab.results.theory import Array
from optlab.study.run import Run


class Reader:
    """Reads each run of an exercise once, whatever the number of pictures that show it.

    Raises:
        UserError: a run has not finished, or its metrics are damaged.
    """

    def __init__(self, study: Mapping[str, Any], runs: Sequence[Run]):
        self._study = study
        self._table = summary.summarise(runs)
        self._curves: dict[str, list[Curve]] = {}

    def rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        """The results of these runs over their seeds: rows of `summary.summarise`."""
        return self._table.loc[[run.path for run in runs]]

    def curves(self, run: Run) -> list[Curve]:
        """The evaluations of a run, seed by seed."""
        if run.path not in self._curves:
            self._curves[run.path] = reading.curves(run)
        return self._curves[run.path]

    def best(self, runs: Sequence[Run]) -> Run:
        """The run that the tables would choose."""
        return self.ordered(self.rows(runs))["run"].iloc[0]

    def ordered(self, rows: pd.DataFrame) -> pd.DataFrame:
        """These rows from the best to the worst, by the exercise's metric."""
        return summary.ordered(rows, self.metric(rows["run"].iloc[0]))

    def metric(self, run: Run) -> str:
        """The metric of the run's exercise."""
        return self._study["exercises"][run.exercise]["metric"]

    def lines(self, runs: Sequence[Run], name: str) -> list[Line]:
        """The figure ``name`` of each run over time, with all of its points."""
        pace = _steps_per_epoch(c for run in runs for c in self.curves(run))
        return [_line(self.curves(run), name, pace) for run in runs]

    def exact(self, run: Run) -> bool:
        """Whether `theory` knows the run's losses."""
        return theory.covers(run, self._study["datasets"][run.dataset]["source"])

    def has(self, runs: Sequence[Run], name: str) -> bool:
        """Whether the figure ``name`` was measured in any of these runs."""
        return any(np.isfinite(c.of(name)).any() for run in runs for c in self.curves(run))

    def beside_loss(self, runs: Sequence[Run]) -> str | None:
        """The metric that is shown beside the loss: the exercise's, or the first there is."""
        wanted = self.metric(runs[0])
        names = ["accuracy", *(self.curves(runs[0])[0].metrics)]
        if wanted not in (summary.AUTO, "loss"):
            names.insert(0, tasks.column(wanted))
        return next((name for name in names if self.has(runs, f"train_{name}")), None)

    def label(self, run: Run, figure: str) -> str:
        """The name of a figure; of a loss with its kind, which depends on the run's data set."""
        return figure if not figure.endswith("loss") else f"{figure} ({self._loss(run)})"

    def _loss(self, run: Run) -> str:
        defined = self._study.get("datasets", {}).get(run.dataset, {})  # nothing for a run by hand
        source = SOURCES.get(defined.get("source", run.dataset))
        name = run.loss or (source.loss if source else None)
        if name and custom.is_custom(name):
            return tasks.column(name)
        if name and name != "cross_entropy":
            return tasks.LOSSES[name]
        if self.has([run], "train_accuracy"):
            return "cross entropy, nats"
        symbols = any(self.has([run], f"train_{metric}") for metric in tasks.OF_SYMBOLS)
        return "nats per symbol" if symbols else tasks.LOSSES["mse"]


@dataclass(frozen=True)
class Line:
    """A figure of one run over time; arrays are [points].

    Attributes:
        epoch: epochs trained.
        step: steps taken.
        mean: over the seeds that did not diverge; if all did, the values of the first to diverge.
        low, high: the smallest and the largest value of the same seeds.
        seeds: number of seeds of the run.
        diverged: number of seeds that diverged.
        diverged_step: the earliest step at which one did.
    """

    epoch: Array
    step: Array
    mean: Array
    low: Array
    high: Array
    seeds: int
    diverged: int
    diverged_step: int | None

    def until(self, epoch: float) -> Line:
        """The line up to an epoch, with the next point after it."""
        end = int(np.searchsorted(self.epoch, epoch, side="right")) + 1
        names = ("epoch", "step", "mean", "low", "high")
        return replace(self, **{name: getattr(self, name)[:end] for name in names})

    @property
    def leaves(self) -> bool:
        """Whether all seeds diverged, so that the line leaves the picture."""
        return self.diverged == self.seeds

    @property
    def note(self) -> str:
        """The divergence in words, for the legend."""
        if not self.diverged:
            return ""
        who = "diverges" if self.leaves else f"{self.diverged} of {self.seeds} seeds diverge"
        return f" ({who}, step {self.diverged_step})"


@np.errstate(invalid="ignore", over="ignore")  # of infinite figures
def _common(curves: Sequence[Curve]) -> int:
    """The evaluations that all of these seeds have: one may stop early, or end between epochs."""
    rows = min(len(c.epoch) for c in curves)
    same = np.logical_and.reduce([c.epoch[:rows] == curves[0].epoch[:rows] for c in curves])
    return rows if same.all() else int(same.argmin())


def _line(curves: Sequence[Curve], name: str, steps_per_epoch: float) -> Line:
    """The line of a run, given the curve of each seed.

    ``steps_per_epoch`` converts the step of a divergence to epochs.
    """
    lost = sorted((c for c in curves if c.diverged), key=lambda c: c.step[-1])
    shown = [c for c in curves if not c.diverged] or lost[:1]
    rows = _common(shown)
    values = np.stack([c.of(name)[:rows] for c in shown])
    epoch, step = shown[0].epoch[:rows].copy(), shown[0].step[:rows]
    if shown[0].diverged:
        # The epoch is that of the next evaluation, the step that of the divergence.
        epoch[-1] = min(epoch[-1], step[-1] / steps_per_epoch)
        final = values[:, -1]
        if name.endswith("loss"):
            values[:, -1] = np.where(np.isfinite(final), final, 1e6 * max(values[0, 0], 1e-30))
    return Line(
        epoch=epoch,
        step=step,
        mean=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
        seeds=len(curves),
        diverged=len(lost),
        diverged_step=int(lost[0].step[-1]) if lost else None,
    )


def _steps_per_epoch(curves: Iterable[Curve]) -> float:
    """Steps of one epoch, from the last evaluation that a seed reached; 1 if there is none."""
    for curve in curves:
        last = len(curve.epoch) - (2 if curve.diverged else 1)
        if last > 0:
            return float(curve.step[last] / curve.epoch[last])
    return 1.0
