"""Several optimizers by hand: loss and accuracy against epochs, on training and validation data."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from optlab.figures import looks, words
from optlab.figures.axes import frame, legend, plot
from optlab.figures.epochs import measure
from optlab.figures.reader import Reader
from optlab.study.run import Run

PARTS = {"train": "training", "val": "validation"}
WIDTH, HEIGHT = 8.0, 2.9  # inches, of the picture and of a row


def curves(title: str, runs: Sequence[Run], reader: Reader) -> Figure:
    """A row of panels for the loss, one for the metric; a column for each part of the data."""
    measures = {"loss": reader.label(runs[0], "loss")}
    if metric := reader.beside_loss(runs):
        measures[metric] = measure(metric)
    rows = list(measures)
    columns = [part for part in PARTS if reader.has(runs, f"{part}_loss")]
    figure = Figure(figsize=(WIDTH, 0.7 + HEIGHT * len(rows)), layout="constrained")
    every = figure.subplots(len(rows), len(columns), sharex=True, sharey="row", squeeze=False)
    looks.entitle(figure, title)
    optimizers = [run.optimizer for run in runs]
    labels = words.told_apart([words.settings(run) for run in runs], optimizers)
    entries = []
    for name, panels in zip(rows, every, strict=True):
        lines = {part: reader.lines(runs, f"{part}_{name}") for part in columns}
        for part, axes in zip(columns, panels, strict=True):
            together = [line for found in lines.values() for line in found]
            label = measures[name] if part == columns[0] else ""
            frame(axes, together, label, log=None if name == "loss" else False,
                  full=runs[0].batch_size == "full")  # fmt: skip
            drawn = zip(labels, looks.looks(optimizers), lines[part], strict=True)
            entries = [
                plot(axes, line, look, known + line.note, 0.75 * number / len(runs), len(runs))
                for number, (known, look, line) in enumerate(drawn)
            ]
            if name != rows[-1]:
                axes.set_xlabel("")
            if name == rows[0] and len(columns) > 1:
                axes.set_title(f"{PARTS[part]} data", **looks.HEADING)
    legend(figure, entries)
    return figure
