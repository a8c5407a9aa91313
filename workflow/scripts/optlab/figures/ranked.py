"""Rankings of many optimizers: a row for each, the best at the top, in place of panels."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optlab.figures import lettering, limits, looks
from optlab.figures.axes import LINES, entry, legend, log_scale, positive_ends
from optlab.results.theory import Array

MANY = 24  # optimizers; pictures of more have no panels
ROWS = 160  # of a picture; those behind are left out, and their number is in the heading
ROW, LETTERS = 0.14, 6.5  # the height of a row in inches, and its letters in points
NAMES = 2.4  # inches that the names may take
STRETCH = 20.0  # losses whose ends have a larger ratio have a logarithmic axis

DOT: dict[str, Any] = {"marker": "o", "color": "#0072B2", "ms": 4}
RING: dict[str, Any] = {"marker": "D", "color": "#D55E00", "ms": 5, "mfc": "none", "mew": 1}
FAINT: dict[str, Any] = {"marker": "|", "color": "#9a9a9a", "ms": 4, "mew": 0.8}
LOOKS = (DOT, RING)
CROSS: dict[str, Any] = {"marker": "X", "color": looks.PLAIN, "ms": 4.5, "mew": 0}


Drawn = Callable[..., Figure]


class Series(NamedTuple):
    """A mark in each row: a value and the ends of its interval, or several values."""

    label: str
    look: dict[str, Any]
    values: Sequence[Sequence[float]]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def way(number: int, together: Drawn, panels: Drawn, ranking: Drawn) -> Drawn:
    """The function that draws this number of optimizers: together, in panels, or as a ranking."""
    return ranking if number > MANY else panels if number > LINES else together


def draw(
    title: str,
    label: str,
    names: Sequence[str],
    series: Sequence[Series],
    lost: Sequence[bool],
    joined: bool = False,
) -> Figure:
    """A row for each name in their order, the first at the top.

    Args:
        label: of the axis. Accuracies and scores have a linear one.
        series: the marks of each row.
        lost: the rows of which a seed diverged, which have a cross at the right.
        joined: whether a line joins the marks of a row.
    """
    number = min(len(names), ROWS)
    left_out = f": the first {number} of {len(names)}" if number < len(names) else ""
    figure, (axes,) = looks.figure(f"{title}{left_out}", height=1.5 + ROW * number)
    values = [value for one in series for row in one.values[:number] for value in row]
    ends = [value for one in series for value in (*one.low[:number], *one.high[:number])]
    _scale(axes, label, [*values, *ends])
    places = np.arange(number, 0, -1.0)
    if joined:
        _join(axes, places, series)
    entries = []
    for one in series:
        outside = [_marks(axes, row, one, at) for at, row in enumerate(places)]
        entries.append(entry(one.label, ls="", **one.look))
        if any(outside):
            entries.append(entry(limits.OUTSIDE, ls="", marker=">", color=one.look["color"]))
    crosses = [row for row, gone in zip(places, lost, strict=False) if gone]
    if crosses:
        axes.plot([1.012] * len(crosses), crosses, ls="", clip_on=False,
                  transform=axes.get_yaxis_transform(), **CROSS)  # fmt: skip
        entries.append(entry("seeds diverge", ls="", **CROSS))
    _name(axes, places, names)
    legend(figure, entries)
    return figure


def _scale(axes: Axes, label: str, values: Sequence[float]) -> None:
    """The axis of the values, without the few that are far from all others."""
    held = limits.held(values, log=False)
    losses = "accuracy" not in label and "score" not in label
    if losses and len(held) and held.min() > 0:
        held = limits.held(values, log=True)
    low, high = (float(held.min()), float(held.max())) if len(held) else (0.0, 1.0)
    if losses and low > 0 and high / low > STRETCH:
        log_scale(axes, "x", *positive_ends(held))
    else:
        room = 0.04 * (high - low) or 0.05 * abs(high) or 0.05
        axes.set_xlim(low - room, high + room)
    axes.set_xlabel(label)


def _join(axes: Axes, places: Array, series: Sequence[Series]) -> None:
    """A line through the marks of each row."""
    for at, row in enumerate(places):
        marks = [value for one in series for value in one.values[at] if np.isfinite(value)]
        if len(marks) > 1:
            ends = np.clip([min(marks), max(marks)], *axes.get_xlim())
            axes.plot(ends, [row, row], color=looks.OTHER, lw=1.2, zorder=1)


def _marks(axes: Axes, row: float, one: Series, at: int) -> bool:
    """Draw the marks of a row; whether some are outside of the axis, and so at its edge."""
    values: Array = np.asarray(one.values[at], dtype=float)
    values = values[~np.isnan(values)]
    low, high = axes.get_xlim()
    inside = values[(values >= low) & (values <= high)]
    if len(one.low) and len(inside) and np.isfinite([one.low[at], one.high[at]]).all():
        ends = np.clip([one.low[at], one.high[at]], low, high)
        axes.plot(ends, [row, row], color=one.look["color"], lw=1, zorder=2)
    if len(inside):
        axes.plot(inside, [row] * len(inside), ls="", zorder=3, **one.look)
    for marker, edge, found in (("<", low, values < low), (">", high, values > high)):
        if found.any():
            axes.plot([edge], [row], ls="", zorder=3, **{**one.look, "marker": marker})
    return len(inside) < len(values)


def _name(axes: Axes, places: Array, names: Sequence[str]) -> None:
    shown = [f"{at}  {lettering.cut(name, NAMES, LETTERS)}" for at, name in enumerate(names, 1)]
    axes.set_yticks(places, shown[: len(places)], fontsize=LETTERS)
    axes.set_ylim(0.3, len(places) + 0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
