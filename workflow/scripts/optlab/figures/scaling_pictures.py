"""The pictures of a scaling exercise: what more processes gain, and where the time goes.

Where the exercise has several numbers of epochs, pictures against the number of processes show the
largest of them, whose times are the longest and so the surest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.figures import looks as style
from optlab.figures import scaling_panels
from optlab.figures.axes import legend
from optlab.figures.plan import Picture
from optlab.figures.scaling_panels import (
    bars,
    batch_colors,
    count_axis,
    errors,
    lines_of,
    longest,
    oversubscribed_entry,
    speedup_axis,
    unit,
)
from optlab.results import comparison
from optlab.results.scaling import Row
from optlab.study.kinds.scaling import STRONG

LOOKS = {STRONG: ("-", "o"), "weak": ("--", "s")}

STEP = {
    "data": ("data movement", "#56B4E9"),
    "forward_backward": ("forward and backward", "#0072B2"),
    "communication": ("communication", "#D55E00"),
    "optimizer": ("optimizer", "#009E73"),
    "other": ("other", "#BBBBBB"),
}
JOB = {
    "start_up": ("start-up", "#E69F00"),
    "training": ("training", "#332288"),
    "evaluation": ("evaluation", "#CC79A7"),
    "rest": ("measuring steps, writing", "#7F7F7F"),
}


def draw(picture: Picture, rows: Sequence[Row], target: float | None) -> Figure:
    """A picture, ready to be saved.

    Args:
        picture: which one.
        rows: of the exercise's part of the scaling table.
        target: the validation accuracy that the exercise wants reached.
    """
    own = [
        row
        for row in rows
        if (row.timed.run.dataset, row.timed.run.model) == (picture.dataset, picture.model)
    ]
    drawers: dict[str, Callable[[], Figure]] = {
        "speedup": lambda: speedup(picture, own),
        "time": lambda: time(picture, own),
        "target": lambda: to_target(picture, own, target or 0.0),
        "accuracy": lambda: scaling_panels.accuracy(picture, own),
        "settings": lambda: scaling_panels.settings(picture, own),
        "replay": lambda: scaling_panels.replay(picture, own),
    }
    return drawers[picture.kind.removeprefix("scaling-")]()


def speedup(picture: Picture, rows: Sequence[Row]) -> Figure:
    """Speed-up against processes, with the ideal line and Amdahl's law where it is fitted."""
    shown = longest(rows)
    figure = style.figure(f"{picture.title}\n{_epochs(shown)}", height=4.4)
    axes = figure.axes[0]
    last = max(row.gpus for row in shown)
    entries: list[Artist] = list(
        axes.plot([1, last], [1, last], color="#7F7F7F", lw=0.9, ls=":", label="ideal")
    )
    groups = lines_of(shown)
    colors = batch_colors(shown)
    for number, group in enumerate(groups):
        known = [row for row in group if row.speedup]
        first = group[0]
        line, marker = LOOKS[first.scaling]
        color = colors[first.batch]
        at = [row.gpus * _dodge(number, len(groups)) for row in known]
        errors(axes, at, [row.speedup for row in known], color)
        _marks(axes, at, [r.speedup.mean for r in known if r.speedup], known, color, line, marker)
        label = f"{first.scaling}, batch {first.batch}{_law(known)}"
        entries.append(Line2D([], [], color=color, ls=line, marker=marker, label=label))
        if first.fit:
            steps = [1 + (last - 1) * i / 60 for i in range(61)]
            values = [first.fit.speedup(p) for p in steps]
            # Below a share of 0 the law has a pole: beyond it there is nothing to draw.
            pairs = [(p, v) for p, v in zip(steps, values, strict=True) if v > 0]
            axes.plot(*zip(*pairs, strict=True), color=color, lw=0.9, ls=(0, (6, 2)), zorder=2)
    if any(row.fit for row in shown):
        words = "Amdahl's law, fitted (strong)"
        entries.append(Line2D([], [], color="#333333", lw=0.9, ls=(0, (6, 2)), label=words))
    count_axis(axes, shown)
    speedup_axis(axes, shown, last)
    axes.set_ylabel("speed-up (samples a second\nagainst one)")
    legend(figure, entries + oversubscribed_entry(shown))
    return figure


def _law(group: Sequence[Row]) -> str:
    """What the line of strong scaling amounts to, in words."""
    fit = group[0].fit if group else None
    if fit:
        share = fit.share
        return f"; serial share {share.mean:.2f} ({share.low:.2f} to {share.high:.2f})"
    found = [row.karp_flatt for row in group if row.karp_flatt]
    return f"; Karp-Flatt {found[-1].mean:.2f}" if found else ""


