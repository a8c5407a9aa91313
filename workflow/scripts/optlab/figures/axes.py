"""Axes for lines over time: their limits and scales, the lines with their bands, legends."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from optlab.figures import lettering, limits, looks, words
from optlab.figures.reader import Line, Reader
from optlab.results import theory
from optlab.results.theory import Array
from optlab.study.run import Run

DECADES = 2  # losses that span more have a logarithmic axis
POINTS = 300  # of one line; more cannot be distinguished at the width of a page
ALL_POINTS = 20_000  # of all lines of a picture, so that the file of hundreds of lines is small
MARKERS = 9  # of one line
CROWD = 12  # lines of one axes; more have a colour bar and no bands, which would hide the lines
EXACT = 6  # closed forms that are drawn in a crowd
SQUEEZED = 3.0  # starts that make a linear axis more than this many times longer are cut off
LEAVES = 100.0  # a line that leaves is shown up to this many times its start
LETTERS, HANDLE = 8, 0.5  # of a legend: points, and inches of the line beside a label
ROW, USUAL_ROWS = 0.17, 3  # of a legend: inches, and how many have room below a picture
LEAST = 1e-220  # end of a logarithmic axis
LINES = 8  # of one axes that can be distinguished by colour; pictures of more have panels


def plot(
    axes: Axes, line: Line, look: looks.Look, label: str, offset: float = 0.0, lines: int = 1
) -> Line2D:
    """Draw a line and the band of its seeds on axes that `frame` has prepared.

    Its markers are evenly spread, moved by ``offset`` in parts of their distance. ``lines`` is the
    number of lines that the axes will have: in a crowd they are thin and without bands.
    """
    low, high = axes.get_xlim()
    line = line.until(high)
    at = thin(line.mean, lines)
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
    if not line.leaves:
        limits.mark(axes, line.epoch[-1:], line.mean[-1:], look.color)
    if line.seeds - line.diverged > 1 and lines <= CROWD:
        band = _shown(axes, line.low[at]), _shown(axes, line.high[at])
        axes.fill_between(epoch, *band, color=look.color, alpha=0.2, lw=0, zorder=2)
    return drawn


def thin(values: Array, lines: int = 1) -> NDArray[np.intp]:
    """Indices of the points to draw: both ends, and the extremes of each stretch in between.

    Thus no peak of the line is lost. The more ``lines`` a picture has, the longer the stretches.
    """
    n, points = len(values), min(POINTS, max(10, ALL_POINTS // lines))
    if n <= points:
        return np.arange(n)
    width = -(-n // (points // 2 - 1))
    starts, finite = range(0, n, width), np.isfinite(values)
    low, high = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
    lowest = [start + low[start : start + width].argmin() for start in starts]
    highest = [start + high[start : start + width].argmax() for start in starts]
    return np.unique([0, n - 1, *lowest, *highest])


def _shown(axes: Axes, values: Array) -> Array:
    """The values; zero is drawn at the lower edge of a logarithmic axis, infinity far above any."""
    low, high = axes.get_ylim()
    values = np.where(values == np.inf, 10 * high - 9 * low, values)
    if axes.get_yscale() == "linear":
        return values
    return np.where(values <= 0, low, values)


def closed_forms(
    axes: Axes, runs: Sequence[Run], lines: Sequence[Line], reader: Reader
) -> list[Line2D]:
    """Draw the exact loss of each run for which it is known; returns the entry of the legend.

    In a crowd only a few are drawn: all of them would hide the measured lines.
    """
    known = [(run, line) for run, line in zip(runs, lines, strict=True) if reader.exact(run)]
    if len(known) > CROWD:
        known = [known[round(i * (len(known) - 1) / (EXACT - 1))] for i in range(EXACT)]
    look: dict[str, Any] = {"color": "#000000", "lw": 0.7, "ls": (0, (3, 3)), "zorder": 4}
    for run, line in known:
        line = line.until(axes.get_xlim()[1])
        at = thin(line.mean)
        axes.plot(line.epoch[at], theory.losses_of(run, line.step[at]), label="closed form", **look)
    return [entry("closed form", **look)] if known else []


def frame(
    axes: Axes, lines: Sequence[Line], label: str, log: bool | None = None, full: bool = False
) -> None:
    """Set the limits of empty axes so that they hold every line, and the start of those that leave.

    Of many lines, a few that are far from the others are not held (`optlab.figures.limits`). The
    vertical axis gets this label; ``log`` says whether it is logarithmic, None decides by the range
    of the losses. With ``full``, an epoch is a single step.
    """
    stay = [line for line in lines if not line.leaves]
    starts = [line.mean[0] for line in lines]
    if log is None:
        low, high = positive_ends(np.concatenate([line.mean for line in stay or lines]))
        log = not stay or high / low > 10**DECADES
    bands = [np.stack([line.low, line.high]) for line in stay]
    if log:
        start = limits.held(starts, log=True)
        ends = start if stay else [*(start[:1] / 10), *(start[:1] * LEAVES)]
        log_scale(axes, "y", *positive_ends([*ends, *limits.of_lines(bands, log=True)]))
    else:
        after = limits.of_lines([band[:, 1:] for band in bands], log=False)
        values = np.concatenate([limits.held(starts, log=False), limits.of_lines(bands, log=False)])
        if after.size and 0 < SQUEEZED * np.ptp(after) < np.ptp(values):
            values = after
        low, high = (values.min(), values.max()) if values.size else (1.0, 1.0)
        room = 0.04 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)
    last = max(float(line.epoch[-1]) for line in stay or lines) or 1.0
    axes.set_xlim(-0.01 * last, 1.01 * last)
    axes.xaxis.set_major_locator(_whole_ticks(7))
    axes.set_xlabel("epoch (one step each)" if full else "epoch")
    axes.set_ylabel(label)


def enlarge(axes: Axes, lines: Sequence[Line], end: float) -> None:
    """Narrow the axes to the first epochs, high enough to show which lines leave, and how."""
    start = max(limits.held([line.mean[0] for line in lines], log=True), default=1.0)
    stay = [line.until(end).low for line in lines if not line.leaves]
    low, _ = positive_ends([start, *limits.of_lines(stay, log=True)])
    log_scale(axes, "y", low, LEAVES * start)
    axes.set_xlim(-0.02 * end, end)
    axes.xaxis.set_major_locator(_whole_ticks(4))
    axes.set_xlabel("")
    axes.set_title("the start, enlarged", fontsize=8)


def _whole_ticks(number: int) -> ticker.Locator:
    return ticker.MaxNLocator(number, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def log_scale(
    axes: Axes, name: str, low: float, high: float, below: float = 0.04, above: float = 0.04
) -> None:
    """Make the axis "x" or "y" logarithmic, with room below and above in parts of its length."""
    span = math.log10(high) - math.log10(low)
    ends = (max(low * 10 ** (-below * span), LEAST), min(high * 10 ** (above * span), 1 / LEAST))
    axes.set(**{f"{name}scale": "log", f"{name}lim": ends})
    looks.log_axis(getattr(axes, f"{name}axis"), low, high)


def positive_ends(values: ArrayLike) -> tuple[float, float]:
    """The smallest and the largest value that a logarithmic axis can show, never the same."""
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found) & (found > 0)].clip(1 / limits.HUGE, limits.HUGE)
    low, high = (float(found.min()), float(found.max())) if found.size else (1.0, 1.0)
    return (low, high) if high > low else (low / 2, high * 2)


def error_ends(values: ArrayLike) -> tuple[float, float]:
    """The same for errors, of which none is above 1."""
    low, high = positive_ends(values)
    return (min(low, 0.5), min(high, 1.0)) if high > 1 else (low, high)


def error_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic axis of errors, named as accuracies."""
    low, high = sorted(axes.get_ylim())
    span = high / low
    few = [1] if span > 1e3 else [1, 2, 5] if span > 30 else [1, 2, 3, 5, 7]
    subs = range(1, 10) if span < 5 else few
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=list(subs)))
    axes.yaxis.set_major_formatter(lambda v, _: f"{1 - v:.6g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def outer_labels(figure: Figure, label: str, below: str) -> None:
    """Label panels with shared axes: once at the left, and below each column."""
    for axes in figure.axes:
        axes.set_ylabel("")
        axes.tick_params(labelsize=7)
        lowest = axes.xaxis.get_tick_params()["labelbottom"]
        axes.set_xlabel(below if lowest else "", fontsize=8)
    figure.supylabel(label, fontsize=8.5)


def entry(label: str, **look: Any) -> Line2D:
    """An entry of a legend for which no line is drawn."""
    return Line2D([], [], label=label, **look)


def _columns(labels: Sequence[str], wide: float, most: int) -> int:
    """In how many columns, filled in turn, the entries of a legend fit."""
    widths = _widths(labels)
    for columns in range(min(len(labels), most), 1, -1):
        rows = -(-len(labels) // columns)
        parts = [widths[start : start + rows] for start in range(0, len(labels), rows)]
        if sum(map(max, parts)) <= 0.96 * wide:
            return columns
    return 1


def _widths(labels: Sequence[str]) -> list[float]:
    """The inches that entries with these labels take."""
    return [lettering.width(label, LETTERS) + HANDLE for label in labels]


def legend(figure: Figure, entries: Sequence[Artist], side: bool = False, **more: Any) -> None:
    """A legend outside the axes, at the side or below in columns; ``more`` is for Matplotlib."""
    if not entries:
        return
    wide = figure.get_figwidth()
    labels = words.numbered([str(entry.get_label()) for entry in entries])
    if side:
        place: dict[str, Any] = {"loc": "outside right upper", "alignment": "left"}
        room, columns = 0.36 * wide, 1
        looks.entitle_beside(figure, min(room, max(_widths([*labels, more.get("title") or ""]))))
    else:
        columns = _columns(labels, wide, more.pop("ncols", 3))
        place, room = {"loc": "outside lower center", "ncols": columns}, 0.96 * wide
    labels = [lettering.wrapped(label, room - HANDLE, LETTERS, 2) for label in labels]
    rows = sum(label.count("\n") + 1 for label in labels) / columns
    room = (figure.get_figheight() if side else USUAL_ROWS * ROW) - 1.2 * ROW
    figure.set_figheight(figure.get_figheight() + max(0.0, ROW * rows - room))
    figure.legend(handles=entries, labels=labels, **{**place, **more})
