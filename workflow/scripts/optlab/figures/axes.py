"""What the pictures of an exercise are put together from: runs read once, lines, axes, legends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.figures import lines as curves
from optlab.figures import looks as style
from optlab.figures.lines import Array, Line
from optlab.results import reading, summary
from optlab.study.run import Run

DECADES = 2  # a loss that spans more is drawn on a logarithmic axis
MARKERS = 9  # of one line
CROWD = 12  # lines of one axes; more are told apart by a colour bar, and bands would hide them
MARKED = 50  # points of a line; the markers of more would touch each other
EXACT = 6  # closed forms that are drawn in a crowd
SQUEEZED = 3.0  # a start that stretches a linear axis more than so many times is left out
LEAVES = 100.0  # how far above its start a line is followed where it is shown to leave


class Reader:
    """Reads each run of an exercise once, whatever the number of pictures that show it."""

    def __init__(self, study: Mapping[str, Any], runs: Sequence[Run]):
        self._study = study
        self._table = summary.summarise(runs)
        self._curves: dict[str, list[reading.Curve]] = {}

    def summary(self, run: Run) -> pd.Series:
        """Final figures over the seeds: a row of `summary.summarise`."""
        return self._table.loc[run.path]

    def curves(self, run: Run) -> list[reading.Curve]:
        """Figures over time, seed by seed."""
        if run.path not in self._curves:
            self._curves[run.path] = reading.curves(run)
        return self._curves[run.path]

    def ordered(self, runs: Sequence[Run]) -> pd.DataFrame:
        """The rows of these runs from the best to the worst."""
        return summary.ordered(self._table.loc[[run.path for run in runs]])

    def best(self, runs: Sequence[Run]) -> pd.Series:
        """The run that the tables would choose."""
        return self.ordered(runs).iloc[0]

    def chosen_on(self, runs: Sequence[Run]) -> str:
        """The loss that decides between these runs."""
        return summary.chosen_on(self._table.loc[[run.path for run in runs]])

    def lines(self, runs: Sequence[Run], name: str) -> list[Line]:
        """The figure ``name`` of each run over time."""
        pace = curves.steps_per_epoch(c for run in runs for c in self.curves(run))
        return [curves.line(self.curves(run), name, pace) for run in runs]

    def exact(self, run: Run) -> bool:
        """Whether the run is known in closed form."""
        return curves.has_closed_form(run, self._study["datasets"][run.dataset]["source"])


def plot(
    axes: Axes, line: Line, look: style.Look, label: str, offset: float = 0.0, lines: int = 1
) -> Line2D:
    """Draw a line and the band of its seeds on axes that `frame` has prepared.

    Markers are spread evenly over the epochs, beginning at ``offset``, a part of their number.
    ``lines`` is how many the axes will have: in a crowd they are thin and have no bands.
    """
    low, high = axes.get_xlim()
    line = line.until(high)
    at = curves.thin(line.mean, lines)
    epoch = line.epoch[at]
    marks = low + (high - low) * (np.arange(MARKERS) + 0.25 + offset) / MARKERS
    (drawn,) = axes.plot(
        epoch,
        _shown(axes, line.mean[at]),
        color=look.color,
        ls=look.line,
        lw=0.8 if lines > CROWD else None,
        marker=look.marker or None,
        markevery=sorted({int(np.abs(epoch - mark).argmin()) for mark in marks}),
        label=label,
        zorder=3,
    )
    if line.seeds - line.diverged > 1 and lines <= CROWD:
        band = _shown(axes, line.low[at]), _shown(axes, line.high[at])
        axes.fill_between(epoch, *band, color=look.color, alpha=0.2, lw=0, zorder=2)
    return drawn


def plot_points(axes: Axes, points: Array, look: style.Look, **more: Any) -> Line2D:
    """Draw a figure against the learning rate with its intervals.

    Many points have no markers, and a band in place of their intervals.

    Args:
        points: rate, mean, and the ends of its interval, [points, 4].
        more: what else Matplotlib is told of the line.
    """
    rate, mean, low, high = points.T
    many = len(rate) > MARKED
    if many:
        axes.fill_between(rate, low, high, color=look.color, alpha=0.2, lw=0, zorder=2)
    elif (high > low).any():
        axes.errorbar(rate, mean, [mean - low, high - mean], color=look.color, ls="",
                      capsize=2, elinewidth=1)  # fmt: skip
    marker = None if many else look.marker
    (drawn,) = axes.plot(
        rate, mean, color=look.color, ls=look.line, marker=marker, zorder=3, **more
    )
    return drawn


def _shown(axes: Axes, values: Array) -> Array:
    """The values, those of zero at the lower edge of a logarithmic axis rather than nowhere."""
    if axes.get_yscale() == "linear":
        return values
    return np.where(values <= 0, axes.get_ylim()[0], values)


def closed_forms(axes: Axes, runs: Iterable[tuple[Run, Line]], reader: Reader) -> list[Artist]:
    """The exact loss over the measured one, wherever it is known; its entry of the legend.

    In a crowd, of a few lines from the first to the last: all of them would hide what is measured.
    """
    known = [(run, line) for run, line in runs if reader.exact(run)]
    if len(known) > CROWD:
        known = [known[round(i * (len(known) - 1) / (EXACT - 1))] for i in range(EXACT)]
    entries: list[Artist] = []
    for run, line in known:
        line = line.until(axes.get_xlim()[1])
        at = curves.thin(line.mean)
        exact = curves.closed_form(run, line.step[at])
        entries = list(axes.plot(line.epoch[at], exact, color="#000000", lw=0.7, zorder=4,
                                 ls=(0, (3, 3)), label="closed form"))  # fmt: skip
    return entries


def frame(
    axes: Axes, lines: Sequence[Line], label: str, log: bool | None = None, full: bool = False
) -> None:
    """Axes that hold every line that stays, and the start of those that leave.

    Args:
        axes: empty axes.
        lines: what will be drawn.
        label: of the vertical axis.
        log: whether that is logarithmic; None: where the losses ask for it.
        full: whether an epoch is a single step.
    """
    log = wants_log(lines) if log is None else log
    stay = [line for line in lines if not line.leaves]
    ends = [float(v) for line in stay for v in (*line.low, *line.high)]
    ends += [float(line.mean[0]) for line in lines]
    ends = [v for v in ends if math.isfinite(v)] or [1.0]
    if log:
        _log_frame(axes, *positive_ends(ends if stay else [ends[0] / 10, ends[0] * LEAVES]))
    else:
        low, high = _linear_ends(stay, ends)
        room = 0.04 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)
    last = max(float(line.epoch[-1]) for line in stay or lines)
    axes.set_xlim(-0.01 * last, 1.01 * last)
    axes.xaxis.set_major_locator(_whole_ticks(7))
    axes.set_xlabel("epoch (one step each)" if full else "epoch")
    axes.set_ylabel(label)


def _linear_ends(stay: Sequence[Line], ends: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value to show; a start that squeezes the rest is left out."""
    after = [float(v) for line in stay for values in (line.low, line.high) for v in values[1:]]
    after = [v for v in after if math.isfinite(v)]
    whole = max(ends) - min(ends)
    if after and 0 < SQUEEZED * (max(after) - min(after)) < whole:
        return min(after), max(after)
    return min(ends), max(ends)


