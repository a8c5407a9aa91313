"""More pictures of a scaling exercise, and what all of them are put together from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from optlab.figures import looks as style
from optlab.figures.axes import legend
from optlab.figures.plan import Picture
from optlab.results import scaling
from optlab.results.scaling import REPLAYED, Row
from optlab.results.statistics import ENDS, Estimate
from optlab.study.kinds.scaling import STRONG, WEAK

FEW = 5.0  # an axis that spans less has ticks of its own choice
# Okabe and Ito's colours, without black and yellow, and two of Tol's.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933")
TRAINED, EVALUATED = "#0072B2", "#CC79A7"


def longest(rows: Sequence[Row]) -> list[Row]:
    """The measured rows of the largest number of epochs."""
    epochs = max(row.timed.run.epochs for row in rows)
    return [row for row in rows if row.measured and row.timed.run.epochs == epochs]


def lines_of(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by kind of scaling and batch, each line in the order of its processes."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.gpus):
        groups.setdefault((row.scaling, row.batch), []).append(row)
    order = list(dict.fromkeys((row.scaling, row.batch) for row in rows))
    return [groups[key] for key in order]


def batch_colors(rows: Sequence[Row]) -> dict[int, str]:
    """A colour for each configured batch size."""
    batches = sorted({row.batch for row in rows})
    return {batch: COLORS[number % len(COLORS)] for number, batch in enumerate(batches)}


def unit(rows: Sequence[Row], number: int = 2) -> str:
    """What is counted: GPUs, or processes where any of them trained on a CPU."""
    one = "GPU" if all(row.timed.summary["device"] == "cuda" for row in rows) else "process"
    return one if number == 1 else {"GPU": "GPUs", "process": "processes"}[one]


def count_axis(axes: Axes, rows: Sequence[Row]) -> None:
    """A logarithmic axis of process counts, each of them a tick."""
    counts = sorted({row.gpus for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xlim(counts[0] / 1.15, counts[-1] * 1.15)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel(unit(rows))


def speedup_axis(axes: Axes, rows: Sequence[Row], last: int) -> None:
    """A logarithmic axis of speed-ups: the ideal is straight, and twice is as far everywhere.

    An interval that is far wider than what was measured leaves the picture.
    """
    found = [row.speedup for row in rows if row.speedup]
    means = [value.mean for value in found] + [1.0, last]
    low = max(min([*means, *(v.low for v in found if v.low)]), min(means) / 2)
    high = min(max([*means, *(v.high for v in found if v.high)]), max(means) * 2)
    low, high = low / 1.12, high * 1.12
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4]
    powers = [2.0**n for n in range(-6, 20)]
    axes.set_yticks([t for t in (ticks if high / low < FEW else powers) if low <= t <= high])
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def batch_axis(axes: Axes, batches: Sequence[int], label: str) -> None:
    """A logarithmic axis of batch sizes, each of them a tick while there is room."""
    found = sorted(set(batches))
    axes.set_xscale("log", base=2)
    axes.set_xlim(found[0] / 1.25, found[-1] * 1.25)
    room = found[-1] / found[0]
    kept = [b for i, b in enumerate(found) if not i or b / found[i - 1] > room**0.05]
    axes.set_xticks(kept, [str(batch) for batch in kept])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel(label)


def errors(axes: Axes, at: Sequence[float], found: Sequence[Estimate | None], color: str) -> None:
    """The interval of each estimate that has one."""
    for x, value in zip(at, found, strict=True):
        if value and value.low is not None and value.high is not None:
            ends = [[value.mean - value.low], [value.high - value.mean]]
            axes.errorbar([x], [value.mean], ends, color=color, ls="", capsize=2, elinewidth=0.9)


def oversubscribed_entry(rows: Sequence[Row]) -> list[Artist]:
    """The legend's word on open marks, where there are any."""
    if not any(row.timed.oversubscribed for row in rows):
        return []
    words = "open: processes share cores or a device"
    return [Line2D([], [], color="#333333", marker="o", mfc="white", ls="", label=words)]


