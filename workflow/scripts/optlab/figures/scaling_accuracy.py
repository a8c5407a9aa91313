"""Final test accuracy against the batch of all processes together: a mark for each run."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from optlab.figures import looks
from optlab.figures import scaling_axes as shared
from optlab.figures.axes import entry, legend
from optlab.figures.plan import Picture
from optlab.study.kinds.scaling import WEAK

WEAK_LINE: dict[str, Any] = {"color": "#cfcfcf", "ls": "--"}


def draw(picture: Picture, source: pd.DataFrame) -> Figure:
    """Draw the picture."""
    shown = shared.longest(picture, source)
    figure, (axes,) = looks.figure(picture.title, height=4.3)
    counts = sorted(set(shown["gpus"]))
    colors = dict(zip(counts, looks.rate_colors(counts), strict=True))
    shift = shown["gpus"].map(counts.index) - (len(counts) - 1) / 2
    known = shown.assign(at=shown["global_batch"] * 1.02**shift)[shown["accuracy"].notna()]
    for _, rows in known[known["scaling"] == WEAK].groupby("batch_size", sort=False):
        axes.plot(rows["global_batch"], rows["accuracy"], lw=1, zorder=1, **WEAK_LINE)
    # A run of one process has a row for strong and one for weak scaling; the first is drawn.
    for row in {row.path: row for row in reversed([*known.itertuples()])}.values():
        color, marker = colors[row.gpus], shared.STYLES[row.scaling][1]
        shared.errors(axes, known.loc[[row.Index]], "accuracy", color)
        axes.plot([row.at], [row.accuracy], marker, color=color, zorder=3)
    shared.batch_axis(axes, shown["global_batch"], "batch of all processes together")
    axes.set_ylabel(f"test accuracy after {shown['epochs'].iloc[0]} epochs\n(fraction correct)")
    shared.accuracy_axis(axes, shown)
    entries = [
        entry(f"{n} {shared.unit(shown['device'], n)}", color=color, marker="o", ls="")
        for n, color in colors.items()
    ]
    if (shown["scaling"] == WEAK).any():
        words = "weak scaling: batch and rate grow with the processes"
        entries.append(entry(words, marker="s", mfc="#333333", **WEAK_LINE))
    legend(figure, entries)
    return figure
