"""The results of a sweep, as its pictures need them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optlab.figures import lines, theory
from optlab.results import reading, summary
from optlab.study.run import Run


class Reader:
    """Reads each run of an exercise once, whatever the number of pictures that show it.

    Raises:
        UserError: a run has not finished, or its metrics are damaged.
    """

    def __init__(self, study: Mapping[str, Any], runs: Sequence[Run]):
        self._study = study
        self._table = summary.summarise(runs)
        self._curves: dict[str, list[reading.Curve]] = {}

    def rows(self, runs: Sequence[Run]) -> pd.DataFrame:
        """The results of these runs over their seeds: rows of `summary.summarise`."""
        return self._table.loc[[run.path for run in runs]]

    def curves(self, run: Run) -> list[reading.Curve]:
        """The evaluations of a run, seed by seed."""
        if run.path not in self._curves:
            self._curves[run.path] = reading.curves(run)
        return self._curves[run.path]

    def best(self, runs: Sequence[Run]) -> Run:
        """The run that the tables would choose."""
        return summary.ordered(self.rows(runs))["run"].iloc[0]

    def lines(self, runs: Sequence[Run], name: str) -> list[lines.Line]:
        """The figure ``name`` of each run over time."""
        pace = lines.steps_per_epoch(c for run in runs for c in self.curves(run))
        return [lines.line(self.curves(run), name, pace) for run in runs]

    def exact(self, run: Run) -> bool:
        """Whether `theory` knows the run's losses."""
        return theory.covers(run, self._study["datasets"][run.dataset]["source"])

    def has(self, runs: Sequence[Run], name: str) -> bool:
        """Whether the figure ``name`` was measured in any of these runs."""
        return any(np.isfinite(c.values[name]).any() for run in runs for c in self.curves(run))

    def label(self, run: Run, loss: str) -> str:
        """The name of a loss with its unit, which depends on the run's data set."""
        classes = self.has([run], "train_accuracy")
        return f"{loss} ({'cross entropy, nats' if classes else 'sum of squares'})"
