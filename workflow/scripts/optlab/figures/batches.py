"""The full batch and mini-batches compared."""

import numpy as np
from matplotlib.figure import Figure

from optlab.figures import looks, words
from optlab.figures.axes import frame, legend, plot
from optlab.figures.lines import Line
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader
from optlab.study.run import Run
from optlab.values import text


def draw(picture: Picture, reader: Reader) -> Figure:
    """Training loss of each optimizer on the full batch and, at the same setting, on mini-batches.

    The setting is the best one on the full batch, which some optimizers are made for.
    """
    full = [group for group in picture.groups if group[0].batch_size == "full"]
    best = {run.optimizer: (run.knobs, run.schedule) for run in map(reader.best, full)}
    chosen: dict[int | str, list[Run]] = {"full": []}
    for run in (run for group in picture.groups for run in group):
        if best.get(run.optimizer) == (run.knobs, run.schedule):
            chosen.setdefault(run.batch_size, []).append(run)
    sizes = ["full", *sorted(chosen.keys() - {"full"}, reverse=True)]
    lines = {size: reader.lines(chosen[size], "train_loss") for size in sizes}
    styles = dict(zip(best, looks.looks(list(best)), strict=True))
    figure, every = looks.figure(picture.title, (1,) * len(sizes), height=4.4)
    for axes, size in zip(every, sizes, strict=True):
        label = reader.label(chosen[size][0], "training loss") if size == "full" else ""
        frame(axes, [line for found in lines.values() for line in found], label, log=True)
        runs, found = chosen[size], lines[size]
        for number, (run, line) in enumerate(zip(runs, found, strict=True)):
            label = f"{_name(run)}, {words.knobs(run)}"
            plot(axes, line, styles[run.optimizer], label, 0.75 * number / len(runs))
        heading = [_pace(size, found[0]), *map(_measured, runs, found)]
        axes.set_title("\n".join(heading), fontsize=7.5, loc="left")
    legend(figure, every[0].get_lines())
    return figure


def _pace(size: int | str, line: Line) -> str:
    """A batch size in words."""
    if size == "full":
        return "full batch: one step an epoch"
    return f"batches of {size}: {round(float(line.step[-1] / line.epoch[-1]))} steps an epoch"


def _measured(run: Run, line: Line) -> str:
    """The end, the minimum and the rises of a line in words."""
    lowest = int(np.nanargmin(line.mean))
    rises = int((np.diff(line.mean) > 0).sum())
    end, least = (text(float(f"{line.mean[at]:.2g}")) for at in (-1, lowest))
    return (
        f"{_name(run)}: {end} at the end, lowest {least} "
        f"(epoch {line.epoch[lowest]:g}), rises in {rises} of {len(line.mean) - 1}"
    )


def _name(run: Run) -> str:
    """SGD for every batch size: GD beside SGD would look like two optimizers."""
    return "SGD" if run.optimizer == "sgd" else words.label(run)
