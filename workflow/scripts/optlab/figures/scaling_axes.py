"""What the pictures of a scaling exercise share: their data, lines with marks, and axes.

Where an exercise has several numbers of epochs, pictures against the number of processes show the
largest, whose times are the longest and so the most precise.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from optlab.figures import looks
from optlab.figures.axes import entry, positive_ends
from optlab.figures.plan import Picture
from optlab.results import clocks, scaling
from optlab.results.scaling import REPLAYED
from optlab.results.statistics import ENDS
from optlab.study.kinds.scaling import STRONG, WEAK

# Colours of Okabe and Ito without black and yellow, and two of Tol's.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933")
STYLES = {STRONG: ("-", "o"), WEAK: ("--", "s"), REPLAYED: ("-.", "D")}  # line and marker
FEW = 5.0  # a speed-up axis whose ends have a smaller ratio needs ticks closer than factors of 2


def source(study: Mapping[str, Any], exercise: str) -> pd.DataFrame:
    """The data of an exercise's pictures, the argument ``source`` of each ``draw``.

    The rows of `optlab.results.scaling.rows`, with ``learnt`` and its interval: the accuracy, or
    the loss where there are no classes, on test data, else on validation data.

    Raises:
        UserError: a run has not been trained, or its files are damaged.
    """
    rows = scaling.rows(study, exercise)
    classes = rows[["test_accuracy", "val_accuracy"]].notna().any(axis=1)
    of_problem = [rows["dataset"], rows["model"]]
    measured = np.where(classes.groupby(of_problem).transform("any"), "accuracy", "loss")
    for end in ENDS:
        found = {
            what: rows[f"test_{what}{end}"].where(
                rows[f"test_{what}"].notna(), rows[f"val_{what}{end}"]
            )
            for what in ("accuracy", "loss")
        }
        rows[f"learnt{end}"] = found["accuracy"].where(measured == "accuracy", found["loss"])
    rows["measured"] = measured
    return rows.assign(oversubscribed=rows["oversubscribed"].eq(True))  # empty in replayed rows


def of_problem(picture: Picture, source: pd.DataFrame) -> pd.DataFrame:
    """The rows of the picture's data set and network."""
    return source[(source["dataset"] == picture.dataset) & (source["model"] == picture.model)]


def longest(picture: Picture, source: pd.DataFrame) -> pd.DataFrame:
    """The measured rows of the picture's problem with the largest number of epochs."""
    rows = of_problem(picture, source)
    return rows[(rows["scaling"] != REPLAYED) & (rows["epochs"] == rows["epochs"].max())]


def unit(devices: Iterable[str], number: int = 2) -> str:
    """The unit of ``gpus``: GPUs, or processes where any of them trained on a CPU."""
    gpu = all(device == "cuda" for device in devices)
    one, several = ("GPU", "GPUs") if gpu else ("process", "processes")
    return one if number == 1 else several


def epochs_text(epochs: int) -> str:
    """A number of epochs in words."""
    return f"{epochs} epoch{'s' if epochs > 1 else ''}"


# -- lines: their rows have a column `at`, the place on the x axis ---------------------------


