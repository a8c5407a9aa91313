"""Every trial of a search, epoch by epoch."""

from typing import Any

from matplotlib import ticker
from matplotlib.figure import Figure

from optlab.figures import looks
from optlab.figures.axes import entry, legend
from optlab.figures.plan import Picture
from optlab.figures.trials import BEST, COMPLETE, CONTINUED, PRUNED, Trials

LINES: dict[str, dict[str, Any]] = {
    "stopped early": {"color": PRUNED, "lw": 0.9, "zorder": 2},
    "complete": {"color": COMPLETE, "lw": 0.9, "zorder": 2, "alpha": 0.75},
    "best": {"color": BEST, "lw": 2.2, "zorder": 4},
}


def draw(picture: Picture, trials: Trials) -> Figure:
    """The metric after each epoch; trials that were stopped end in a cross."""
    figure, (axes,) = looks.figure(f"{picture.title}: every trial, epoch by epoch", height=4.2)
    continued = {entry["number"]: entry for entry in trials.found["retrained_pruned"]}
    for trial in trials.table.itertuples():
        epochs, values = zip(*trial.intermediate, strict=True)
        axes.plot(epochs, values, **LINES[trial.mark])
        if trial.mark == "stopped early":
            axes.plot(epochs[-1], values[-1], "x", color=PRUNED, ms=5, zorder=3)
        if trial.number in continued:
            rest = continued[trial.number]["intermediate"][len(epochs) - 1 :]
            axes.plot(*zip(*rest, strict=True), color=PRUNED, lw=0.9, ls=":", zorder=2)
    trials.metric_axis(axes, continued=True)
    axes.set_xlabel("epoch of the trial")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    count = len(trials.complete)
    stopped = len(trials.table) - count
    entries = [
        entry(f"best trial, number {trials.found['best']}", color=BEST, lw=2.2),
        entry(f"other complete trials ({count - 1})", color=COMPLETE, lw=0.9),
        entry(f"stopped early ({stopped})", color=PRUNED, lw=0.9, marker="x"),
    ]
    if continued:
        entries.append(entry(f"{CONTINUED} ({len(continued)})", color=PRUNED, lw=0.9, ls=":"))
    legend(figure, entries, ncols=2)
    return figure
