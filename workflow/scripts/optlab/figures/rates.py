"""Figures of the last epoch against the learning rate: final losses and accuracies."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.catalogue import tasks
from optlab.figures import limits, looks, ranked, words
from optlab.figures.axes import (
    CROWD,
    LINES,
    entry,
    error_ends,
    error_ticks,
    legend,
    log_scale,
    outer_labels,
    positive_ends,
)
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader
from optlab.results import summary, theory
from optlab.results.statistics import ENDS
from optlab.results.theory import Array
from optlab.study.run import Run

MARKED = 50  # points of a line; the markers of more would touch each other
LEAST_ERROR = 1e-4  # drawn for an accuracy of 1, which a logarithmic axis of errors cannot show


def accuracy(picture: Picture, reader: Reader) -> Figure:
    """Validation accuracy, or another metric, at the end of training: a panel an optimizer."""
    runs = [run for group in picture.groups for run in group]
    figure = f"val_{reader.beside_loss(runs) or 'accuracy'}"
    label = f"{words.figure(figure)} after {runs[0].length}"
    return _panels(picture, reader, figure, label)


def final_loss(picture: Picture, reader: Reader) -> Figure:
    """The loss that chooses between the runs; with many lines, a panel for each optimizer."""
    first = picture.groups[0][0]
    on = summary.loss_shown(reader.rows([run for group in picture.groups for run in group]))
    label = reader.label(first, "validation loss" if on == "val_loss" else "training loss")
    before = float(reader.curves(first)[0].of(on)[0])
    if len(picture.groups) > LINES:
        return _panels(picture, reader, on, label, before)
    return _together(picture, reader, on, f"{label}\nafter {first.length}", before)


def _together(picture: Picture, reader: Reader, on: str, label: str, before: float) -> Figure:
    """A line for each optimizer and its other knobs, all in the same axes."""
    groups = [reader.rows(group).sort_values("lr") for group in picture.groups]
    runs = [group[0] for group in picture.groups]
    lines = [_points(group, on, cut=10) for group in groups]
    stable = [theory.limit_of(run) if reader.exact(run) else None for run in runs]
    figure, (axes,) = looks.figure(picture.title, height=4.3)
    tried = [*pd.concat(groups)["lr"], *filter(None, stable)]
    _line_scales(axes, tried, [before, *_held(lines)])
    axes.set_ylabel(label)
    styles = looks.looks([run.optimizer for run in runs])
    entries: list[Artist] = []
    marked = False
    for name, line, look in zip(_names(picture, runs), lines, styles, strict=True):
        marked |= limits.mark(axes, line[:, 0], line[:, 1], look.color)
        marker = _plot(axes, line, look, clip_on=False).get_marker()
        entries.append(entry(name, color=look.color, ls=look.line, marker=marker))
    entries += _outside(marked)
    colors = [look.color for look in styles]
    entries += _crosses(axes, groups, colors)
    entries.append(axes.axhline(before, color=looks.PLAIN, ls=":", lw=1, label="before training"))
    _limits(axes, sorted((limit, c) for limit, c in zip(stable, colors, strict=True) if limit))
    legend(figure, entries, side=True)
    return figure


def _names(picture: Picture, runs: Sequence[Run]) -> list[str]:
    """The name of each line: its optimizer, and of its other knobs those that vary."""
    every = [run for group in picture.groups for run in group]
    own: dict[str, list[Run]] = {run.optimizer: [] for run in every}
    for run in every:
        own[run.optimizer].append(run)
    varied = {name: words.varied(found) for name, found in own.items()}
    names = [words.settings(run, varied[run.optimizer]) for run in runs]
    return words.told_apart(names, [run.optimizer for run in runs])


def _held(lines: Sequence[Array]) -> list[float]:
    """What the axis has to hold of these `_points`: most of their means and of their intervals."""
    points = np.concatenate(lines)
    return [*limits.held(points[:, 1], log=True), *limits.held(points[:, 2:], log=True)]


def _outside(marked: bool) -> list[Artist]:
    """The entry of the legend for points outside of the axis, if there are any."""
    look: dict[str, Any] = {"color": looks.PLAIN, "ls": "", "marker": "^"}
    return [entry(limits.OUTSIDE, **look)] if marked else []


def _line_scales(axes: Axes, tried: Sequence[float], values: Sequence[float]) -> None:
    first, last = positive_ends(tried)
    _log_scales(axes, tried, values, room=max(last / first, 10) ** 0.04, above=0.2)
    if min(tried) > 0:
        looks.log_axis(axes.xaxis, first, last)
    axes.set_xlabel("learning rate")


def _crosses(axes: Axes, groups: Sequence[pd.DataFrame], colors: Sequence[str]) -> list[Artist]:
    """A cross at the top for each run with a diverged seed, a row for each line that has one."""
    lost = [group.loc[group["diverged"] > 0, "lr"] for group in groups]
    rows = [(found, color) for found, color in zip(lost, colors, strict=True) if len(found)]
    edge = 0.7 if max(map(len, lost)) <= CROWD else 0  # the edges of a crowd would cover it
    look: dict[str, Any] = {"ls": "", "marker": "X", "ms": 6.5, "mec": "white", "mew": edge}
    for number, (found, color) in enumerate(rows):
        height = [0.985 - min(0.035, 0.15 / len(rows)) * number] * len(found)
        axes.plot(found, height, color=color, transform=axes.get_xaxis_transform(),
                  clip_on=False, zorder=4, **look)  # fmt: skip
    return [entry("diverges", color=looks.PLAIN, **look)] if rows else []


def _limits(axes: Axes, limits: Sequence[tuple[float, str]]) -> None:
    """A vertical line at each stability limit, in its colour and named above the axes."""
    to_axes = axes.transData + axes.transAxes.inverted()
    at = [float(to_axes.transform((limit, 1))[0]) for limit, _ in limits]
    for (limit, color), x, place in zip(limits, at, spread(at, 0.034), strict=True):
        axes.axvline(limit, color=color, lw=0.9, ls=(0, (4, 2)), zorder=1)
        axes.plot([x, place], [1, 1.03], color=color, lw=0.7, clip_on=False,
                  transform=axes.transAxes)  # fmt: skip
        axes.text(place, 1.035, f"limit {limit:.4f}", rotation=90, ha="center", va="bottom",
                  fontsize=7, color=color, transform=axes.transAxes)  # fmt: skip


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places, moved until they are ``gap`` apart, about the same centre."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    shift = (sum(places) - sum(moved)) / max(1, len(moved))
    return [place + shift for place in moved]


def _points(rows: pd.DataFrame, name: str, cut: float) -> Array:
    """Learning rate, mean, and the ends of its interval, for each run that has the figure.

    Accuracies, and R², become errors, which a logarithmic axis spreads. Intervals end at the mean
    divided by ``cut``, since no loss and no error is below zero. That of one seed has no length.

    Returns:
        [points, 4], for ``rows`` of `summary.summarise`.
    """
    found = rows[["lr", *(name + end for end in ENDS)]].to_numpy(np.float64)
    rate, mean, low, high = found[~np.isnan(found[:, 1])].T
    low, high = (np.where(np.isnan(end), mean, end) for end in (low, high))
    if tasks.tops_at_one(name):
        mean, low, high = np.maximum(LEAST_ERROR, 1 - mean), 1 - high, np.minimum(1.0, 1 - low)
    return np.stack([rate, mean, np.maximum(low, mean / cut), np.maximum(high, mean)], axis=1)


def _plot(axes: Axes, points: Array, look: looks.Look, **more: Any) -> Line2D:
    """Draw a line with its intervals; ``more`` is for Matplotlib.

    Many points are drawn without markers, their intervals as a band. What is outside of the axis,
    such as a loss of zero, is drawn on its edge.
    """
    rate, (mean, low, high) = points[:, 0], limits.cut(axes, points[:, 1:].T)
    many = len(rate) > MARKED
    if many:
        axes.fill_between(rate, low, high, color=look.color, alpha=0.2, lw=0, zorder=2)
    elif (high > low).any():
        axes.errorbar(rate, mean, [mean - low, high - mean], color=look.color, ls="",
                      capsize=2, elinewidth=1)  # fmt: skip
    more |= {"marker": None if many else look.marker, "zorder": 3}
    (drawn,) = axes.plot(rate, mean, color=look.color, ls=look.line, **more)
    return drawn


def _log_scales(
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
        axes.set_xlim(-0.2 * first, last * room)
        decades = range(math.ceil(math.log10(first)), math.floor(math.log10(last)) + 1)
        shown = [10.0**n for n in decades] or [first]
        axes.set_xticks([0, *shown], ["0", *map(looks.power, shown)])
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    log_scale(axes, "y", *positive_ends(values), below=0.05, above=above)


def _panels(
    picture: Picture, reader: Reader, name: str, label: str, start: float | None = None
) -> Figure:
    """The figure ``name`` of each optimizer in a panel, in which the others are grey.

    Of several runs with one learning rate the best is shown. ``label`` is that of the vertical
    axis, ``start`` the value before training, a dotted line.
    """
    rows = reader.rows([run for group in picture.groups for run in group])
    chosen = [
        reader.ordered(tried).drop_duplicates("lr").sort_values("lr")
        for _, tried in rows.groupby("optimizer", sort=False)
    ]
    if len(chosen) > ranked.MANY:
        return _ranking(picture.title, reader, chosen, name, label)
    lines = [_points(tried, name, cut=4) for tried in chosen]
    values = [*_held(lines), *([start] if start else [])]
    figure, every = looks.grid(picture.title, len(chosen))
    styles = looks.looks([tried["optimizer"].iloc[0] for tried in chosen])
    names = words.labels([tried["run"].iloc[0] for tried in chosen])
    panels = zip(chosen, names, lines, styles, every, strict=True)
    marked = False
    for tried, title, line, (color, *_), axes in panels:
        _panel_scales(axes, rows["lr"], values, name)
        for other in lines:
            axes.plot(other[:, 0], other[:, 1], color=looks.OTHER, lw=0.7)
        _plot(axes, line, looks.Look(color, "-", "o"), ms=3.5)
        marked |= limits.mark(axes, line[:, 0], line[:, 1], color, 5)
        _lost(axes, tried, color)
        if start is not None:
            axes.axhline(start, color=looks.PLAIN, ls=":", lw=0.9)
        looks.head(axes, title, color)
    outer_labels(figure, label, "learning rate")
    entries = [entry("the others", color=looks.OTHER), *_outside(marked)]
    if start is not None:
        entries.append(entry("before training", color=looks.PLAIN, ls=":", lw=0.9))
    if any((tried["diverged"] > 0).any() for tried in chosen):
        entries.append(entry("diverges", color=looks.PLAIN, ls="", marker="X"))
    legend(figure, entries)
    return figure


def _lost(axes: Axes, tried: pd.DataFrame, color: str) -> None:
    """A cross at the top of a panel for each run with a diverged seed."""
    lost = tried.loc[tried["diverged"] > 0, "lr"]
    if len(lost):  # without a point, an artist that is not clipped has no place in a layout
        axes.plot(lost, [0.97] * len(lost), "X", color=color, ms=5, clip_on=False,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _ranking(
    title: str, reader: Reader, chosen: Sequence[pd.DataFrame], name: str, label: str
) -> Figure:
    """The best rate of each of many optimizers, and the others that were tried."""
    best = reader.ordered(pd.concat([reader.ordered(tried).head(1) for tried in chosen]))
    own = {tried["optimizer"].iloc[0]: tried for tried in chosen}
    rows = [own[optimizer] for optimizer in best["optimizer"]]
    named = words.labels(list(best["run"]))
    values = [[value] for value in best[name].astype(float)]
    ends = (best[f"{name}_low"].astype(float), best[f"{name}_high"].astype(float))
    series = [
        ranked.Series("other rates", ranked.FAINT, [row[name].astype(float) for row in rows]),
        ranked.Series("the best rate", ranked.DOT, values, *map(list, ends)),
    ]
    names = [f"{n}, {words.knobs(run)}" for n, run in zip(named, best["run"], strict=True)]
    lost = [bool((row["diverged"] > 0).any()) for row in rows]
    return ranked.draw(title, label.replace("\n", " "), names, series, lost)


def _panel_scales(axes: Axes, rates: Sequence[float], values: Sequence[float], name: str) -> None:
    _log_scales(axes, rates, values, room=1.6, above=0.12)
    if min(rates) > 0:
        axes.xaxis.set_major_locator(ticker.LogLocator(numticks=5))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(lambda v, _: looks.power(v))
    if tasks.tops_at_one(name):  # downwards, since errors are drawn
        low, high = error_ends(values)
        axes.set_ylim(min(1.0, high * (high / low) ** 0.05), low / (high / low) ** 0.12)
        error_ticks(axes)