def bars(
    axes: Axes,
    parts: Mapping[str, tuple[str, str]],
    shares: Sequence[Mapping[str, float]],
    totals: Sequence[str],
) -> list[Artist]:
    """Stacked horizontal bars of shares, from the bottom up, each with its total at the right."""
    for place, (found, total) in enumerate(zip(shares, totals, strict=True)):
        left = 0.0
        for name, (_, color) in parts.items():
            width = found.get(name, 0.0)
            axes.barh(place, width, left=left, color=color, height=0.72, ec="white", lw=0.4)
            left += width
        axes.text(1.01 if found else 0.0, place, f" {total}", va="center", fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(shares) - 0.4)
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    return [Patch(color=color, label=words) for words, color in parts.values()]


def accuracy(picture: Picture, rows: Sequence[Row]) -> Figure:
    """Final test accuracy against the batch of all processes together: a mark a run."""
    shown = longest(rows)
    figure = style.figure(picture.title, height=4.3)
    axes = figure.axes[0]
    counts = sorted({row.gpus for row in shown})
    colors = dict(zip(counts, style.rate_colors(counts), strict=True))
    markers = {STRONG: "o", WEAK: "s"}
    runs = {row.timed.run.path: row for row in reversed(shown)}  # strong where it is both
    for group in lines_of(shown):
        ends = [(row.timed.run.batch_size, _test(row)) for row in group]
        known = [(batch, found.mean) for batch, found in ends if found]
        if group[0].scaling == WEAK and known:
            axes.plot(*zip(*known, strict=True), color=style.OTHER, lw=1, ls="--", zorder=1)
    for row in runs.values():
        found = _test(row)
        if found:
            shift = counts.index(row.gpus) - (len(counts) - 1) / 2
            x = int(row.timed.run.batch_size) * 1.02**shift
            errors(axes, [x], [found], colors[row.gpus])
            axes.plot([x], [found.mean], markers[row.scaling], color=colors[row.gpus], zorder=3)
    batch_axis(
        axes, [int(row.timed.run.batch_size) for row in shown], "batch of all processes together"
    )
    axes.set_ylabel(f"test accuracy after {shown[0].timed.run.epochs} epochs\n(fraction correct)")
    _accuracy_axis(axes, [_test(row) for row in shown])
    entries: list[Artist] = [
        Line2D([], [], color=colors[n], marker="o", ls="", label=f"{n} {unit(shown, n)}")
        for n in counts
    ]
    if any(row.scaling == WEAK for row in shown):
        words = "weak scaling: batch and rate grow with the processes"
        entries.append(
            Line2D([], [], color=style.OTHER, ls="--", marker="s", mfc="#333333", label=words)
        )
    legend(figure, entries)
    return figure


def _test(row: Row) -> Estimate | None:
    for name in ("test_accuracy", "val_accuracy"):
        mean, low, high = (float(row.timed.summary[name + end]) for end in ENDS)
        if not math.isnan(mean):
            return Estimate(mean) if math.isnan(low) else Estimate(mean, low, high)
    return None


def _accuracy_axis(axes: Axes, found: Sequence[Estimate | None]) -> None:
    """Room for the means and, as far as accuracies can be, for their intervals."""
    known = [value for value in found if value]
    if not known:
        axes.text(0.5, 0.5, "no run has one", transform=axes.transAxes, ha="center")
        axes.set_yticks([])
        return
    low = max(0.0, min(v.mean if v.low is None else v.low for v in known))
    high = min(1.0, max(v.mean if v.high is None else v.high for v in known))
    room = 0.06 * (high - low) or 0.01
    axes.set_ylim(low - room, high + room)


