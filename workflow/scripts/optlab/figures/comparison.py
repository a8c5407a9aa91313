"""Optimizers compared, each at one setting: its best, or one that the study names."""

from matplotlib.figure import Figure

from optlab.figures import looks, words
from optlab.figures.axes import LINES, closed_forms, entry, frame, legend, outer_labels, plot
from optlab.figures.lines import thin
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader
from optlab.results import summary
from optlab.study.run import Run


def draw(picture: Picture, reader: Reader) -> Figure:
    """Loss against epoch of the best run of each group; with many groups, a panel for each."""
    runs = [reader.best(group) for group in picture.groups]
    return (_panels if len(runs) > LINES else _together)(picture.title, runs, reader)


def _together(title: str, runs: list[Run], reader: Reader) -> Figure:
    """All runs in the same axes, one for training and one for validation data."""
    names = {"train_loss": "training loss"}
    if reader.has(runs, "val_loss"):
        names["val_loss"] = "validation loss"
    figure, every = looks.figure(title, ratios=(1,) * len(names))
    sets = [reader.lines(runs, name) for name in names]
    styles = looks.looks([run.optimizer for run in runs])
    for axes, lines, name in zip(every, sets, names.values(), strict=True):
        label = reader.label(runs[0], name)
        frame(axes, [*sets[0], *sets[-1]], label, full=runs[0].batch_size == "full")
        entries = []
        for number, (run, look, line) in enumerate(zip(runs, styles, lines, strict=True)):
            label = f"{words.settings(run)}{line.note}"
            entries.append(plot(axes, line, look, label, 0.75 * number / len(runs)))
    if len(names) == 1:
        entries += closed_forms(every[0], runs, sets[0], reader)
    legend(figure, entries)
    return figure


def _panels(title: str, runs: list[Run], reader: Reader) -> Figure:
    """A panel for each run, by rank, in which the others are grey; dashed on validation data."""
    rows = reader.rows(runs)
    on, runs = summary.chosen_on(rows), list(summary.ordered(rows)["run"])
    training = reader.lines(runs, "train_loss")
    validation = reader.lines(runs, "val_loss") if on == "val_loss" else []
    order = "validation loss" if validation else "training loss"
    figure, every = looks.grid(f"{title}, in the order of their {order}", len(runs))
    colors = [look.color for look in looks.looks([run.optimizer for run in runs])]
    for number, (run, color, axes) in enumerate(zip(runs, colors, every, strict=True)):
        frame(axes, [*training, *validation], "", full=run.batch_size == "full")
        for other in training:
            at = thin(other.mean, len(runs) ** 2)
            axes.plot(other.epoch[at], other.mean[at], color=looks.OTHER, lw=0.7, zorder=1)
        plot(axes, training[number], looks.Look(color), "")
        if validation:
            plot(axes, validation[number], looks.Look(color, "--"), "")
        axes.set_title(f"{number + 1}  {words.label(run)}", color=color, **looks.HEADING)
        detail = (words.knobs(run) + training[number].note).replace(", ", "\n")
        axes.text(0.97, 0.95, detail, transform=axes.transAxes, ha="right", va="top",
                  fontsize=6.5, color="#333333", zorder=5)  # fmt: skip
    outer_labels(figure, reader.label(runs[0], "loss"), every[0].get_xlabel())
    entries = [entry("training", color="#333333", lw=1.5)]
    if validation:
        entries.append(entry("validation", color="#333333", lw=1.5, ls="--"))
    legend(figure, [*entries, entry("the others, training", color=looks.OTHER)])
    return figure
