"""Training and validation of a model's best run."""

import numpy as np
from matplotlib.figure import Figure

from optlab.figures import looks, words
from optlab.figures.axes import frame, legend, plot
from optlab.figures.looks import Look
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader

TRAINING, VALIDATION = Look("#0072B2"), Look("#D55E00", "--")


def draw(picture: Picture, reader: Reader) -> Figure:
    """Loss and accuracy of the best run against epoch, on training and on validation data."""
    (group,) = picture.groups
    run = reader.best(group)
    final = reader.rows([run]).iloc[0]
    labels = {"loss": reader.label(run, "loss")}
    if not np.isnan(final["train_accuracy"]):
        labels["accuracy"] = "accuracy (fraction correct)"
    title = f"{picture.title}\n{words.settings(run)}"
    figure, every = looks.figure(title, ratios=(1,) * len(labels))
    for axes, (name, label) in zip(every, labels.items(), strict=True):
        (training,) = reader.lines([run], f"train_{name}")
        (validation,) = reader.lines([run], f"val_{name}")
        parts = [(training, TRAINING, "training")]
        if np.isfinite(validation.mean).any():
            parts.append((validation, VALIDATION, "validation"))
        log = None if name == "loss" else False
        frame(axes, [line for line, *_ in parts], label, log=log)
        entries = [plot(axes, line, look, text + line.note) for line, look, text in parts]
        test = final[f"test_{name}"]
        if not np.isnan(test):
            entries += axes.plot(training.epoch[-1], test, "D", ms=5, color="#000000",
                                 mfc="none", clip_on=False, zorder=4,
                                 label="test, at the end")  # fmt: skip
            axes.set_title(f"test {name} {test:.4g}", loc="right", fontsize=8)
    legend(figure, entries)
    return figure
