"""Accuracy and training time with one process, against batch size and number of epochs."""

import pandas as pd
from matplotlib.figure import Figure

from optlab.figures import looks
from optlab.figures import scaling_axes as shared
from optlab.figures.axes import legend
from optlab.figures.plan import Picture


def draw(picture: Picture, source: pd.DataFrame) -> Figure:
    """Draw the picture: a line for each number of epochs, or one for the only batch size."""
    rows = shared.of_problem(picture, source)
    shown = rows[rows["gpus"] == 1].drop_duplicates("path")
    across, along, words = "batch_size", "epochs", shared.epochs_text
    if shown["batch_size"].nunique() == 1:
        across, along, words = "epochs", "batch_size", "batch {}".format
    figure, (left, right) = looks.figure(picture.title, (1, 1), height=4.0)
    kinds = sorted(set(shown[along]))
    colors = dict(zip(kinds, looks.rate_colors(kinds), strict=True))
    placed = shown.assign(at=shown[across]).sort_values(across)
    for axes, name in ((left, "accuracy"), (right, "seconds")):
        for kind, color in colors.items():
            line = placed[(placed[along] == kind) & placed[name].notna()]
            shared.errors(axes, line, name, color)
            axes.plot(line["at"], line[name], marker="o", color=color, label=words(kind))
        shared.batch_axis(axes, shown[across], across.replace("_", " "))
    left.set_ylabel("test accuracy (fraction correct)")
    right.set_ylabel("training time (s, evaluation excluded)")
    shared.accuracy_axis(left, shown)
    shared.seconds_axis(right, [s for clock in shown["clock"] for s in clock.values()] or [1.0])
    legend(figure, right.get_legend_handles_labels()[0])
    return figure
