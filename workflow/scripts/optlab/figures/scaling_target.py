"""Seconds of training to the target accuracy: of each seed, and their geometric mean."""

import pandas as pd
from matplotlib.figure import Figure

from optlab.figures import looks
from optlab.figures import scaling_axes as shared
from optlab.figures.axes import entry, legend
from optlab.figures.plan import Picture


def draw(picture: Picture, source: pd.DataFrame) -> Figure:
    """Draw the picture."""
    shown = shared.longest(picture, source)
    epochs, target = shown[["epochs", "target_accuracy"]].iloc[0]
    words = f"validation accuracy {target:g}; {shared.epochs_text(int(epochs))}"
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
