"""The pictures of an exercise, drawn from the metrics of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab import curves, pictures, results, style
from optlab.curves import Line
from optlab.grid import Run, text
from optlab.pictures import Picture

ENTRIES = 12  # of a legend; with more lines a colour bar takes its place
DECADES = 2  # a loss that spans more is drawn on a logarithmic axis


class Reader:
    """Reads each run of an exercise once, whatever the number of pictures that show it."""

    def __init__(self, study: Mapping[str, Any]):
        self._study = study
        self._summaries: dict[str, results.Summary] = {}
        self._curves: dict[str, list[results.Curve]] = {}

    def summary(self, run: Run) -> results.Summary:
        """Final figures over the seeds."""
        if run.path not in self._summaries:
            self._summaries[run.path] = results.summary(run)
        return self._summaries[run.path]

    def curves(self, run: Run) -> list[results.Curve]:
        """Figures over time, seed by seed."""
        if run.path not in self._curves:
            self._curves[run.path] = results.curves(run)
        return self._curves[run.path]

    def best(self, runs: Sequence[Run]) -> results.Summary:
        """The run that the tables would choose."""
        return results.choose([self.summary(run) for run in runs]).chosen

    def lines(self, runs: Sequence[Run], name: str) -> list[Line]:
        """The figure ``name`` of each run over time."""
        pace = curves.steps_per_epoch(c for run in runs for c in self.curves(run))
        return [curves.line(self.curves(run), name, pace) for run in runs]

    def exact(self, run: Run) -> bool:
        """Whether the run is known in closed form."""
        return curves.has_closed_form(run, self._study["datasets"][run.dataset]["source"])


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
    }
    return drawers[picture.kind](picture, reader)


def loss(picture: Picture, reader: Reader) -> Figure:
    """Training loss against epoch for each learning rate."""
    runs = [group[0] for group in picture.groups]
    runs.sort(key=lambda run: run.knobs["lr"])
    rates = [run.knobs["lr"] for run in runs]
    lines = reader.lines(runs, "train_loss")
    figure = style.figure(picture.title)
    axes = figure.axes[0]
    entries: list[Artist] = []
    for rate, color, line in zip(rates, style.rate_colors(rates), lines, strict=True):
        name = f"{text(rate)}{line.note}"
        entry = plot(axes, line, style.Look(color, "--" if line.leaves else "-", ""), name)
        entries += [entry] if len(rates) <= ENTRIES or line.diverged else []
    frame(axes, lines, log=None, label=loss_label(reader, runs, "training loss"))
    entries += closed_forms(axes, zip(runs, lines, strict=True), reader)
    if len(rates) > ENTRIES:
        style.rate_bar(figure, axes, rates)
    legend(figure, entries, "learning rate", side=True)
    return figure


def comparison(picture: Picture, reader: Reader) -> Figure:
    """Loss against epoch of the best run of each group, on training and on validation data."""
    runs = [reader.best(group).run for group in picture.groups]
    knobs = {r: pictures.varied(reader_runs(picture, r)) for r in {r.optimizer for r in runs}}
    names = {"train_loss": "training loss"}
    if any(np.isfinite(c.values["val_loss"]).any() for run in runs for c in reader.curves(run)):
        names["val_loss"] = "validation loss"
    figure = style.figure(picture.title, len(names), width=7.0 if len(names) == 1 else 8.0)
    sets = [reader.lines(runs, name) for name in names]
    log = wants_log([line for lines in sets for line in lines])
    looks = style.looks([run.optimizer for run in runs])
    entries: list[Artist] = []
    for axes, lines, name in zip(figure.axes, sets, names.values(), strict=True):
        entries = []
        for number, (run, look, line) in enumerate(zip(runs, looks, lines, strict=True)):
            settings = pictures.knobs_text(run, ["lr", *knobs[run.optimizer]])
            label = f"{pictures.label(run)}, {settings}{line.note}"
            entries.append(plot(axes, line, look, label, number / (10 * len(runs))))
        frame(axes, lines, log=log, label=loss_label(reader, runs, name))
    if len(names) == 1:
        entries += closed_forms(figure.axes[0], zip(runs, sets[0], strict=True), reader)
    legend(figure, entries)
    return figure


def reader_runs(picture: Picture, optimizer: str) -> list[Run]:
    """The runs of an optimizer among all that a picture chooses from."""
    return [run for group in picture.groups for run in group if run.optimizer == optimizer]


def final_loss(picture: Picture, reader: Reader) -> Figure:
    """Loss at the end against the learning rate, a line per optimizer and its other knobs."""
    runs = [run for group in picture.groups for run in group]
    on = results.choose([reader.summary(run) for run in runs]).chosen_on
    figure = style.figure(picture.title, height=4.3)
    axes = figure.axes[0]
    before = reader.curves(runs[0])[0].values[on][0]
    entries: list[Artist] = []
    looks = style.looks([group[0].optimizer for group in picture.groups])
    names = {run.optimizer: pictures.varied(reader_runs(picture, run.optimizer)) for run in runs}
    ends = [before]
    for group, look in zip(picture.groups, looks, strict=True):
        found = sorted((reader.summary(run) for run in group), key=lambda s: s.run.knobs["lr"])
        settings = pictures.knobs_text(group[0], names[group[0].optimizer])
        label = ", ".join(filter(None, (pictures.label(group[0]), settings)))
        entries.append(_final(axes, found, on, look, label))
        ends += [s.loss(on) for s in found if math.isfinite(s.loss(on))]
    _final_frame(axes, runs, ends, before)
    axes.set_ylabel(loss_label(reader, runs, "validation loss" if on == "val_loss" else
                               "training loss") + f"\nafter {runs[0].epochs} epochs")  # fmt: skip
    _crosses(axes, picture, looks, reader)
    _limits(axes, picture, looks, reader)
    if any(reader.summary(run).diverged for run in runs):
        entries.append(Line2D([], [], ls="", marker="x", color="#555555", label="diverges"))
    entries.append(Line2D([], [], ls=":", lw=1, color="#555555", label="before training"))
    legend(figure, entries, side=True)
    return figure


def _final(
    axes: Axes, found: Sequence[results.Summary], on: str, look: style.Look, label: str
) -> Artist:
    """One line of `final_loss`: the runs of which some seed came to the end, with intervals."""
    done = [(s.run.knobs["lr"], s.figures[on]) for s in found]
    points = [(lr, e, *_bar(e)) for lr, e in done if e is not None]
    bars = axes.errorbar(
        [lr for lr, *_ in points],
        [e.mean for _, e, *_ in points],
        yerr=[[low for *_, low, _ in points], [high for *_, high in points]],
        color=look.color,
        ls=look.line,
        marker=look.marker,
        capsize=2.5,
        elinewidth=1,
        label=label,
    )
    entry = Line2D([], [], color=look.color, ls=look.line, marker=look.marker, label=label)
    bars.set_label("")
    return entry


def _bar(found: results.Estimate) -> tuple[float, float]:
    """Lengths of an interval below and above the mean; a loss is never below zero."""
    if found.low is None or found.high is None:
        return 0.0, 0.0
    return found.mean - max(found.low, found.mean / 100), found.high - found.mean


def _final_frame(axes: Axes, runs: Sequence[Run], ends: Sequence[float], before: float) -> None:
    rates = sorted({run.knobs["lr"] for run in runs})
    positive = [rate for rate in rates if rate > 0] or [1.0]
    if rates[0] > 0:
        axes.set_xscale("log")
        style.log_axis(axes.xaxis, positive[0], positive[-1])
    else:
        axes.set_xscale("symlog", linthresh=positive[0])
    low, high = _positive_ends(ends)
    axes.set_yscale("log")
    axes.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.2)
    style.log_axis(axes.yaxis, low, high)
    axes.axhline(before, color="#555555", ls=":", lw=1, zorder=1)
    axes.set_xlabel("learning rate")


def _crosses(
    axes: Axes, picture: Picture, looks: Sequence[style.Look], reader: Reader
) -> None:
    """A cross at the top for each run with a diverged seed, a row for each line that has one."""
    row = 0
    for group, look in zip(picture.groups, looks, strict=True):
        rates = [run.knobs["lr"] for run in group if reader.summary(run).diverged]
        if rates:
            height = 0.985 - min(0.03, 0.13 / len(picture.groups)) * row
            axes.plot(rates, [height] * len(rates), "x", ms=4, mew=1.3, color=look.color,
                      transform=axes.get_xaxis_transform(), clip_on=False)  # fmt: skip
            row += 1


def _limits(axes: Axes, picture: Picture, looks: Sequence[style.Look], reader: Reader) -> None:
    """A vertical line at the stability limit of each line that has one, named above the axes."""
    found = [
        (curves.stability_limit(group[0]), look.color)
        for group, look in zip(picture.groups, looks, strict=True)
        if reader.exact(group[0])
    ]
    found.sort()
    to_axes = axes.transAxes.inverted()
    at = [float(to_axes.transform(axes.transData.transform((x, 1)))[0]) for x, _ in found]
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


def training_and_validation(picture: Picture, reader: Reader) -> Figure:
    """Loss and accuracy of the best run against epoch, on training and on validation data."""
    (group,) = picture.groups
    chosen = reader.best(group)
    accuracies = chosen.figures["train_accuracy"] is not None
    settings = pictures.knobs_text(chosen.run, ["lr", *pictures.varied(group)])
    title = f"{picture.title}\n{pictures.label(chosen.run)}, {settings}"
    figure = style.figure(title, 2 if accuracies else 1, width=8.0 if accuracies else 7.0)
    panels = ("loss", "accuracy")[: len(figure.axes)]
    entries: list[Artist] = []
    for axes, name in zip(figure.axes, panels, strict=True):
        entries, lines = [], []
        for part, words, look in (
            ("train", "training", style.TRAINING),
            ("val", "validation", style.VALIDATION),
        ):
            (line,) = reader.lines([chosen.run], f"{part}_{name}")
            if np.isfinite(line.mean).any():
                entries.append(plot(axes, line, look, words + line.note))
                lines.append(line)
        if name == "loss":
            frame(axes, lines, log=None, label=loss_label(reader, [chosen.run], "loss"))
        else:
            frame(axes, lines, log=False, label="accuracy (fraction correct)")
        test = chosen.figures[f"test_{name}"]
        if test:
            place = lines[0].epoch[-1]
            entries += axes.plot(place, test.mean, "D", ms=5, color="#000000", mfc="none",
                                 clip_on=False, label="test, at the end")  # fmt: skip
    legend(figure, entries)
    return figure


def plot(axes: Axes, line: Line, look: style.Look, label: str, offset: float = 0.0) -> Line2D:
    """Draw a line and the band of its seeds; markers start at ``offset``, a part of the length."""
    at = curves.thin(line.mean)
    (drawn,) = axes.plot(
        line.epoch[at],
        line.mean[at],
        color=look.color,
        ls=look.line,
        marker=look.marker or None,
        markevery=(offset, 0.1) if look.marker else None,
        label=label,
        zorder=3,
    )
    if line.seeds - line.diverged > 1:
        axes.fill_between(line.epoch[at], line.low[at], line.high[at], color=look.color,
                          alpha=0.2, lw=0, zorder=2)  # fmt: skip
    return drawn


def closed_forms(
    axes: Axes, runs: Iterable[tuple[Run, Line]], reader: Reader
) -> list[Artist]:
    """The exact loss over the measured one, wherever it is known; its entry of the legend."""
    entries: list[Artist] = []
    for run, line in runs:
        if reader.exact(run):
            at = curves.thin(line.mean)
            exact = curves.closed_form(run, line.step[at])
            entries = list(axes.plot(line.epoch[at], exact, color="#000000", lw=0.7, zorder=4,
                                     ls=(0, (3, 3)), label="closed form"))  # fmt: skip
    return entries


def frame(axes: Axes, lines: Sequence[Line], log: bool | None, label: str) -> None:
    """Axes that hold every line that stays, and the start of those that leave."""
    log = wants_log(lines) if log is None else log
    stay = [line for line in lines if not line.leaves]
    ends = [float(v) for line in stay for v in (*line.low, *line.high) if math.isfinite(v)]
    ends += [float(line.mean[0]) for line in lines]
    if log:
        low, high = _positive_ends(ends if stay else [ends[0] / 10, ends[0] * 100])
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(low / (high / low) ** 0.04, high * (high / low) ** 0.04)
        style.log_axis(axes.yaxis, low, high)
    else:
        low, high = min(ends), max(ends)
        room = 0.04 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)
    last = max(float(line.epoch[-1]) for line in stay or lines)
    axes.set_xlim(-0.01 * last, 1.01 * last)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)


def wants_log(lines: Iterable[Line]) -> bool:
    """Whether the losses span more than two decades; a run that leaves always does."""
    lines = list(lines)
    stay = [line.mean for line in lines if not line.leaves]
    if not stay:
        return True
    low, high = _positive_ends([float(v) for mean in stay for v in mean])
    return high / low > 10**DECADES


def _positive_ends(values: Iterable[float]) -> tuple[float, float]:
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
        figure.legend(handles=entries, loc="outside lower center", ncols=columns)
