"""The original lab's arithmetic on our own times, beside the speed-ups that we measured."""

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
from optlab.study.kinds.scaling import STRONG, WEAK

TRAINED, EVALUATED = "#0072B2", "#CC79A7"

# Kind of row -> label and colour of its line of speed-ups.
LINES = {
    STRONG: ("measured, strong scaling", TRAINED),
    WEAK: ("measured, weak scaling", TRAINED),
    REPLAYED: ("the original's arithmetic: evaluations left out", EVALUATED),
}


def draw(picture: Picture, source: pd.DataFrame) -> Figure:
    """Draw the picture, for the largest batch size and number of epochs."""
    rows = shared.of_problem(picture, source)
    epochs, batch = rows["epochs"].max(), rows["batch_size"].max()
    own = rows[(rows["epochs"] == epochs) & (rows["batch_size"] == batch)]
    words = f"{picture.title}\nbatch {batch}, {epochs} epochs"
    figure, (left, right) = looks.figure(words, (1, 1), height=4.0)
    _times(left, own[(own["scaling"] == REPLAYED) & own["seconds"].notna()])
    left.set_xlabel(f"{shared.unit(rows['device'])} (as the original counts them)")
    entries = [
        Patch(color=TRAINED, label="training, the same every time"),
        Patch(color=EVALUATED, label="evaluations"),
        *_speedups(right, own),
        *shared.oversubscribed_entry(own),
    ]
    legend(figure, entries)
    return figure


def _times(axes: Axes, replayed: pd.DataFrame) -> None:
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


def _speedups(axes: Axes, own: pd.DataFrame) -> list[Line2D]:
    """Speed-ups: the ideal, those measured, and those that the original would report."""
    axes.set_ylabel("speed-up")
    entries = shared.speedup_axes(axes, own)
    for kind, (words, color) in LINES.items():
        known = own[(own["scaling"] == kind) & own["speedup"].notna()].sort_values("gpus")
        placed, look = known.assign(at=known["gpus"]), shared.look(kind, color)
        shared.errors(axes, placed, "speedup", color)
        shared.line(axes, placed, "speedup", look)
        if len(known):
            entries.append(entry(words, **look))
    return entries
