"""The pictures of a scaling exercise; `scaling_time` draws that of where the time goes."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from optlab.figures import looks
from optlab.figures import scaling_axes as shared
from optlab.figures.axes import entry, legend
from optlab.figures.plan import Picture
from optlab.results.scaling import REPLAYED
from optlab.results.scaling_laws import amdahl_time
from optlab.results.statistics import ENDS
from optlab.study.kinds.scaling import STRONG, WEAK

LAW: dict[str, Any] = {"lw": 0.9, "ls": (0, (6, 2))}
WEAK_LINE: dict[str, Any] = {"color": "#cfcfcf", "ls": "--"}
TRAINED, EVALUATED = "#0072B2", "#CC79A7"

# Kind of row -> label and colour of its line of speed-ups beside the original's arithmetic.
BESIDE = {
    STRONG: ("measured, strong scaling", TRAINED),
    WEAK: ("measured, weak scaling", TRAINED),
    REPLAYED: ("the original's arithmetic: evaluations left out", EVALUATED),
}


def speedup(picture: Picture, source: pd.DataFrame) -> Figure:
    """Speed-up against the number of processes, with the ideal and Amdahl's law where fitted."""
    shown = shared.longest(picture, source)
    epochs = shared.epochs_text(shown["epochs"].iloc[0])
    figure, (axes,) = looks.figure(f"{picture.title}\n{epochs}", height=4.4)
    axes.set_ylabel("speed-up (examples per second\nrelative to one process)")
    entries = shared.speedup_axes(axes, shown)
    for label, rows, look in shared.lines_of(shown):
        known = rows[rows["speedup"].notna()]
        shared.errors(axes, known, "speedup", look["color"])
        shared.line(axes, known, "speedup", look)
        entries.append(entry(label + _serial_share(known), **look))
        _draw_law(axes, rows, shown["gpus"].max(), look["color"])
    if shown["serial_share"].notna().any():
        entries.append(entry("Amdahl's law, fitted (strong)", color="#333333", **LAW))
    legend(figure, entries + shared.oversubscribed_entry(shown))
    return figure


def _serial_share(rows: pd.DataFrame) -> str:
    """The serial share of a line in words: of Amdahl's law, else of Karp and Flatt."""
    fitted = rows[[f"serial_share{end}" for end in ENDS]].dropna()
    if len(fitted):  # the same in all rows
        share, low, high = fitted.iloc[0]
        return f"; serial share {share:.2f} ({low:.2f} to {high:.2f})"
    found = rows["karp_flatt"].dropna()
    return f"; Karp-Flatt {found.iloc[-1]:.2f}" if len(found) else ""


def _draw_law(axes: Axes, rows: pd.DataFrame, last: int, color: str) -> None:
    """Amdahl's law up to ``last`` processes, where it is fitted."""
    for share in rows["serial_share"].dropna().head(1):
        at = 1 + (last - 1) * np.arange(61) / 60
        times = amdahl_time(share, at)
        good = times > 0  # a negative share gives the speed-up a pole
        axes.plot(at[good], 1 / times[good], color=color, zorder=2, **LAW)


def target(picture: Picture, source: pd.DataFrame) -> Figure:
    """Seconds of training to the target accuracy: of each seed, and their geometric mean."""
    shown = shared.longest(picture, source)
    epochs, wanted = shown[["epochs", "target_accuracy"]].iloc[0]
    words = f"validation accuracy {wanted:g}; {shared.epochs_text(int(epochs))}"
    figure, (axes,) = looks.figure(f"{picture.title}\n{words}", height=4.4)
    entries = []
    for label, rows, look in shared.lines_of(shown):
        for x, hits in zip(rows["at"], rows["hits"], strict=True):
            axes.plot([x] * len(hits), hits, ".", color=look["color"], ms=3, alpha=0.6)
        shared.line(axes, rows[rows["reached_target"] > 0], "seconds_to_target", look)
        missed = [str(n) for n in rows.loc[rows["reached_target"] < rows["seeds"], "gpus"]]
        label += f" (seeds miss it with {', '.join(missed)})" if missed else ""
        entries.append(entry(label, **look))
    seconds = [hit for hits in shown["hits"] for hit in hits]
    if seconds:
        shared.seconds_axis(axes, seconds)
    else:
        shared.no_values(axes, "no run reaches it")
    shared.count_axis(axes, shown)
    axes.set_ylabel(
        "seconds of training to the target\n(geometric mean over the seeds that reach it)"
    )
    legend(figure, entries + shared.oversubscribed_entry(shown))
    return figure


