"""Pictures against epochs: learning rates, optimizers, batch sizes, and training and validation."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from optlab.catalogue import tasks
from optlab.figures import lettering, limits, looks, ranked, words
from optlab.figures.axes import (
    CROWD,
    closed_forms,
    enlarge,
    entry,
    frame,
    legend,
    outer_labels,
    plot,
    thin,
)
from optlab.figures.looks import Look
from optlab.figures.plan import Picture
from optlab.figures.reader import Line, Reader
from optlab.results import summary
from optlab.results.statistics import ENDS
from optlab.study.run import Run
from optlab.values import text

EARLY = 0.1  # of the epochs: if a run leaves earlier, a second panel enlarges the start
NEAR = 10  # times the median of the early departures, to which that panel reaches
DETAILS = 7  # lines of settings in a panel
TRAINING, VALIDATION = Look("#0072B2"), Look("#D55E00", "--")


def loss(picture: Picture, reader: Reader) -> Figure:
    """Training loss against epoch for each learning rate; early departures also enlarged."""
    # A single run may have none: the rate of its class.
    runs = sorted((run for (run,) in picture.groups), key=lambda run: run.knobs.get("lr", 0))
    rates = [run.knobs.get("lr", 0) for run in runs]
    lines = reader.lines(runs, "train_loss")
    last = max(line.epoch[-1] for line in lines)
    # A line that leaves before epoch 1.5 has no evaluation after the first: nothing to enlarge.
    left = [line.epoch[-1] for line in lines if line.leaves and 1.5 < line.epoch[-1] < EARLY * last]
    leaving = max((epoch for epoch in left if epoch <= NEAR * np.median(left)), default=0.0)
    figure, every = looks.figure(picture.title, ratios=(1, 2.2) if left else (1,))
    for axes in every:
        label = reader.label(runs[0], "training loss") if axes is every[0] else ""
        frame(axes, lines, label, full=runs[0].batch_size == "full")
        if axes is not every[-1]:
            enlarge(axes, lines, 1.5 * leaving)
        drawn = []
        for run, color, line in zip(runs, looks.rate_colors(rates), lines, strict=True):
            look, rate = (
                Look(color, "--" if line.leaves else "-"),
                text(run.knobs.get("lr", "default")),
            )
            drawn.append(plot(axes, line, look, f"{rate}{line.note}", lines=len(lines)))
        exact = closed_forms(axes, runs, lines, reader)
    if crowd := len(rates) > CROWD:  # a colour bar, and a legend of the lines that diverge
        looks.rate_bar(figure, every[-1], rates)
        lost = [number for number, line in enumerate(lines) if line.diverged]
        drawn = [drawn[number] for number in lost]
        if len(lost) > CROWD:
            many = f"{len(lost)} of {len(rates)} diverge, the lowest {text(rates[lost[0]])}"
            drawn = [entry(many, color=looks.PLAIN, lw=0.8, ls="--")]
    title = "learning rate" if drawn else None
    legend(figure, [*drawn, *exact], side=not crowd, title=title)
    return figure


def comparison(picture: Picture, reader: Reader) -> Figure:
    """Loss against epoch of the best run of each group; with many groups, a panel for each.

    With more than can be distinguished even so, a ranking by the figure that chose them.
    """
    best = [reader.best(group) for group in picture.groups]
    runs = list({run.path: run for run in best}.values())  # groups of the study may overlap
    way = ranked.way(len(runs), _together, _panels, _ranking)
    return way(picture.title, runs, reader)


def _together(title: str, runs: list[Run], reader: Reader) -> Figure:
    """All runs in the same axes, one for training and one for validation data."""
    names = {"train_loss": "training loss"}
    if reader.has(runs, "val_loss"):
        names["val_loss"] = "validation loss"
    figure, every = looks.figure(title, ratios=(1,) * len(names))
    sets = [reader.lines(runs, name) for name in names]
    optimizers = [run.optimizer for run in runs]
    styles = looks.looks(optimizers)
    labels = words.told_apart([words.settings(run) for run in runs], optimizers)
    for axes, lines, name in zip(every, sets, names.values(), strict=True):
        label = reader.label(runs[0], name)
        frame(axes, [*sets[0], *sets[-1]], label, full=runs[0].batch_size == "full")
        entries = []
        for number, (known, look, line) in enumerate(zip(labels, styles, lines, strict=True)):
            entries.append(plot(axes, line, look, known + line.note, 0.75 * number / len(runs)))
    if len(names) == 1:
        entries += closed_forms(every[0], runs, sets[0], reader)
    legend(figure, entries)
    return figure


def _panels(title: str, runs: list[Run], reader: Reader) -> Figure:
    """A panel for each run, by rank, in which the others are grey; dashed on validation data."""
    rows = reader.rows(runs)
    on, runs = summary.loss_shown(rows), list(reader.ordered(rows)["run"])
    training = reader.lines(runs, "train_loss")
    validation = reader.lines(runs, "val_loss") if on == "val_loss" else []
    order = words.figure(summary.chosen_on(rows, reader.metric(runs[0])))
    figure, every = looks.grid(f"{title}, in the order of their {order}", len(runs))
    colors = [look.color for look in looks.looks([run.optimizer for run in runs])]
    names = words.labels(runs)
    for number, (run, color, axes) in enumerate(zip(runs, colors, every, strict=True)):
        frame(axes, [*training, *validation], "", full=run.batch_size == "full")
        for other in training:
            at = thin(other.mean, len(runs) ** 2)
            axes.plot(other.epoch[at], other.mean[at], color=looks.OTHER, lw=0.7, zorder=1)
        plot(axes, training[number], Look(color), "")
        if validation:
            plot(axes, validation[number], Look(color, "--"), "")
        looks.head(axes, f"{number + 1}  {names[number]}", color)
        parts = (words.knobs(run) + training[number].note).split(", ")
        detail = "\n".join(lettering.cut(part, 1.1, 6.5) for part in parts[:DETAILS])
        axes.text(0.97, 0.95, detail, transform=axes.transAxes, ha="right", va="top",
                  fontsize=6.5, color="#333333", zorder=5)  # fmt: skip
    outer_labels(figure, reader.label(runs[0], "loss"), every[0].get_xlabel())
    entries = [entry("training", color="#333333", lw=1.5)]
    if validation:
        entries.append(entry("validation", color="#333333", lw=1.5, ls="--"))
    legend(figure, [*entries, entry("the others, training", color=looks.OTHER)])
    return figure


def _ranking(title: str, runs: list[Run], reader: Reader) -> Figure:
    """The figure that chose each of many runs, after the last epoch."""
    rows = reader.ordered(reader.rows(runs))
    name = summary.chosen_on(rows, reader.metric(runs[0]))
    mean, low, high = (list(rows[name + end].astype(float)) for end in ENDS)
    named = zip(words.labels(list(rows["run"])), rows["run"], strict=True)
    names = [f"{label}, {words.knobs(run)}" for label, run in named]
    series = [ranked.Series(f"after {runs[0].length}", ranked.DOT,
                            [[value] for value in mean], low, high)]  # fmt: skip
    label = reader.label(runs[0], words.figure(name))
    return ranked.draw(title, label, names, series, list(rows["diverged"] > 0))


def batches(picture: Picture, reader: Reader) -> Figure:
    """Training loss of each optimizer on the full batch and, at the same setting, on mini-batches.

    The setting is the best one on the full batch, which some optimizers are made for.
    """
    full = [group for group in picture.groups if group[0].batch_size == "full"]
    best = {run.optimizer: (run.knobs, run.axes) for run in map(reader.best, full)}
    chosen: dict[int | str, list[Run]] = {"full": []}
    for run in (run for group in picture.groups for run in group):
        if best.get(run.optimizer) == (run.knobs, run.axes):
            chosen.setdefault(run.batch_size, []).append(run)
    if not chosen["full"]:
        return looks.nothing(picture.title, "no run on the full batch")
    sizes = ["full", *sorted(chosen.keys() - {"full"}, reverse=True)]
    lines = {size: reader.lines(chosen[size], "train_loss") for size in sizes}
    if len(chosen["full"]) > ranked.MANY:
        return _batches_ranked(picture.title, sizes, chosen, lines, reader)
    styles = dict(zip(best, looks.looks(list(best)), strict=True))
    labels = words.told_apart([_name(run) for run in chosen["full"]], list(best))
    names = dict(zip(best, labels, strict=True))
    entries: list[Artist] = []
    height = 3.9 + 0.13 * len(chosen["full"])
    figure, every = looks.figure(picture.title, (1,) * len(sizes), height)
    for axes, size in zip(every, sizes, strict=True):
        label = reader.label(chosen[size][0], "training loss") if size == "full" else ""
        frame(axes, [line for found in lines.values() for line in found], label, log=True)
        runs, found = chosen[size], lines[size]
        drawn: list[Artist] = []
        for number, (run, line) in enumerate(zip(runs, found, strict=True)):
            label = f"{names[run.optimizer]}, {words.knobs(run)}"
            look = styles[run.optimizer]
            drawn.append(plot(axes, line, look, label, 0.75 * number / len(runs)))
        entries = entries or drawn
        named = zip((names[run.optimizer] for run in runs), found, strict=True)
        ends = [f"{lettering.cut(name, 0.7, 7.5)}: {_measured(line)}" for name, line in named]
        axes.set_title("\n".join([_pace(size, found), *ends]), fontsize=7.5, loc="left")
    legend(figure, entries)
    return figure


def _batches_ranked(
    title: str,
    sizes: list[int | str],
    chosen: dict[int | str, list[Run]],
    lines: dict[int | str, list[Line]],
    reader: Reader,
) -> Figure:
    """The last training loss of each of many optimizers, on the full batch and on mini-batches."""
    ends: dict[int | str, dict[str, float]] = {
        size: {
            run.optimizer: line.mean[-1]
            for run, line in zip(chosen[size], lines[size], strict=True)
        }
        for size in sizes
    }
    order = sorted(chosen["full"], key=lambda run: _finite(ends["full"][run.optimizer]))
    series = [
        ranked.Series(f"batches of {size}" if size != "full" else "full batch", look,
                      [[ends[size].get(run.optimizer, np.nan)] for run in order])
        for size, look in zip(sizes, [*ranked.LOOKS, *[ranked.FAINT] * len(sizes)], strict=False)
    ]  # fmt: skip
    names = words.told_apart(list(map(_name, order)), [run.optimizer for run in order])
    label = reader.label(order[0], "training loss")
    return ranked.draw(title, label, names, series, [], joined=True)


def _finite(value: float) -> float:
    """A key that sorts what is not a number last."""
    return value if np.isfinite(value) else np.inf


def _pace(size: int | str, lines: list[Line]) -> str:
    """A batch size in words."""
    if size == "full":
        return "full batch: one step an epoch"
    paces = [line.step[-1] / line.epoch[-1] for line in lines if line.epoch[-1] > 0]
    pace = f": {round(float(paces[0]))} steps an epoch" if paces else ""
    return f"batches of {size}{pace}"


def _measured(line: Line) -> str:
    """The end, the minimum and the rises of a line in words."""
    if not np.isfinite(line.mean).any():
        return "no finite loss"
    lowest = int(np.nanargmin(line.mean))
    rises = int((line.mean[1:] > line.mean[:-1]).sum())
    end, least = (text(float(f"{line.mean[at]:.2g}")) for at in (-1, lowest))
    return (
        f"{end} at the end, lowest {least} "
        f"(epoch {line.epoch[lowest]:g}), rises in {rises} of {len(line.mean) - 1}"
    )


def _name(run: Run) -> str:
    """SGD for every batch size: GD beside SGD would look like two optimizers."""
    return "SGD" if run.optimizer == "sgd" else words.label(run)


def measure(metric: str) -> str:
    """The label of an axis with a metric."""
    found = tasks.metric_named(metric)
    label = found.label if found else metric
    return f"{label} (fraction correct)" if metric == "accuracy" else label


def curves(picture: Picture, reader: Reader) -> Figure:
    """Loss and metric of the best run against epoch, on training and on validation data."""
    (group,) = picture.groups
    run = reader.best(group)
    final = reader.rows([run]).iloc[0]
    labels = {"loss": reader.label(run, "loss")}
    if metric := reader.beside_loss([run]):
        labels[metric] = measure(metric)
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
        entries = [plot(axes, line, look, part + line.note) for line, look, part in parts]
        test = final[f"test_{name}"]
        if not np.isnan(test):
            at = limits.cut(
                axes, np.array([test])
            )  # far outside it would have a place in the layout
            entries += axes.plot(training.epoch[-1:], at, "D", ms=5, color="#000000",
                                 mfc="none", clip_on=False, zorder=4,
                                 label="test, at the end")  # fmt: skip
            title = f"{words.figure(f'test_{name}')} {test:.4g}"
            axes.set_title(title, loc="right", fontsize=8)
    legend(figure, entries)
    return figure