def settings(picture: Picture, rows: Sequence[Row]) -> Figure:
    """Accuracy and training time with one process, against batch size for each epoch count."""
    runs = {r.timed.run.path: r for r in rows if r.measured and r.gpus == 1}
    shown = list(runs.values())
    figure = style.figure(picture.title, (1, 1), height=4.0)
    several = len({row.batch for row in shown}) > 1
    across, along = (_batch, _epochs) if several else (_epochs, _batch)
    kinds = sorted({along(row) for row in shown})
    color = dict(zip(kinds, style.rate_colors(kinds), strict=True))
    label = "batch size" if across is _batch else "epochs"
    entries: list[Artist] = []
    for axes, value in zip(figure.axes, (_test, lambda r: scaling.mean(r.seconds)), strict=True):
        entries = []
        for kind in kinds:
            line = sorted((row for row in shown if along(row) == kind), key=across)
            found = [(across(row), value(row)) for row in line]
            known = [(x, v) for x, v in found if v]
            errors(axes, [x for x, _ in known], [v for _, v in known], color[kind])
            word = f"{kind} epoch{'s' * (kind != 1)}" if along is _epochs else f"batch {kind}"
            at, means = [x for x, _ in known], [v.mean for _, v in known]
            entries += axes.plot(at, means, marker="o", color=color[kind], label=word)
        batch_axis(axes, [across(row) for row in shown], label)
    figure.axes[0].set_ylabel("test accuracy (fraction correct)")
    figure.axes[1].set_ylabel("training time (s, evaluation excluded)")
    _accuracy_axis(figure.axes[0], [_test(row) for row in shown])
    seconds = [s for row in shown for s in row.seconds.values()] or [1.0]
    figure.axes[1].set_yscale("log")
    low, high = min(seconds) / 1.3, max(seconds) * 1.3
    figure.axes[1].set_ylim(low, high)
    style.log_axis(figure.axes[1].yaxis, low, high)
    legend(figure, entries)
    return figure


def _batch(row: Row) -> Any:
    return row.batch


def _epochs(row: Row) -> Any:
    return row.timed.run.epochs


def replay(picture: Picture, rows: Sequence[Row]) -> Figure:
    """The original lab's arithmetic on our own numbers, beside what we measured."""
    epochs = max(row.timed.run.epochs for row in rows)
    batch = max(row.batch for row in rows)
    own = [r for r in rows if (r.timed.run.epochs, r.batch) == (epochs, batch)]
    replayed = [row for row in own if row.scaling == REPLAYED and row.seconds]
    figure = style.figure(f"{picture.title}\nbatch {batch}, {epochs} epochs", (1, 1), height=4.0)
    left, right = figure.axes
    for place, row in enumerate(replayed):
        trained = sum(row.timed.seconds.values()) / len(row.timed.seconds)
        evaluated = row.timed.evaluation_seconds * row.evaluations
        left.bar(place, trained, color=TRAINED, width=0.6)
        left.bar(place, evaluated, bottom=trained, color=EVALUATED, width=0.6)
        word = f"{row.evaluations}\nevaluations" if row.evaluations > 1 else "1\nevaluation"
        left.text(place, trained + evaluated, word, ha="center", va="bottom", fontsize=7)
    left.set_xticks(range(len(replayed)), [str(row.gpus) for row in replayed])
    left.margins(y=0.16)
    left.grid(axis="x", visible=False)
    left.set_xlabel(f"{unit(rows)} (as the original counts them)")
    left.set_ylabel("seconds that the original would report")
    entries: list[Artist] = [
        Patch(color=TRAINED, label="training, the same every time"),
        Patch(color=EVALUATED, label="evaluations"),
    ]
    entries += _beside(right, own)
    legend(figure, entries + oversubscribed_entry(own))
    return figure


def _beside(axes: Axes, own: Sequence[Row]) -> list[Artist]:
    """Speed-ups: the ideal, what was measured, and what the original would report."""
    last = max(row.gpus for row in own)
    entries: list[Artist] = list(
        axes.plot([1, last], [1, last], color="#7F7F7F", lw=0.9, ls=":", label="ideal")
    )
    words = "the original's arithmetic: evaluations left out"
    looks = {
        STRONG: ("measured, strong scaling", "-", "o", TRAINED),
        WEAK: ("measured, weak scaling", "--", "s", TRAINED),
        REPLAYED: (words, "-.", "D", EVALUATED),
    }
    for kind, (words, line, marker, color) in looks.items():
        known = sorted((r for r in own if r.scaling == kind and r.speedup), key=lambda r: r.gpus)
        at, means = [row.gpus for row in known], [r.speedup.mean for r in known if r.speedup]
        errors(axes, at, [row.speedup for row in known], color)
        axes.plot(at, means, color=color, ls=line, zorder=3)
        for row, mean in zip(known, means, strict=True):
            face = "white" if row.measured and row.timed.oversubscribed else color
            axes.plot([row.gpus], [mean], marker=marker, color=color, mfc=face, ls="", zorder=4)
        if known:
            entries.append(Line2D([], [], color=color, ls=line, marker=marker, label=words))
    count_axis(axes, own)
    speedup_axis(axes, own, last)
    axes.set_ylabel("speed-up")
    return entries
