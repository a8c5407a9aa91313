"""Axes for lines over time: their limits and scales, the lines with their bands, legends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from optlab.figures import looks
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
    """The values; on a logarithmic axis, a value of zero is drawn at the lower edge."""
    if axes.get_yscale() == "linear":
        return values
    return np.where(values <= 0, axes.get_ylim()[0], values)


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

    The vertical axis gets this label; ``log`` says whether it is logarithmic, None decides by the
    range of the losses. With ``full``, an epoch is a single step.
    """
    stay = [line for line in lines if not line.leaves]
    starts = [line.mean[0] for line in lines]
    bands = [band for line in stay for band in (line.low, line.high)]
    if log is None:
        low, high = positive_ends(np.concatenate([line.mean for line in stay or lines]))
        log = not stay or high / low > 10**DECADES
    if log:
        ends = starts if stay else [starts[0] / 10, starts[0] * LEAVES]
        log_scale(axes, "y", *positive_ends(np.concatenate([ends, *bands])))
    else:
        values, after = _finite([starts, *bands]), _finite([[], *(band[1:] for band in bands)])
        if after.size and 0 < SQUEEZED * np.ptp(after) < np.ptp(values):
            values = after
        low, high = (values.min(), values.max()) if values.size else (1.0, 1.0)
        room = 0.04 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)
    last = max(float(line.epoch[-1]) for line in stay or lines)
    axes.set_xlim(-0.01 * last, 1.01 * last)
    axes.xaxis.set_major_locator(_whole_ticks(7))
    axes.set_xlabel("epoch (one step each)" if full else "epoch")
    axes.set_ylabel(label)


def _finite(parts: Sequence[ArrayLike]) -> Array:
    found = np.concatenate(parts)
    return found[np.isfinite(found)]


def enlarge(axes: Axes, lines: Sequence[Line], end: float) -> None:
    """Narrow the axes to the first epochs, high enough to show which lines leave, and how."""
    start = max(float(line.mean[0]) for line in lines)
    stay = [line.until(end).low for line in lines if not line.leaves]
    low, _ = positive_ends(np.concatenate([[start], *stay]))
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
    span = high / low
    axes.set(**{f"{name}scale": "log", f"{name}lim": (low / span**below, high * span**above)})
    looks.log_axis(getattr(axes, f"{name}axis"), low, high)


def positive_ends(values: ArrayLike) -> tuple[float, float]:
    """The smallest and the largest value that a logarithmic axis can show, never the same."""
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found) & (found > 0)]
    low, high = (float(found.min()), float(found.max())) if found.size else (1.0, 1.0)
    return (low, high) if high > low else (low / 2, high * 2)


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


def legend(figure: Figure, entries: Sequence[Artist], side: bool = False, **more: Any) -> None:
    """A legend outside the axes, at the side or below in columns; ``more`` is for Matplotlib."""
    if not entries:
        return
    widest = max(len(str(entry.get_label())) for entry in entries)
    place: dict[str, Any] = {"loc": "outside right upper", "alignment": "left"}
    if not side:
        columns = min(len(entries), 3 if widest < 34 else 2)
        place = {"loc": "outside lower center", "ncols": columns}
    figure.legend(handles=entries, **{**place, **more})
