"""Loss at the end of training against the learning rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optlab.figures import looks, rates, theory, words
from optlab.figures.axes import CROWD, LINES, entry, legend, positive_ends
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader
from optlab.results import summary


def draw(picture: Picture, reader: Reader) -> Figure:
    """The loss that chooses between the runs; with many lines, a panel for each optimizer."""
    first = picture.groups[0][0]
    on = summary.chosen_on(reader.rows([run for group in picture.groups for run in group]))
    label = reader.label(first, "validation loss" if on == "val_loss" else "training loss")
    before = float(reader.curves(first)[0].values[on][0])
    if len(picture.groups) > LINES:
        return rates.panels(picture, reader, on, label, before)
    return _together(picture, reader, on, f"{label}\nafter {first.epochs} epochs", before)


def _together(picture: Picture, reader: Reader, on: str, label: str, before: float) -> Figure:
    """A line for each optimizer and its other knobs, all in the same axes."""
    groups = [reader.rows(group).sort_values("lr") for group in picture.groups]
    runs = [group[0] for group in picture.groups]
    lines = [rates.points(group, on, cut=10) for group in groups]
    limits = [theory.limit_of(run) if reader.exact(run) else None for run in runs]
    figure, (axes,) = looks.figure(picture.title, height=4.3)
    tried = [*pd.concat(groups)["lr"], *filter(None, limits)]
    _scales(axes, tried, [before, *np.concatenate(lines)[:, 1:].flat])
    axes.set_ylabel(label)
    styles = looks.looks([run.optimizer for run in runs])
    entries: list[Artist] = []
    for run, line, look in zip(runs, lines, styles, strict=True):
        varied = words.varied(r for g in picture.groups for r in g if r.optimizer == run.optimizer)
        name = ", ".join(filter(None, (words.label(run), words.knobs(run, varied))))
        line[:, 1:] = np.maximum(line[:, 1:], axes.get_ylim()[0])  # a loss of zero: the lower edge
        marker = rates.plot(axes, line, look, clip_on=False).get_marker()
        entries.append(entry(name, color=look.color, ls=look.line, marker=marker))
    colors = [look.color for look in styles]
    entries += _crosses(axes, groups, colors)
    entries.append(axes.axhline(before, color=looks.PLAIN, ls=":", lw=1, label="before training"))
    _limits(axes, sorted((limit, c) for limit, c in zip(limits, colors, strict=True) if limit))
    legend(figure, entries, side=True)
    return figure


def _scales(axes: Axes, tried: Sequence[float], values: Sequence[float]) -> None:
    first, last = positive_ends(tried)
    rates.scales(axes, tried, values, room=max(last / first, 10) ** 0.04, above=0.2)
    if min(tried) > 0:
        looks.log_axis(axes.xaxis, first, last)
    else:
        axes.set_xlim(-0.1 * first, last * 1.2)
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
