"""The expected best of k settings against k: optimizers compared at equal numbers of settings."""

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.catalogue import optimizers
from optlab.figures import looks, words
from optlab.figures.axes import LINES, entry, legend, log_scale, outer_labels, positive_ends
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
    figure = rows["chosen_on"].iloc[0]
    label = words.figure(figure)
    label = label if figure.endswith("accuracy") else reader.label(first, label)
    return (_panels if rows["optimizer"].nunique() > LINES else _together)(picture, rows, label)


def _together(picture: Picture, rows: pd.DataFrame, label: str) -> Figure:
    figure, (axes,) = looks.figure(picture.title, height=4.1)
    _scales(axes, rows)
    axes.set(xlabel="settings, k", ylabel=f"expected {label}\nof the best of k settings")
    lines = _lines(rows)
    styles = looks.looks([name for name, _ in lines])
    for (_, own), look in zip(lines, styles, strict=True):
        name = f"{_name(own)}, {counted(len(own), 'setting')}, {_ranks(own)}"
        axes.plot(own["k"], _shown(own, axes), color=look.color, ls=look.line, marker=look.marker,
                  label=name, zorder=3, clip_on=False)  # fmt: skip
    _common(axes, rows)
    legend(figure, axes.get_lines())
    return figure


def _panels(picture: Picture, rows: pd.DataFrame, label: str) -> Figure:
    lines = _lines(rows)
    figure, every = looks.grid(f"{picture.title}, in the order of whole grids", len(lines))
    styles = looks.looks([name for name, _ in lines])
    for (_, own), look, axes in zip(lines, styles, every, strict=True):
        _scales(axes, rows)
        for _, other in lines:
            axes.plot(other["k"], _shown(other, axes), color=looks.OTHER, lw=0.7, zorder=1)
        axes.plot(own["k"], _shown(own, axes), color=look.color, marker="o", ms=3.5, zorder=3)
        common = _common(axes, rows)
        axes.set_title(_name(own), color=look.color, **looks.HEADING)
        axes.set_title(_ranks(own), loc="right", fontsize=6.5, color="#333333")
    outer_labels(figure, f"expected {label} of the best of k settings", "settings, k")
    legend(figure, [entry("the others", color=looks.OTHER), common])
    return figure


def _lines(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each optimizer with its rows, in the order of the table."""
    return list(rows.groupby("optimizer", sort=False))


def _name(own: pd.DataFrame) -> str:
    return optimizers.of(own["optimizer"].iloc[0]).label


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
    return np.maximum(LEAST_ERROR, 1 - values) if _accuracies(rows) else values


def _shown(own: pd.DataFrame, axes: Axes) -> Array:
    """The values of a line; a loss of zero is drawn at the lower edge."""
    return np.maximum(_values(own), min(axes.get_ylim()))


def _accuracies(rows: pd.DataFrame) -> bool:
    return rows["chosen_on"].iloc[0].endswith("accuracy")


def _scales(axes: Axes, rows: pd.DataFrame) -> None:
    largest = int(rows["settings"].max())
    log_scale(axes, "y", *positive_ends(_values(rows)), below=0.05, above=0.06)
    if _accuracies(rows):  # downwards, since errors are drawn
        axes.set_ylim(*reversed(axes.get_ylim()))
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(lambda v, _: f"{1 - v:.6g}")
    if largest > FEW:
        log_scale(axes, "x", 1, largest)
    else:
        axes.set_xlim(1 - 0.04 * largest, 1.04 * largest)
        whole = {"integer": True, "min_n_ticks": 1, "steps": [1, 2, 5, 10]}
        axes.xaxis.set_major_locator(ticker.MaxNLocator(8, **whole))
