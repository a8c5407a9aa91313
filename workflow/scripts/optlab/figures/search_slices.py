"""Slices through the space of a search: the value of every trial against each parameter."""

from collections.abc import Sequence
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optlab.figures.axes import legend, log_scale
from optlab.figures.plan import Picture
from optlab.figures.trials import Trials, scatter
from optlab.study import space

COLUMNS = 3  # panels of a row


def draw(picture: Picture, trials: Trials) -> Figure:
    """A panel for each parameter, with the trials that have it."""
    names = parameters(trials)
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(7.0, 0.9 + 2.1 * rows), layout="constrained")
    figure.suptitle(f"{picture.title}: slices through the space")
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for name, axes in zip(names, panels.flat, strict=False):
        having = trials.table[[name in found for found in trials.table["parameters"]]]
        values = [found[name] for found in having["parameters"]]
        entries = scatter(axes, having, _positions(axes, trials.spec(name), values))
        trials.metric_axis(axes)
        axes.set_xlabel(name)
        if axes not in panels[:, 0]:
            axes.set_ylabel("")
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    legend(figure, entries, ncols=3)
    return figure


def parameters(trials: Trials) -> list[str]:
    """The parameters of all trials in the order of the space, layer by layer."""
    names = {name for found in trials.table["parameters"] for name in found}
    known = trials.search.space
    order = list(known)
    return sorted(names, key=lambda name: (order.index(space.entry_of(known, name)), name))


def _positions(axes: Axes, spec: space.Spec, values: Sequence[Any]) -> list[float]:
    """Prepare the horizontal axis of a panel; returns where each value of the parameter is."""
    if spec["type"] == "categorical":
        choices = [space.label(choice) for choice in spec["choices"]]
        axes.set_xticks(range(len(choices)), [str(choice) for choice in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
        return [choices.index(value) for value in values]
    low, high = spec["low"], spec["high"]
    if spec["log"]:
        log_scale(axes, "x", low, high)
    else:
        room = 0.04 * (high - low) or 0.5
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=spec["type"] == "int"))
    return list(values)
