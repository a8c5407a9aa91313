"""Pictures in panels: many optimizers, one highlighted in each; or one batch size in each.

More lines than eight in one axes cannot be told apart, whatever their colours. Here each optimizer
has a small panel of its own, in which all the others are grey: all can be compared with all.
"""

from __future__ import annotations

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

from optlab.figures import lines as curves
from optlab.figures import looks as style
from optlab.figures import plan as pictures
from optlab.figures.axes import Reader, frame, legend, loss_label, plot, plot_points, positive_ends
from optlab.figures.lines import Line
from optlab.figures.plan import Picture
from optlab.results.statistics import ENDS
from optlab.study.run import Run
from optlab.values import text

LEAST_ERROR = 1e-4  # an accuracy of 1 would lie nowhere on a logarithmic axis of errors
LINES = 8  # of one axes; with more there are panels
Points = list[tuple[float, float, float, float]]  # rate, mean, and the ends of its interval


def comparison(picture: Picture, reader: Reader) -> Figure:
    """Loss against epoch of the best run of each group, by rank; dashed on validation data."""
    best = [reader.best(group)["run"] for group in picture.groups]
    on, runs = reader.chosen_on(best), list(reader.ordered(best)["run"])
    training = reader.lines(runs, "train_loss")
    validation = reader.lines(runs, "val_loss") if on == "val_loss" else []
    figure, every = style.grid(f"{picture.title}, in the order of their {_words(on)}", len(runs))
    looks = style.looks([run.optimizer for run in runs])
    for number, axes in enumerate(every):
        frame(axes, [*training, *validation], "", full=runs[0].batch_size == "full")
        for other in training:
            at = curves.thin(other.mean, len(runs) ** 2)
            axes.plot(other.epoch[at], other.mean[at], color=style.OTHER, lw=0.7, zorder=1)
        look = style.Look(looks[number].color, "-", "")
        plot(axes, training[number], look, "")
        if validation:
            plot(axes, validation[number], style.Look(look.color, "--", ""), "")
        note = training[number].note
        axes.set_title(f"{number + 1}  {pictures.label(runs[number])}", loc="left", fontsize=8,
                       fontweight="bold", color=look.color)  # fmt: skip
        _detail(axes, _knobs(runs[number]) + note)
    _outer(figure, every, runs[0], loss_label(reader, runs, "loss"))
    own: dict[str, Any] = {"color": "#333333", "lw": 1.5}
    entries = [Line2D([], [], label="training", **own)]
    if validation:
        entries.append(Line2D([], [], ls="--", label="validation", **own))
    legend(figure, [*entries, Line2D([], [], color=style.OTHER, label="the others, training")])
    return figure


def final_loss(picture: Picture, reader: Reader) -> Figure:
    """Loss at the end against the learning rate, a panel for each optimizer."""
    runs = [run for group in picture.groups for run in group]
    on = reader.chosen_on(runs)
    before = float(reader.curves(runs[0])[0].values[on][0])
    figure = _against_rate(picture, reader, on, start=before)
    _outer(figure, figure.axes, runs[0], loss_label(reader, runs, _words(on)), "learning rate")
    return figure


def accuracy(picture: Picture, reader: Reader) -> Figure:
    """Validation accuracy at the end against the learning rate, a panel for each optimizer."""
    figure = _against_rate(picture, reader, "val_accuracy")
    first = picture.groups[0][0]
    label = f"validation accuracy after {first.epochs} epochs"
    _outer(figure, figure.axes, first, label, "learning rate")
    return figure