def accuracy(picture: Picture, source: pd.DataFrame) -> Figure:
    """What was learnt against the batch of all processes together: a mark for each run."""
    shown = shared.longest(picture, source)
    figure, (axes,) = looks.figure(picture.title, height=4.3)
    counts = sorted(set(shown["gpus"]))
    colors = dict(zip(counts, looks.rate_colors(counts), strict=True))
    shift = shown["gpus"].map(counts.index) - (len(counts) - 1) / 2
    known = shown.assign(at=shown["global_batch"] * 1.02**shift)[shown["learnt"].notna()]
    for _, rows in known[known["scaling"] == WEAK].groupby("batch_size", sort=False):
        axes.plot(rows["global_batch"], rows["learnt"], lw=1, zorder=1, **WEAK_LINE)
    # A run of one process has a row for strong and one for weak scaling; the first is drawn.
    for row in {row.path: row for row in reversed([*known.itertuples()])}.values():
        color, marker = colors[row.gpus], shared.STYLES[row.scaling][1]
        shared.errors(axes, known.loc[[row.Index]], "learnt", color)
        axes.plot([row.at], [row.learnt], marker, color=color, zorder=3)
    shared.batch_axis(axes, shown["global_batch"], "batch of all processes together")
    name, _, unit = shared.learnt_label(shown).partition(" (")
    after = f"{name} after {shown['epochs'].iloc[0]} epochs"
    axes.set_ylabel(f"{after}\n({unit}" if unit else after)
    shared.learnt_axis(axes, shown)
    entries = [
        entry(f"{n} {shared.unit(shown['device'], n)}", color=color, marker="o", ls="")
        for n, color in colors.items()
    ]
    if (shown["scaling"] == WEAK).any():
        words = "weak scaling: batch and rate grow with the processes"
        entries.append(entry(words, marker="s", mfc="#333333", **WEAK_LINE))
    legend(figure, entries)
    return figure


def settings(picture: Picture, source: pd.DataFrame) -> Figure:
    """What was learnt and training time with one process, against batch size and number of epochs.

    There is a line for each number of epochs, or one for the only batch size.
    """
    rows = shared.of_problem(picture, source)
    shown = rows[rows["gpus"] == 1].drop_duplicates("path")
    across, along, words = "batch_size", "epochs", shared.epochs_text
    if shown["batch_size"].nunique() == 1:
        across, along, words = "epochs", "batch_size", "batch {}".format
    figure, (left, right) = looks.figure(picture.title, (1, 1), height=4.0)
    kinds = sorted(set(shown[along]))
    colors = dict(zip(kinds, looks.rate_colors(kinds), strict=True))
    placed = shown.assign(at=shown[across]).sort_values(across)
    for axes, name in ((left, "learnt"), (right, "seconds")):
        for kind, color in colors.items():
            line = placed[(placed[along] == kind) & placed[name].notna()]
            shared.errors(axes, line, name, color)
            axes.plot(line["at"], line[name], marker="o", color=color, label=words(kind))
        shared.batch_axis(axes, shown[across], across.replace("_", " "))
    left.set_ylabel(shared.learnt_label(shown))
    right.set_ylabel("training time (s, evaluation excluded)")
    shared.learnt_axis(left, shown)
    shared.seconds_axis(right, [s for clock in shown["clock"] for s in clock.values()] or [1.0])
    legend(figure, right.get_legend_handles_labels()[0])
    return figure


def replay(picture: Picture, source: pd.DataFrame) -> Figure:
    """The original lab's arithmetic on our own times, beside the speed-ups that we measured.

    Of the largest batch size and number of epochs.
    """
    rows = shared.of_problem(picture, source)
    epochs, batch = rows["epochs"].max(), rows["batch_size"].max()
    own = rows[(rows["epochs"] == epochs) & (rows["batch_size"] == batch)]
    words = f"{picture.title}\nbatch {batch}, {epochs} epochs"
    figure, (left, right) = looks.figure(words, (1, 1), height=4.0)
    _replayed_times(left, own[(own["scaling"] == REPLAYED) & own["seconds"].notna()])
    left.set_xlabel(f"{shared.unit(rows['device'])} (as the original counts them)")
    entries = [
        Patch(color=TRAINED, label="training, the same every time"),
        Patch(color=EVALUATED, label="evaluations"),
        *_replayed_speedups(right, own),
        *shared.oversubscribed_entry(own),
    ]
    legend(figure, entries)
    return figure


def _replayed_times(axes: Axes, replayed: pd.DataFrame) -> None:
    """A bar for each number of GPUs: the seconds that the original would report."""
    for place, row in enumerate(replayed.itertuples()):
        trained = sum(row.clock.values()) / len(row.clock)
        evaluated = row.seconds_per_evaluation * row.evaluations
        axes.bar(place, trained, color=TRAINED, width=0.6)
        axes.bar(place, evaluated, bottom=trained, color=EVALUATED, width=0.6)
        word = f"{row.evaluations}\nevaluation{'s' * (row.evaluations > 1)}"
        axes.text(place, trained + evaluated, word, ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(replayed)), [str(gpus) for gpus in replayed["gpus"]])
    axes.margins(y=0.16)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("seconds that the original would report")


def _replayed_speedups(axes: Axes, own: pd.DataFrame) -> list[Line2D]:
    """Speed-ups: the ideal, those measured, and those that the original would report."""
    axes.set_ylabel("speed-up")
    entries = shared.speedup_axes(axes, own)
    for kind, (words, color) in BESIDE.items():
        known = own[(own["scaling"] == kind) & own["speedup"].notna()].sort_values("gpus")
        placed, look = known.assign(at=known["gpus"]), shared.look(kind, color)
        shared.errors(axes, placed, "speedup", color)
        shared.line(axes, placed, "speedup", look)
        if len(known):
            entries.append(entry(words, **look))
    return entries