def enlarge(axes: Axes, lines: Sequence[Line], end: float) -> None:
    """Narrow the axes to the first epochs, high enough to see which lines leave, and how."""
    start = max(float(line.mean[0]) for line in lines)
    stay = [line.until(end).low for line in lines if not line.leaves]
    low, _ = positive_ends([start, *(float(v) for values in stay for v in values)])
    _log_frame(axes, low, LEAVES * start)
    axes.set_xlim(-0.02 * end, end)
    axes.xaxis.set_major_locator(_whole_ticks(4))
    axes.set_xlabel("")
    axes.set_title("the start, enlarged", fontsize=8)


def _whole_ticks(number: int) -> ticker.Locator:
    return ticker.MaxNLocator(number, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def _log_frame(axes: Axes, low: float, high: float) -> None:
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(low / (high / low) ** 0.04, high * (high / low) ** 0.04)
    style.log_axis(axes.yaxis, low, high)


def wants_log(lines: Iterable[Line]) -> bool:
    """Whether the losses span more than two decades; a run that leaves always does."""
    lines = list(lines)
    stay = [line.mean for line in lines if not line.leaves]
    if not stay:
        return True
    low, high = positive_ends([float(v) for mean in stay for v in mean])
    return high / low > 10**DECADES


def positive_ends(values: Iterable[float]) -> tuple[float, float]:
    """The smallest and largest of the values that a logarithmic axis can show, never the same."""
    good = [v for v in values if math.isfinite(v) and v > 0] or [1.0]
    low, high = min(good), max(good)
    return (low, high) if high > low else (low / 2, high * 2)


def loss_label(reader: Reader, runs: Sequence[Run], name: str) -> str:
    """The name of a loss with what it is measured in."""
    classes = any(np.isfinite(c.values["train_accuracy"]).any() for c in reader.curves(runs[0]))
    return f"{name} ({'cross entropy, nats' if classes else 'sum of squares'})"


def legend(
    figure: Figure, entries: Sequence[Artist], title: str | None = None, side: bool = False
) -> None:
    """A legend outside the axes: at the side, or below in columns."""
    if not entries:
        return
    if side:
        figure.legend(handles=entries, title=title, loc="outside right upper", alignment="left")
    else:
        columns = min(len(entries), 3 if max(len(str(e.get_label())) for e in entries) < 34 else 2)
        figure.legend(handles=entries, title=title, loc="outside lower center", ncols=columns)
