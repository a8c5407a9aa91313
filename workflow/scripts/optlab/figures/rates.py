"""Figures of the last epoch against the learning rate: their points, axes, and panels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.figures import looks, words
from optlab.figures.axes import entry, legend, log_scale, outer_labels, positive_ends
from optlab.figures.lines import Array
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader
from optlab.results import summary
from optlab.results.statistics import ENDS

MARKED = 50  # points of a line; the markers of more would touch each other
LEAST_ERROR = 1e-4  # drawn for an accuracy of 1, which a logarithmic axis of errors cannot show


def points(rows: pd.DataFrame, name: str, cut: float) -> Array:
    """Learning rate, mean, and the ends of its interval, for each run that has the figure.

    Accuracies become errors, which a logarithmic axis spreads. Intervals end at the mean divided by
    ``cut``, since no loss and no error is below zero. That of a single seed has no length.

    Returns:
        [points, 4], for ``rows`` of `summary.summarise`.
    """
    found = rows[["lr", *(name + end for end in ENDS)]].to_numpy(np.float64)
    rate, mean, low, high = found[np.isfinite(found[:, 1])].T
    low, high = (np.where(np.isnan(end), mean, end) for end in (low, high))
    if name.endswith("accuracy"):
        mean, low, high = np.maximum(LEAST_ERROR, 1 - mean), 1 - high, np.minimum(1.0, 1 - low)
    return np.stack([rate, mean, np.maximum(low, mean / cut), np.maximum(high, mean)], axis=1)


def plot(axes: Axes, points: Array, look: looks.Look, **more: Any) -> Line2D:
    """Draw a line with its intervals; ``more`` is for Matplotlib.

    Many points are drawn without markers, their intervals as a band.
    """
    rate, mean, low, high = points.T
    many = len(rate) > MARKED
    if many:
        axes.fill_between(rate, low, high, color=look.color, alpha=0.2, lw=0, zorder=2)
    elif (high > low).any():
        axes.errorbar(rate, mean, [mean - low, high - mean], color=look.color, ls="",
                      capsize=2, elinewidth=1)  # fmt: skip
    more |= {"marker": None if many else look.marker, "zorder": 3}
    (drawn,) = axes.plot(rate, mean, color=look.color, ls=look.line, **more)
    return drawn


def scales(
    axes: Axes, rates: Sequence[float], values: Sequence[float], room: float, above: float
) -> None:
    """Make both axes logarithmic; a learning rate of zero is left of all others.

    ``room`` is a factor beside the learning rates; ``above`` the values is this part of the axis.
    """
    first, last = positive_ends(rates)
    if min(rates) > 0:
        axes.set(xscale="log", xlim=(first / room, last * room))
    else:
        axes.set_xscale("symlog", linthresh=first)
    log_scale(axes, "y", *positive_ends(values), below=0.05, above=above)


def panels(
    picture: Picture, reader: Reader, name: str, label: str, start: float | None = None
) -> Figure:
    """The figure ``name`` of each optimizer in a panel, in which the others are grey.

    Of several runs with one learning rate the best is shown. ``label`` is that of the vertical
    axis, ``start`` the value before training, a dotted line.
    """
    rows = reader.rows([run for group in picture.groups for run in group])
    chosen = [
        summary.ordered(tried).drop_duplicates("lr").sort_values("lr")
        for _, tried in rows.groupby("optimizer", sort=False)
    ]
    lines = [points(tried, name, cut=4) for tried in chosen]
    values = [*np.concatenate(lines)[:, 1:].flat, *([start] if start else [])]
    figure, every = looks.grid(picture.title, len(chosen))
    styles = looks.looks([tried["optimizer"].iloc[0] for tried in chosen])
    for tried, line, (color, *_), axes in zip(chosen, lines, styles, every, strict=True):
        _panel_scales(axes, rows["lr"], values, name)
        for other in lines:
            axes.plot(other[:, 0], other[:, 1], color=looks.OTHER, lw=0.7)
        plot(axes, line, looks.Look(color, "-", "o"), ms=3.5)
        lost = tried.loc[tried["diverged"] > 0, "lr"]
        if len(lost):  # without a point, an artist that is not clipped has no place in a layout
            axes.plot(lost, [0.97] * len(lost), "X", color=color, ms=5, clip_on=False,
                      transform=axes.get_xaxis_transform())  # fmt: skip
        if start is not None:
            axes.axhline(start, color=looks.PLAIN, ls=":", lw=0.9)
        axes.set_title(words.label(tried["run"].iloc[0]), color=color, **looks.HEADING)
    outer_labels(figure, label, "learning rate")
    entries = [entry("the others", color=looks.OTHER)]
    if start is not None:
        entries.append(entry("before training", color=looks.PLAIN, ls=":", lw=0.9))
    if any((tried["diverged"] > 0).any() for tried in chosen):
        entries.append(entry("diverges", color=looks.PLAIN, ls="", marker="X"))
    legend(figure, entries)
    return figure


def _panel_scales(axes: Axes, rates: Sequence[float], values: Sequence[float], name: str) -> None:
    scales(axes, rates, values, room=1.6, above=0.12)
    axes.xaxis.set_major_locator(ticker.LogLocator(numticks=5))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: looks.power(v)))
    if name.endswith("accuracy"):  # downwards, since errors are drawn
        low, high = positive_ends(values)
        axes.set_ylim(high * (high / low) ** 0.05, low / (high / low) ** 0.12)
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{1 - v:.6g}"))
