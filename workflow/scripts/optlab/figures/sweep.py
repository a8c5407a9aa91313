"""The pictures of an exercise, drawn from the metrics of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.figures import lines as curves
from optlab.figures import looks as style
from optlab.figures import panels
from optlab.figures import plan as pictures
from optlab.figures.axes import (
    CROWD,
    Reader,
    closed_forms,
    enlarge,
    frame,
    legend,
    loss_label,
    plot,
    plot_points,
    positive_ends,
)
from optlab.figures.plan import Picture
from optlab.results.statistics import ENDS
from optlab.study.run import Run
from optlab.values import text

EARLY = 0.05  # of the epochs: a run that leaves before is shown in a panel of its own, enlarged


def draw(picture: Picture, reader: Reader) -> Figure:
    """A picture, ready to be saved.

    Raises:
        UserError: a run of it has no metrics.
    """
    drawers: dict[str, Callable[[Picture, Reader], Figure]] = {
        "loss": loss,
        "final-loss": final_loss,
        "comparison-best": comparison,
        "comparison-lab": comparison,
        "curves": training_and_validation,
        "accuracy": panels.accuracy,
        "batches": panels.batches,
    }
    crowded = {
        "final-loss": panels.final_loss,
        "comparison-best": panels.comparison,
        "comparison-lab": panels.comparison,
    }
    if len(picture.groups) > panels.LINES and picture.kind in crowded:
        return crowded[picture.kind](picture, reader)
    return drawers[picture.kind](picture, reader)


def loss(picture: Picture, reader: Reader) -> Figure:
    """Training loss against epoch for each learning rate; early departures also enlarged."""
    runs = sorted((group[0] for group in picture.groups), key=lambda run: run.knobs["lr"])
    rates = [run.knobs["lr"] for run in runs]
    lines = reader.lines(runs, "train_loss")
    last = max(line.epoch[-1] for line in lines)
    leaving = max((line.epoch[-1] for line in lines if line.leaves), default=math.inf)
    # Below an epoch or two there is no evaluation between, and nothing to enlarge.
    panels = [1.5 * leaving, last] if 1.5 < leaving < EARLY * last else [last]
    figure = style.figure(picture.title, ratios=(1, 2.2) if len(panels) > 1 else (1,))
    colors, crowd = style.rate_colors(rates), len(rates) > CROWD
    for axes, end in zip(figure.axes, panels, strict=True):
        label = loss_label(reader, runs, "training loss") if axes is figure.axes[0] else ""
        frame(axes, lines, label, full=runs[0].batch_size == "full")
        if end < last:
            enlarge(axes, lines, end)
        drawn: list[Artist] = []
        for rate, color, line in zip(rates, colors, lines, strict=True):
            look = style.Look(color, "--" if line.leaves else "-", "")
            drawn.append(plot(axes, line, look, f"{text(rate)}{line.note}", lines=len(lines)))
        exact = closed_forms(axes, zip(runs, lines, strict=True), reader)
    if crowd:
        style.rate_bar(figure, figure.axes[-1], rates)
        drawn = _diverged(drawn, rates, lines)
    legend(figure, [*drawn, *exact], "learning rate" if drawn else None, side=not crowd)
    return figure


def _diverged(
    drawn: Sequence[Artist], rates: Sequence[float], lines: Sequence[curves.Line]
) -> list[Artist]:
    """What the legend names beside a colour bar: each line that diverges, or how many do."""
    lost = [number for number, line in enumerate(lines) if line.diverged]
    if len(lost) <= CROWD:
        return [drawn[number] for number in lost]
    words = f"{len(lost)} of {len(rates)} diverge, the lowest {text(rates[lost[0]])}"
    return [Line2D([], [], color="#555555", lw=0.8, ls="--", label=words)]


def comparison(picture: Picture, reader: Reader) -> Figure:
    """Loss against epoch of the best run of each group, on training and on validation data."""
    runs = [reader.best(group)["run"] for group in picture.groups]
    names = {"train_loss": "training loss"}
    if any(np.isfinite(c.values["val_loss"]).any() for run in runs for c in reader.curves(run)):
        names["val_loss"] = "validation loss"
    figure = style.figure(picture.title, ratios=(1,) * len(names))
    sets = [reader.lines(runs, name) for name in names]
    every = [line for lines in sets for line in lines]
    looks = style.looks([run.optimizer for run in runs])
    entries: list[Artist] = []
    for axes, lines, name in zip(figure.axes, sets, names.values(), strict=True):
        entries = []
        label = loss_label(reader, runs, name)
        frame(axes, every, label, full=runs[0].batch_size == "full")
        for number, (run, look, line) in enumerate(zip(runs, looks, lines, strict=True)):
            label = f"{pictures.settings_text(run)}{line.note}"
            entries.append(plot(axes, line, look, label, 0.75 * number / len(runs)))
    if len(names) == 1:
        entries += closed_forms(figure.axes[0], zip(runs, sets[0], strict=True), reader)
    legend(figure, entries)
    return figure


def final_loss(picture: Picture, reader: Reader) -> Figure:
    """Loss at the end against the learning rate, a line per optimizer and its other knobs."""
    groups = [sorted(group, key=lambda run: run.knobs["lr"]) for group in picture.groups]
    runs = [run for group in groups for run in group]
    on = reader.chosen_on(runs)
    before = float(reader.curves(runs[0])[0].values[on][0])
    figure = style.figure(picture.title, height=4.3)
    axes = figure.axes[0]
    points = [_points([reader.summary(run) for run in group], on) for group in groups]
    rates = [run.knobs["lr"] for run in runs]
    rates += [curves.stability_limit(run) for run in runs if reader.exact(run)]
    _final_frame(axes, rates, [before, *(v for group in points for p in group for v in p[1:])])
    name = loss_label(reader, runs, "validation loss" if on == "val_loss" else "training loss")
    axes.set_ylabel(f"{name}\nafter {runs[0].epochs} epochs")
    looks = style.looks([group[0].optimizer for group in groups])
    knobs = {run.optimizer: pictures.varied(_of(runs, run.optimizer)) for run in runs}
    entries: list[Artist] = []
    for group, found, look in zip(groups, points, looks, strict=True):
        settings = pictures.knobs_text(group[0], knobs[group[0].optimizer])
        label = ", ".join(filter(None, (pictures.label(group[0]), settings)))
        entries.append(_final(axes, found, look, label))
    entries += _crosses(axes, groups, looks, reader)
    entries.append(axes.axhline(before, color="#555555", ls=":", lw=1, label="before training"))
    _limits(axes, groups, looks, reader)
    legend(figure, entries, side=True)
    return figure


def _points(found: Sequence[pd.Series], on: str) -> list[tuple[float, float, float, float]]:
    """Learning rate, mean, and the ends of the interval, of each run that came to its end.

    An interval is cut at a tenth of the mean: a loss is never below zero, whatever its interval.
    """
    points = []
    for row in found:
        mean, low, high = (row[on + end] for end in ENDS)
        if math.isfinite(mean):
            ends = (mean, mean) if math.isnan(low) else (max(low, mean / 10), high)
            points.append((row["run"].knobs["lr"], mean, *ends))
    return points


def _final(
    axes: Axes,
    points: Sequence[tuple[float, float, float, float]],
    look: style.Look,
    label: str,
) -> Artist:
    """One line of `final_loss` with its intervals; a loss of zero lies on the lower edge."""
    table = np.array(points).reshape(-1, 4)
    table[:, 1:] = np.maximum(table[:, 1:], axes.get_ylim()[0])
    line = plot_points(axes, table, look, clip_on=False)
    return Line2D([], [], label=label, color=look.color, ls=look.line, marker=line.get_marker())


def _final_frame(axes: Axes, rates: Sequence[float], values: Sequence[float]) -> None:
    first, last = positive_ends(rates)
    if min(rates) > 0:
        room = max(last / first, 10) ** 0.04
        axes.set_xscale("log")
        axes.set_xlim(first / room, last * room)
        style.log_axis(axes.xaxis, first, last)
    else:  # a rate of zero has its place too, left of all others
        axes.set_xscale("symlog", linthresh=first)
        axes.set_xlim(-0.1 * first, last * 1.2)
    low, high = positive_ends(values)
    axes.set_yscale("log")
    axes.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.2)
    style.log_axis(axes.yaxis, low, high)
    axes.set_xlabel("learning rate")


def _crosses(
    axes: Axes, groups: Sequence[Sequence[Run]], looks: Sequence[style.Look], reader: Reader
) -> list[Artist]:
    """A cross at the top for each run with a diverged seed, a row for each line that has one."""
    rates = [[r.knobs["lr"] for r in group if reader.summary(r)["diverged"]] for group in groups]
    rows = [(found, look.color) for found, look in zip(rates, looks, strict=True) if found]
    edge = 0.7 if max(map(len, rates)) <= CROWD else 0  # the edges of a crowd would cover it
    drawn: dict[str, Any] = {"ls": "", "marker": "X", "ms": 6.5, "mec": "white", "mew": edge}
    for number, (found, color) in enumerate(rows):
        height = [0.985 - min(0.035, 0.15 / len(rows)) * number] * len(found)
        axes.plot(found, height, color=color, transform=axes.get_xaxis_transform(),
                  clip_on=False, zorder=4, **drawn)  # fmt: skip
    return [Line2D([], [], color="#555555", label="diverges", **drawn)] if rows else []


def _limits(
    axes: Axes, groups: Sequence[Sequence[Run]], looks: Sequence[style.Look], reader: Reader
) -> None:
    """A vertical line at the stability limit of each line that has one, named above the axes."""
    found = sorted(
        (curves.stability_limit(group[0]), look.color)
        for group, look in zip(groups, looks, strict=True)
        if reader.exact(group[0])
    )
    to_axes = axes.transData + axes.transAxes.inverted()
    at = [float(to_axes.transform((limit, 1))[0]) for limit, _ in found]
    for (limit, color), x, place in zip(found, at, spread(at, 0.034), strict=True):
        axes.axvline(limit, color=color, lw=0.9, ls=(0, (4, 2)), zorder=1)
        axes.plot([x, place], [1, 1.03], color=color, lw=0.7, clip_on=False,
                  transform=axes.transAxes)  # fmt: skip
        axes.text(place, 1.035, f"limit {limit:.4f}", rotation=90, ha="center", va="bottom",
                  fontsize=7, color=color, transform=axes.transAxes)  # fmt: skip


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places moved as little as needed to lie ``gap`` apart, about the same centre."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    shift = (sum(places) - sum(moved)) / max(1, len(moved))
    return [place + shift for place in moved]


def _of(runs: Sequence[Run], optimizer: str) -> list[Run]:
    return [run for run in runs if run.optimizer == optimizer]


def training_and_validation(picture: Picture, reader: Reader) -> Figure:
    """Loss and accuracy of the best run against epoch, on training and on validation data."""
    (group,) = picture.groups
    chosen = reader.best(group)
    run = chosen["run"]
    names = ["loss"] if np.isnan(chosen["train_accuracy"]) else ["loss", "accuracy"]
    title = f"{picture.title}\n{pictures.settings_text(run)}"
    figure = style.figure(title, ratios=(1,) * len(names))
    units = {
        "loss": loss_label(reader, [run], "loss"),
        "accuracy": "accuracy (fraction correct)",
    }
    entries: list[Artist] = []
    for axes, name in zip(figure.axes, names, strict=True):
        (training,) = reader.lines([run], f"train_{name}")
        (validation,) = reader.lines([run], f"val_{name}")
        parts = [(training, style.TRAINING, "training")]
        if np.isfinite(validation.mean).any():
            parts.append((validation, style.VALIDATION, "validation"))
        log = None if name == "loss" else False
        frame(axes, [line for line, *_ in parts], units[name], log=log)
        entries = [plot(axes, line, look, words + line.note) for line, look, words in parts]
        test = chosen[f"test_{name}"]
        if not np.isnan(test):
            entries += axes.plot(training.epoch[-1], test, "D", ms=5, color="#000000",
                                 mfc="none", clip_on=False, zorder=4,
                                 label="test, at the end")  # fmt: skip
            axes.set_title(f"test {name} {test:.4g}", loc="right", fontsize=8)
    legend(figure, entries)
    return figure
