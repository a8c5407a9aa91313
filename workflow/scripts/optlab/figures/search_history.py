"""Every trial of a search in the order in which they began."""

from __future__ import annotations

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.figures import looks
from optlab.figures.axes import legend
from optlab.figures.plan import Picture
from optlab.figures.trials import BEST, CONTINUED, PRUNED, Trials, scatter


def draw(picture: Picture, trials: Trials) -> Figure:
    """Each trial's value, and the best complete trial so far."""
    figure = looks.figure(f"{picture.title}: how the search went on")
    (axes,) = figure.axes
    numbers, complete = trials.table["number"], trials.complete
    entries = scatter(axes, trials.table, numbers)
    best = complete["value"].cummax() if trials.search.maximize else complete["value"].cummin()
    entries += axes.plot([*complete["number"], numbers.iloc[-1]], [*best, best.iloc[-1]],
                         color=BEST, lw=1.2, drawstyle="steps-post", zorder=1,
                         label="best complete trial so far")  # fmt: skip
    entries += _continued(axes, trials)
    trials.metric_axis(axes, continued=True)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    legend(figure, entries, columns=2)
    return figure


def _continued(axes: Axes, trials: Trials) -> list[Line2D]:
    """Where a sample of the stopped trials ended, which were trained to their end later."""
    before = trials.table.set_index("number")["value"]
    after = {e["number"]: e["value"] for e in trials.found["retrained_pruned"]}
    after = {number: value for number, value in after.items() if value is not None}
    for number, value in after.items():
        axes.plot([number, number], [before[number], value], color=PRUNED, lw=0.7, ls=":")
    if not after:
        return []
    return list(
        axes.plot(list(after), list(after.values()), "o", mfc="white", color=PRUNED, ms=4.5,
                  zorder=3, label=CONTINUED)
    )  # fmt: skip
