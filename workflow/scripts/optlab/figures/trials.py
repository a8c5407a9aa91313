"""The trials of a search, as its pictures need them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from optlab.figures import looks
from optlab.figures.axes import entry
from optlab.study import space
from optlab.study.kinds.search import Search

COMPLETE, PRUNED, BEST = "#0072B2", "#7F7F7F", "#D55E00"
MARKS: dict[str, dict[str, Any]] = {
    "stopped early": {"marker": "x", "color": PRUNED, "ms": 4.5, "mew": 1.0},
    "complete": {"marker": "o", "color": COMPLETE, "ms": 4.5, "mec": "white", "mew": 0.4},
    "best": {"marker": "*", "color": BEST, "ms": 10, "mec": "white", "mew": 0.5},
}
LABELS = {"val_accuracy": "validation accuracy", "val_loss": "validation loss (cross entropy)"}
CONTINUED = "stopped ones, trained to the end later"


@dataclass(frozen=True)
class Trials:
    """A finished search; ``found`` is the content of its ``trials.json``."""

    search: Search
    found: dict[str, Any]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each trial with an evaluation: all but those that failed or diverged at once.

        The columns are the keys of ``trials.json``, and ``mark``: a key of `MARKS`.
        """
        every = pd.DataFrame(self.found["trials"])
        evaluated = every["value"].notna() & every["intermediate"].astype(bool)
        table = every[evaluated & (every["state"] != "failed")]
        marks = table["state"].replace("pruned", "stopped early")
        return table.assign(mark=marks.mask(table["number"] == self.found["best"], "best"))

    @property
    def complete(self) -> pd.DataFrame:
        """The trials that came to their end."""
        return self.table[self.table["state"] == "complete"]

    def spec(self, parameter: str) -> space.Spec:
        """The entry of the search space that a trial's parameter belongs to."""
        return self.search.space[space.entry_of(self.search.space, parameter)]

    def metric_axis(self, axes: Axes, continued: bool = False) -> None:
        """Label and limit the axis of the metric, logarithmic if losses span a factor over 20.

        All values fit in, and with ``continued`` also those of stopped trials continued later.
        """
        axes.set_ylabel(LABELS[self.search.metric])
        values = [value for steps in self.table["intermediate"] for _, value in steps]
        more = [entry["value"] for entry in self.found["retrained_pruned"] if continued]
        values += [value for value in more if value is not None]
        low, high = min(values), max(values)
        if not self.search.maximize and low > 0 and high / low > 20:
            axes.set(yscale="log", ylim=(low / 1.2, high * 1.2))
            looks.log_axis(axes.yaxis, low, high)
        else:
            room = 0.05 * (high - low) or 0.01
            axes.set_ylim(low - room, high + room)


def scatter(axes: Axes, trials: pd.DataFrame, at: Sequence[float]) -> list[Line2D]:
    """Draw the last value of each trial at the place ``at``; returns the entries of a legend."""
    entries = []
    for name, look in MARKS.items():
        marked = trials.assign(at=at)[trials["mark"] == name]
        if len(marked):  # an empty line would have a place in the layout: the corner of the picture
            axes.plot(marked["at"], marked["value"], ls="", zorder=3, clip_on=False, **look)
        entries.append(entry(name, ls="", **look))
    return entries
