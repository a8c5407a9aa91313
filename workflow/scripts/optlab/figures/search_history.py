"""Every trial of a search in the order in which they began."""

from matplotlib import ticker
from matplotlib.figure import Figure

from optlab.figures import looks
from optlab.figures.axes import legend
from optlab.figures.plan import Picture
from optlab.figures.trials import BEST, CONTINUED, PRUNED, Trials, scatter


def draw(picture: Picture, trials: Trials) -> Figure:
    """Each trial's value, the best complete trial so far, and how stopped trials would have ended.

    A sample of the stopped trials was trained to their end when the search was over.
    """
    figure, (axes,) = looks.figure(f"{picture.title}: how the search went on")
    values, complete = trials.table.set_index("number")["value"], trials.complete
    entries = scatter(axes, trials.table, values.index)
    best = complete["value"].cummax() if trials.search.maximize else complete["value"].cummin()
    entries += axes.plot([*complete["number"], values.index[-1]], [*best, best.iloc[-1]],
                         color=BEST, lw=1.2, drawstyle="steps-post", zorder=1,
                         label="best complete trial so far")  # fmt: skip
    ends = {entry["number"]: entry["value"] for entry in trials.found["retrained_pruned"]}
    ends = {number: end for number, end in ends.items() if end is not None}
    for number, end in ends.items():
        axes.plot([number, number], [values[number], end], color=PRUNED, lw=0.7, ls=":")
    if ends:
        entries += axes.plot(list(ends), list(ends.values()), "o", mfc="white", color=PRUNED,
                             ms=4.5, zorder=3, label=CONTINUED)  # fmt: skip
    trials.metric_axis(axes, continued=True)
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    legend(figure, entries, ncols=2)
    return figure