def time(picture: Picture, rows: Sequence[Row]) -> Figure:
    """What the time of a step, and that of the whole job, goes to: a bar a run."""
    runs = {row.timed.run.path: row for row in longest(rows)}
    shown = sorted(runs.values(), key=_from_the_bottom, reverse=True)
    figure = style.figure(picture.title, (1, 1), height=1.7 + 0.24 * len(shown))
    step, job = figure.axes
    found = [row.timed for row in shown]
    totals = [f"{1e3 * t.step.median:.3g} ms" if t.step else "not measured" for t in found]
    entries = bars(step, STEP, [t.shares for t in found], totals)
    entries += bars(
        job, JOB, [_job(t.wall) for t in found], [f"{t.wall['total']:.3g} s" for t in found]
    )
    step.set_yticks(range(len(shown)), [_bar_name(row) for row in shown])
    job.set_yticks(range(len(shown)), [""] * len(shown))
    step.set_xlabel("share of a step (right: its median)")
    job.set_xlabel("share of the job (right: all of it)")
    if any(row.timed.oversubscribed for row in shown):
        words = "* processes share cores or a device"
        entries.append(Line2D([], [], ls="", label=words))
    figure.legend(handles=entries, loc="outside lower center", ncols=5, columnspacing=1.2)
    return figure


def _job(wall: Mapping[str, float]) -> dict[str, float]:
    parts = {name: wall[name] for name in ("start_up", "training", "evaluation")}
    parts["rest"] = max(0.0, wall["total"] - sum(parts.values()))
    whole = sum(parts.values()) or 1.0
    return {name: value / whole for name, value in parts.items()}


def _from_the_bottom(row: Row) -> tuple[int, bool, int]:
    """One process first, then strong and weak scaling, for each batch."""
    return row.batch, row.gpus > 1 and row.scaling != STRONG, row.gpus


def _bar_name(row: Row) -> str:
    kind = "" if row.gpus == 1 else f"{row.scaling}, "  # with one process both are the same
    star = " *" if row.timed.oversubscribed else ""
    return f"{kind}batch {row.batch}, {row.gpus} {unit([row], row.gpus)}{star}"


def to_target(picture: Picture, rows: Sequence[Row], target: float) -> Figure:
    """Seconds of training to the target accuracy: every seed, and their geometric mean."""
    shown = longest(rows)
    words = f"{picture.title}\nvalidation accuracy {target:g}; {_epochs(shown)}"
    figure = style.figure(words, height=4.4)
    axes = figure.axes[0]
    entries: list[Artist] = []
    groups, colors = lines_of(shown), batch_colors(shown)
    every: list[float] = []
    for number, group in enumerate(groups):
        line, marker = LOOKS[group[0].scaling]
        color = colors[group[0].batch]
        found = [(row, *comparison.to_target(row.timed.curves, target)) for row in group]
        good = [(row, seconds.mean) for row, _, _, seconds in found if math.isfinite(seconds.mean)]
        shift = _dodge(number, len(groups))
        for row in group:
            seconds = row.timed.to_target(target)
            every += seconds
            axes.plot([row.gpus * shift] * len(seconds), seconds, ".", color=color, ms=3, alpha=0.6)
        at = [row.gpus * shift for row, _ in good]
        _marks(axes, at, [m for _, m in good], [row for row, _ in good], color, line, marker)
        missed = [str(row.gpus) for row, seeds, *_ in found if seeds < row.timed.summary["seeds"]]
        label = f"{group[0].scaling}, batch {group[0].batch}"
        label += f" (seeds miss it with {', '.join(missed)})" if missed else ""
        entries.append(Line2D([], [], color=color, ls=line, marker=marker, label=label))
    _seconds_axis(axes, every)
    count_axis(axes, shown)
    axes.set_ylabel(
        "seconds of training to the target\n(geometric mean over the seeds that reach it)"
    )
    legend(figure, entries + oversubscribed_entry(shown))
    return figure


def _seconds_axis(axes: Axes, every: Sequence[float]) -> None:
    if not every:
        axes.text(0.5, 0.5, "no run reaches it", transform=axes.transAxes, ha="center")
        axes.set_yticks([])
        return
    low, high = min(every), max(every)
    axes.set_yscale("log")
    axes.set_ylim(low / 1.3, high * 1.3)
    style.log_axis(axes.yaxis, low / 1.3, high * 1.3)


def _marks(
    axes: Axes, at: Sequence[float], values: Sequence[float], rows: Sequence[Row],
    color: str, line: str, marker: str,
) -> None:  # fmt: skip
    """A line with a mark a row, an open one where processes share cores or a device."""
    axes.plot(at, values, color=color, ls=line, zorder=3)
    for x, value, row in zip(at, values, rows, strict=True):
        face = "white" if row.timed.oversubscribed else color
        axes.plot([x], [value], marker=marker, color=color, mfc=face, ls="", zorder=4)


def _dodge(number: int, lines: int) -> float:
    """A factor that keeps the marks of several lines from lying on each other."""
    return 1.1 ** ((number - (lines - 1) / 2) / max(4, lines))


def _epochs(rows: Sequence[Row]) -> str:
    epochs = rows[0].timed.run.epochs
    return f"{epochs} epoch{'s' * (epochs > 1)}"
