"""The expected best of k settings against k: optimizers compared at equal numbers of settings."""

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.catalogue import tasks
from optlab.figures import limits, looks, ranked, words
from optlab.figures.axes import (
    entry,
    error_ends,
    error_ticks,
    legend,
    log_scale,
    outer_labels,
    positive_ends,
)
from optlab.figures.plan import Picture
from optlab.figures.rates import LEAST_ERROR
from optlab.figures.reader import Reader
from optlab.results import budget
from optlab.results.theory import Array
from optlab.values import counted

FEW = 20  # settings up to which the axis is linear


def draw(picture: Picture, reader: Reader) -> Figure:
    """A line for each optimizer; with many, a panel for each, in which the others are grey."""
    first = picture.groups[0][0]
    runs = [run for group in picture.groups for run in group]
    rows = budget.frame(reader.rows(runs), {first.exercise: reader.metric(first)})
    if rows.empty:
        return looks.nothing(picture.title, "a single optimizer")
    figure = rows["chosen_on"].iloc[0]
    label = reader.label(first, words.figure(figure))
    way = ranked.way(rows["optimizer"].nunique(), _together, _panels, _ranking)
    return way(picture, rows, label)


def _together(picture: Picture, rows: pd.DataFrame, label: str) -> Figure:
    figure, (axes,) = looks.figure(picture.title, height=4.1)
    _scales(axes, rows)
    axes.set(xlabel="settings, k", ylabel=f"expected {label}\nof the best of k settings")
    lines = _lines(rows)
    styles = looks.looks([name for name, _ in lines])
    for name, (_, own), look in zip(_names(lines), lines, styles, strict=True):
        shown = f"{name}, {counted(len(own), 'setting')}, {_ranks(own)}"
        axes.plot(own["k"], _shown(own, axes), color=look.color, ls=look.line, marker=look.marker,
                  label=shown, zorder=3, clip_on=False)  # fmt: skip
    _common(axes, rows)
    legend(figure, axes.get_lines())
    return figure


def _panels(picture: Picture, rows: pd.DataFrame, label: str) -> Figure:
    lines = _lines(rows)
    figure, every = looks.grid(f"{picture.title}, in the order of whole grids", len(lines))
    styles = looks.looks([name for name, _ in lines])
    for name, (_, own), look, axes in zip(_names(lines), lines, styles, every, strict=True):
        _scales(axes, rows)
        for _, other in lines:
            axes.plot(other["k"], _shown(other, axes), color=looks.OTHER, lw=0.7, zorder=1)
        axes.plot(own["k"], _shown(own, axes), color=look.color, marker="o", ms=3.5, zorder=3)
        common = _common(axes, rows)
        looks.head(axes, name, look.color, _ranks(own))
    outer_labels(figure, f"expected {label} of the best of k settings", "settings, k")
    legend(figure, [entry("the others", color=looks.OTHER), common])
    return figure


def _ranking(picture: Picture, rows: pd.DataFrame, label: str) -> Figure:
    """The ends of the lines of many optimizers."""
    lines = _lines(rows)
    common = int(rows["common_k"].iloc[0])
    at_common = [own.loc[own["k"] == common, "expected"].astype(float) for _, own in lines]
    whole = [own["expected"].iloc[-1:].astype(float) for _, own in lines]
    series = [
        ranked.Series(f"of {counted(common, 'setting')}", ranked.RING, at_common),
        ranked.Series("of the whole grid", ranked.DOT, whole),
    ]
    title = f"{picture.title}, in the order of whole grids"
    names = [f"{name}, {_ranks(own)}" for name, (_, own) in zip(_names(lines), lines, strict=True)]
    return ranked.draw(title, f"expected {label} of the best", names, series, [], joined=True)


def _lines(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each optimizer with its rows, in the order of the table."""
    return list(rows.groupby("optimizer", sort=False))


def _names(lines: list[tuple[str, pd.DataFrame]]) -> list[str]:
    return words.names([name for name, _ in lines])


def _ranks(own: pd.DataFrame) -> str:
    """The ranks of an optimizer with as many settings as the smallest grid, and with its own."""
    return "rank {} → {}".format(*own.iloc[0][["rank_at_common_k", "rank_at_full"]])


def _common(axes: Axes, rows: pd.DataFrame) -> Line2D:
    """A vertical line at the size of the smallest grid."""
    smallest = int(rows["common_k"].iloc[0])
    label = f"smallest grid: {counted(smallest, 'setting')}"
    return axes.axvline(smallest, color=looks.PLAIN, ls=":", lw=1, label=label)


def _values(rows: pd.DataFrame) -> Array:
    """What the vertical axis has: accuracies become errors, which a logarithmic axis spreads."""
    values = rows["expected"].to_numpy(float)
    return np.clip(1 - values, LEAST_ERROR, 1.0) if _accuracies(rows) else values


def _shown(own: pd.DataFrame, axes: Axes) -> Array:
    """The values of a line; what is outside of the axis, as zero is, lies on its edge."""
    return limits.cut(axes, _values(own))


def _accuracies(rows: pd.DataFrame) -> bool:
    return tasks.tops_at_one(rows["chosen_on"].iloc[0])


def _scales(axes: Axes, rows: pd.DataFrame) -> None:
    largest = int(rows["settings"].max())
    ends = error_ends if _accuracies(rows) else positive_ends
    log_scale(axes, "y", *ends(_values(rows)), below=0.05, above=0.06)
    if _accuracies(rows):  # downwards, since errors are drawn
        low, high = axes.get_ylim()
        axes.set_ylim(min(1.0, high), low)
        error_ticks(axes)
    if largest > FEW:
        log_scale(axes, "x", 1, largest)
    else:
        axes.set_xlim(1 - 0.04 * largest, 1.04 * largest)
        whole = {"integer": True, "min_n_ticks": 1, "steps": [1, 2, 5, 10]}
        axes.xaxis.set_major_locator(ticker.MaxNLocator(8, **whole))