def _against_rate(
    picture: Picture, reader: Reader, name: str, start: float | None = None
) -> Figure:
    """A figure of the last epoch against the learning rate, a panel for each optimizer."""
    by_optimizer: dict[str, list[Run]] = {}
    for group in picture.groups:
        by_optimizer.setdefault(group[0].optimizer, []).extend(group)
    groups = [_best_at_each_rate(runs, reader) for runs in by_optimizer.values()]
    points = [_points(tried, name) for tried in groups]
    rates = [row["run"].knobs["lr"] for tried in groups for row in tried]
    values = [v for found in points for point in found for v in point[1:]]
    figure, every = style.grid(picture.title, len(groups))
    looks = style.looks(list(by_optimizer))
    for tried, found, look, axes in zip(groups, points, looks, every, strict=True):
        _rate_frame(axes, rates, values + ([start] if start else []), name)
        for other in points:
            axes.plot([p[0] for p in other], [p[1] for p in other], color=style.OTHER, lw=0.7)
        _draw_points(axes, found, look)
        lost = [row["run"].knobs["lr"] for row in tried if row["diverged"]]
        if lost:  # without a point, an artist that is not clipped has no place in a layout
            axes.plot(lost, [0.97] * len(lost), "X", color=look.color, ms=5, clip_on=False,
                      transform=axes.get_xaxis_transform())  # fmt: skip
        if start is not None:
            axes.axhline(start, color="#555555", ls=":", lw=0.9)
        axes.set_title(pictures.label(tried[0]["run"]), loc="left", fontsize=8, fontweight="bold",
                       color=look.color)  # fmt: skip
    entries = [Line2D([], [], color=style.OTHER, label="the others")]
    if start is not None:
        entries.append(Line2D([], [], color="#555555", ls=":", lw=0.9, label="before training"))
    if any(row["diverged"] for tried in groups for row in tried):
        entries.append(Line2D([], [], color="#555555", ls="", marker="X", label="diverges"))
    legend(figure, entries)
    return figure


def _best_at_each_rate(runs: Sequence[Run], reader: Reader) -> list[pd.Series]:
    rates = sorted({run.knobs["lr"] for run in runs})
    return [reader.best([run for run in runs if run.knobs["lr"] == rate]) for rate in rates]


def _points(group: Sequence[pd.Series], name: str) -> Points:
    found = []
    for row in group:
        mean, low, high = (row[name + end] for end in ENDS)
        if not math.isfinite(mean):
            continue
        if math.isnan(low):
            low = high = mean
        if name.endswith("accuracy"):  # drawn as errors, which a logarithmic axis spreads
            mean, low, high = max(LEAST_ERROR, 1 - mean), 1 - high, min(1.0, 1 - low)
        # An interval is cut: neither a loss nor an error is ever below zero.
        found.append((row["run"].knobs["lr"], mean, max(low, mean / 4), max(high, mean)))
    return found


def _draw_points(axes: Axes, points: Points, look: style.Look) -> None:
    table = np.array(points).reshape(-1, 4)
    plot_points(axes, table, style.Look(look.color, "-", "o"), ms=3.5)


def _rate_frame(axes: Axes, rates: Sequence[float], values: Sequence[float], name: str) -> None:
    first, last = positive_ends(rates)
    if min(rates) > 0:
        axes.set_xscale("log")
        axes.set_xlim(first / 1.6, last * 1.6)
    else:
        axes.set_xscale("symlog", linthresh=first)
    axes.xaxis.set_major_locator(ticker.LogLocator(numticks=5))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: style.power(v)))
    low, high = positive_ends(values)
    axes.set_yscale("log")
    style.log_axis(axes.yaxis, low, high)
    axes.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.12)
    if name.endswith("accuracy"):
        axes.set_ylim(high * (high / low) ** 0.05, low / (high / low) ** 0.12)
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{1 - v:.6g}"))


def _outer(
    figure: Figure, every: Sequence[Axes], run: Run, label: str, below: str | None = None
) -> None:
    """One label for the shared axis at the left, and one below each column."""
    steps = "epoch (one step each)" if run.batch_size == "full" else "epoch"
    for axes in every:
        axes.set_ylabel("")
        axes.set_xlabel("")
        axes.tick_params(labelsize=7)
        if axes.xaxis.get_tick_params()["labelbottom"]:
            axes.set_xlabel(below or steps, fontsize=8)
    figure.supylabel(label, fontsize=8.5)