def lines_of(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Name, rows and look of the line of each kind of scaling and batch size.

    The marks of several lines are beside each other. Each batch size has a colour.
    """
    groups = rows.groupby(["scaling", "batch_size"], sort=False)
    batches, count = sorted(set(rows["batch_size"])), len(groups)
    many = looks.rate_colors(batches) if len(batches) > len(COLORS) else COLORS
    colors = dict(zip(batches, many, strict=False))
    for number, ((kind, batch), group) in enumerate(groups):
        shift = 1.1 ** ((number - (count - 1) / 2) / max(4, count))
        color = colors[batch]
        placed = group.assign(at=group["gpus"] * shift).sort_values("gpus")
        yield f"{kind}, batch {batch}", placed, look(kind, color)


def look(kind: str, color: str) -> dict[str, Any]:
    """The properties of a line and its marks for a kind of scaling."""
    style, marker = STYLES[kind]
    return {"color": color, "ls": style, "marker": marker}


def errors(axes: Axes, rows: pd.DataFrame, name: str, color: str) -> None:
    """The intervals of a column, for the rows that have one."""
    for x, mean, low, high in rows[["at", *(name + end for end in ENDS)]].to_numpy(float):
        if not math.isnan(low):
            ends = [[mean - low], [high - mean]]
            axes.errorbar([x], [mean], ends, color=color, ls="", capsize=2, elinewidth=0.9)


def line(axes: Axes, rows: pd.DataFrame, name: str, look: Mapping[str, Any]) -> None:
    """A line through the values of a column, with open marks for oversubscribed runs."""
    color = look["color"]
    axes.plot(rows["at"], rows[name], color=color, ls=look["ls"], zorder=3)
    for x, value, shared in zip(rows["at"], rows[name], rows["oversubscribed"], strict=True):
        face = "white" if shared else color
        axes.plot([x], [value], zorder=4, **{**look, "ls": "", "mfc": face})


def oversubscribed_entry(rows: pd.DataFrame) -> list[Line2D]:
    """The entries in the legend for open marks, and for times that other work made longer."""
    look: dict[str, Any] = {"color": "#333333", "marker": "o", "mfc": "white", "ls": ""}
    words = "open: processes share cores or a device"
    found = [entry(words, **look)] if rows["oversubscribed"].any() else []
    if rows[clocks.COLUMN].fillna("").any():
        found.append(entry("with one process, measured beside other work", ls=""))
    return found


# -- axes, all of them logarithmic except that of accuracies ---------------------------------


def count_axis(axes: Axes, rows: pd.DataFrame) -> None:
    """An x axis of process counts with a tick for each of them."""
    counts = sorted(set(rows["gpus"]))
    _log2_axis(axes, (counts[0] / 1.15, counts[-1] * 1.15), counts, unit(rows["device"]))


def batch_axis(axes: Axes, values: Iterable[int], label: str) -> None:
    """An x axis of batch sizes or epochs, each of them a tick while there is room."""
    found = sorted(set(values))
    room = found[-1] / found[0]
    kept = [v for i, v in enumerate(found) if not i or v / found[i - 1] > room**0.05]
    _log2_axis(axes, (found[0] / 1.25, found[-1] * 1.25), kept, label)


def _log2_axis(axes: Axes, ends: tuple[float, float], ticks: Sequence[int], label: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set(xlim=ends, xlabel=label)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def speedup_axes(axes: Axes, rows: pd.DataFrame) -> list[Line2D]:
    """Axes of speed-ups against process counts, with the line of the ideal speed-up.

    Intervals are cut at half of the smallest and twice the largest mean.

    Returns:
        The entry in the legend.
    """
    count_axis(axes, rows)
    last = rows["gpus"].max()
    means = [*rows["speedup"].dropna(), 1.0, last]
    means = [mean for mean in means if mean > 0]
    low = max(min([*means, *rows["speedup_low"].dropna()]), min(means) / 2) / 1.12
    high = min(max([*means, *rows["speedup_high"].dropna()]), max(means) * 2) * 1.12
    axes.set(yscale="log", ylim=(low, high))
    ticks = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4]
    powers = [2.0**n for n in range(-6, 20)]
    axes.set_yticks([t for t in (ticks if high / low < FEW else powers) if low <= t <= high])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    return axes.plot([1, last], [1, last], color="#7F7F7F", lw=0.9, ls=":", label="ideal")


def seconds_axis(axes: Axes, seconds: Sequence[float]) -> None:
    """A y axis that covers these seconds."""
    low, high = positive_ends(seconds)
    low, high = low / 1.3, high * 1.3
    axes.set(yscale="log", ylim=(low, high))
    looks.log_axis(axes.yaxis, low, high)


def learnt(rows: pd.DataFrame) -> str:
    """What ``learnt`` is: accuracy or loss."""
    return "accuracy" if (rows["measured"] == "accuracy").all() else "loss"


def learnt_label(rows: pd.DataFrame) -> str:
    """The label of an axis with ``learnt``."""
    return "test loss" if learnt(rows) == "loss" else "test accuracy (fraction correct)"


def learnt_axis(axes: Axes, rows: pd.DataFrame) -> None:
    """A y axis that covers ``learnt`` and its intervals, as far as they are possible."""
    known = rows[rows["learnt"].notna()]
    if known.empty:
        no_values(axes, "no run has one")
        return
    most = math.inf if learnt(rows) == "loss" else 1.0
    low = max(0.0, known["learnt_low"].fillna(known["learnt"]).min())
    high = min(most, known["learnt_high"].fillna(known["learnt"]).max())
    room = 0.06 * (high - low) or 0.01
    axes.set_ylim(low - room, high + room)


def no_values(axes: Axes, words: str) -> None:
    """Write into the axes why they are empty."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center")
    axes.set_yticks([])