def _knobs(run: Run) -> str:
    """The settings of a run in words, without its optimizer."""
    return pictures.settings_text(run).partition(", ")[2]


def _detail(axes: Axes, words: str) -> None:
    axes.text(0.97, 0.95, words.replace(", ", "\n"), transform=axes.transAxes, ha="right", va="top",
              fontsize=6.5, color="#333333", zorder=5)  # fmt: skip


def _words(name: str) -> str:
    return {"val_loss": "validation loss", "train_loss": "training loss"}[name]


# -- full batch and mini-batches ---------------------------------------------------------------


def batches(picture: Picture, reader: Reader) -> Figure:
    """Training loss of each optimizer on the full batch and, at the same setting, on mini-batches.

    The setting is the best one on the full batch, for which the optimizer may have been built.
    """
    sizes = sorted({group[0].batch_size for group in picture.groups}, key=_size)
    chosen = _on_full_batch(picture, reader)
    runs = [[run for run in chosen if run.batch_size == size] for size in sizes]
    lines = [reader.lines(of_size, "train_loss") for of_size in runs]
    every = [line for found in lines for line in found]
    figure = style.figure(picture.title, (1,) * len(sizes), height=4.4)
    optimizers = list(dict.fromkeys(run.optimizer for run in chosen))
    looks = dict(zip(optimizers, style.looks(optimizers), strict=True))
    entries: dict[str, Artist] = {}
    for axes, size, of_size, found in zip(figure.axes, sizes, runs, lines, strict=True):
        first = axes is figure.axes[0]
        label = loss_label(reader, of_size, "training loss") if first else ""
        frame(axes, every, label, log=True)
        for number, (run, line) in enumerate(zip(of_size, found, strict=True)):
            label = f"{_name(run)}, {_knobs(run)}"
            entry = plot(axes, line, looks[run.optimizer], label, 0.75 * number / len(of_size))
            entries.setdefault(run.optimizer, entry)
        steps = round(float(found[0].step[-1] / found[0].epoch[-1])) if found else 0
        pace = "one step an epoch" if size == "full" else f"{steps} steps an epoch"
        words = [f"{_batch_words(size)}: {pace}", *map(_measured, of_size, found)]
        axes.set_title("\n".join(words), fontsize=7.5, loc="left")
    legend(figure, list(entries.values()))
    return figure


def _size(batch_size: int | str) -> float:
    return -math.inf if batch_size == "full" else -float(batch_size)


def _batch_words(batch_size: int | str) -> str:
    return "full batch" if batch_size == "full" else f"batches of {batch_size}"


def _on_full_batch(picture: Picture, reader: Reader) -> list[Run]:
    """Each optimizer's best run on the full batch, and the runs with its settings on others."""
    chosen: list[Run] = []
    for group in picture.groups:
        if group[0].batch_size == "full":
            best = reader.best(group)["run"]
            same = (group[0].optimizer, best.knobs, best.schedule)
            every = (run for other in picture.groups for run in other)
            chosen += [r for r in every if (r.optimizer, r.knobs, r.schedule) == same]
    return chosen


def _measured(run: Run, line: Line) -> str:
    """What a line does, in numbers."""
    lowest = int(np.nanargmin(line.mean))
    rises = int((np.diff(line.mean) > 0).sum())
    return (
        f"{_name(run)}: {text_of(line.mean[-1])} at the end, lowest {text_of(line.mean[lowest])} "
        f"(epoch {line.epoch[lowest]:g}), rises in {rises} of {len(line.mean) - 1}"
    )


def _name(run: Run) -> str:
    """SGD on every batch: GD beside SGD would look like two optimizers."""
    return "SGD" if run.optimizer == "sgd" else pictures.label(run)


def text_of(value: float) -> str:
    """A measured number with two digits."""
    return text(float(f"{value:.2g}"))
