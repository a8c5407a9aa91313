"""The pictures of a search, and the trials that they show."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.figures import lettering, limits, looks, words
from optlab.figures.axes import entry, legend, log_scale
from optlab.figures.plan import Picture
from optlab.study import space
from optlab.study.kinds.search import Search

COMPLETE, PRUNED, BEST = "#0072B2", "#7F7F7F", "#D55E00"
MARKS: dict[str, dict[str, Any]] = {
    "stopped early": {"marker": "x", "color": PRUNED, "ms": 4.5, "mew": 1.0},
    "complete": {"marker": "o", "color": COMPLETE, "ms": 4.5, "mec": "white", "mew": 0.4},
    "best": {"marker": "*", "color": BEST, "ms": 10, "mec": "white", "mew": 0.5},
}
LINES: dict[str, dict[str, Any]] = {
    "stopped early": {"color": PRUNED, "lw": 0.9, "zorder": 2},
    "complete": {"color": COMPLETE, "lw": 0.9, "zorder": 2, "alpha": 0.75},
    "best": {"color": BEST, "lw": 2.2, "zorder": 4},
}
LABELS = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}
CONTINUED = "stopped ones, trained to the end later"
NOTHING = "no trial has an evaluation: all diverged or failed"
FEWEST = 5  # complete trials that must have a parameter before its importance is estimated
COLUMNS = 3  # panels of a row of slices
PANEL, TALL = 1.8, 0.8  # inches: the width of such a panel, and of a choice's name that is turned


@dataclass(frozen=True)
class Trials:
    """A finished search; ``found`` is the content of its ``trials.json``."""

    search: Search
    found: dict[str, Any]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each trial with an evaluation: all but those that failed or diverged at once.

        The columns are the keys of ``trials.json``, and ``mark``: a key of `MARKS`.
        """
        every = pd.DataFrame(self.found["trials"])
        values = pd.to_numeric(every["value"])  # infinity is no value of a metric: it diverged
        evaluated = np.isfinite(values) & every["intermediate"].map(bool)
        table = every.assign(value=values)[evaluated & (every["state"] != "failed")]
        marks = table["state"].replace("pruned", "stopped early")
        return table.assign(mark=marks.mask(table["number"] == self.found["best"], "best"))

    @property
    def complete(self) -> pd.DataFrame:
        """The trials that came to their end."""
        return self.table[self.table["state"] == "complete"]

    def spec(self, parameter: str) -> space.Spec:
        """The entry of the search space that a trial's parameter belongs to."""
        return self.search.space[space.entry_of(self.search.space, parameter)]

    def metric_axis(self, axes: Axes, continued: bool = False) -> None:
        """Label and limit the axis of the metric, logarithmic if losses span a factor over 20.

        All values fit in, but for trials that are far from all others, and with ``continued`` also
        those of stopped trials continued later.
        """
        axes.set_ylabel(LABELS[self.search.metric])
        trials = [_values(steps) for steps in self.table["intermediate"]]
        trials += [_values(e["intermediate"]) for e in self.found["retrained_pruned"] if continued]
        values = limits.of_lines(trials, log=not self.search.maximize)
        low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        if not self.search.maximize and low > 0 and high / low > 20:
            axes.set(yscale="log", ylim=(low / 1.2, high * 1.2))
            looks.log_axis(axes.yaxis, low, high)
        else:
            room = 0.05 * (high - low) or 0.01
            axes.set_ylim(low - room, high + room)


def _values(steps: Sequence[Sequence[Any]]) -> list[float]:
    """The values of a trial after each epoch."""
    return [math.nan if value is None else value for _, value in steps]


def _scatter(axes: Axes, trials: pd.DataFrame, at: Sequence[float]) -> list[Line2D]:
    """Draw the last value of each trial at the place ``at``; returns the entries of a legend."""
    entries = []
    for name, look in MARKS.items():
        marked = trials.assign(at=at)[trials["mark"] == name]
        if len(marked):  # an empty line would have a place in the layout: the corner of the picture
            axes.plot(marked["at"], marked["value"], ls="", zorder=3, **look)
            limits.mark(axes, marked["at"], marked["value"], look["color"])
        entries.append(entry(name, ls="", **look))
    return entries


def history(picture: Picture, trials: Trials) -> Figure:
    """Each trial's value, the best complete trial so far, and how stopped trials would have ended.

    The trials are in the order in which they began. A sample of the stopped ones was trained to
    their end when the search was over.
    """
    title = f"{picture.title}: optimization history"
    if trials.table.empty:
        return looks.nothing(title, NOTHING)
    figure, (axes,) = looks.figure(title)
    values, complete = trials.table.set_index("number")["value"], trials.complete
    trials.metric_axis(axes, continued=True)
    entries = _scatter(axes, trials.table, values.index)
    best = complete["value"].cummax() if trials.search.maximize else complete["value"].cummin()
    if len(best):
        entries += axes.plot([*complete["number"], values.index[-1]], [*best, best.iloc[-1]],
                             color=BEST, lw=1.2, drawstyle="steps-post", zorder=1,
                             label="best complete trial so far")  # fmt: skip
    ends = {entry["number"]: entry["value"] for entry in trials.found["retrained_pruned"]}
    known = values.index
    ends = {n: end for n, end in ends.items() if n in known and math.isfinite(end or math.nan)}
    for number, end in ends.items():
        axes.plot([number, number], [values[number], end], color=PRUNED, lw=0.7, ls=":")
    if ends:
        entries += axes.plot(list(ends), list(ends.values()), "o", mfc="white", color=PRUNED,
                             ms=4.5, zorder=3, label=CONTINUED)  # fmt: skip
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    legend(figure, entries, ncols=2)
    return figure


def intermediate(picture: Picture, trials: Trials) -> Figure:
    """The metric after each epoch; trials that were stopped end in a cross."""
    title = f"{picture.title}: every trial, epoch by epoch"
    if trials.table.empty:
        return looks.nothing(title, NOTHING)
    figure, (axes,) = looks.figure(title, height=4.2)
    trials.metric_axis(axes, continued=True)
    continued = {entry["number"]: entry for entry in trials.found["retrained_pruned"]}
    for trial in trials.table.itertuples():
        epochs, values = [epoch for epoch, _ in trial.intermediate], _values(trial.intermediate)
        axes.plot(epochs, values, **LINES[trial.mark])
        if trial.mark == "stopped early":
            axes.plot(epochs[-1], values[-1], "x", color=PRUNED, ms=5, zorder=3)
        if trial.number in continued:
            rest = continued[trial.number]["intermediate"][len(epochs) - 1 :]
            axes.plot([epoch for epoch, _ in rest], _values(rest), color=PRUNED, lw=0.9, ls=":",
                      zorder=2)  # fmt: skip
    axes.set_xlabel("epoch of the trial")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    count = len(trials.complete)
    entries = [
        entry(f"best trial, number {trials.found['best']}", color=BEST, lw=2.2),
        entry(f"other complete trials ({count - 1})", color=COMPLETE, lw=0.9),
    ]
    entries = [
        *(entries if count else []),
        entry(f"stopped early ({len(trials.table) - count})", color=PRUNED, lw=0.9, marker="x"),
    ]
    if continued:
        entries.append(entry(f"{CONTINUED} ({len(continued)})", color=PRUNED, lw=0.9, ls=":"))
    legend(figure, entries, ncols=2)
    return figure


def importance(picture: Picture, trials: Trials) -> Figure:
    """The share of the difference between good and ordinary trials that a parameter explains."""
    shares = importances(trials)
    title = "importance of each parameter\n(PED-ANOVA over the "
    title = f"{picture.title}: {title}{len(trials.complete)} complete trials)"
    if not shares:
        return looks.nothing(title, "too few complete trials to say")
    figure, (axes,) = looks.figure(title, height=max(2.4, 1.2 + 0.28 * len(shares)))
    names = sorted(shares, key=shares.__getitem__)
    places = range(len(names))
    bars = axes.barh(places, [shares[name] for name in names], color=COMPLETE, height=0.65)
    axes.set_yticks(places, [lettering.cut(words.plain(name), 2, 9) for name in names])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_xlim(0, 1.12 * max(shares.values()) or 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the importance")
    return figure


def importances(trials: Trials) -> dict[str, float]:
    """Optuna's PED-ANOVA of the complete trials; empty if there are too few of them.

    It evaluates a conditional parameter over the trials that have it.
    """
    import optuna  # slow to import, and needed for no other picture

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if trials.search.maximize else "minimize")
    for value, parameters in trials.complete[["value", "parameters"]].itertuples(index=False):
        known = {name: _distribution(trials.spec(name)) for name in parameters}
        study.add_trial(
            optuna.trial.create_trial(value=value, params=parameters, distributions=known)
        )
    having = Counter(name for trial in study.trials for name in trial.params)
    names = [name for name, number in having.items() if number >= FEWEST]
    try:
        return optuna.importance.get_param_importances(study, params=names) if names else {}
    except (ValueError, RuntimeError):  # all values are equal
        return {}


def _distribution(spec: space.Spec) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if spec["type"] == "categorical":
        return CategoricalDistribution([space.label(choice) for choice in spec["choices"]])
    kind = IntDistribution if spec["type"] == "int" else FloatDistribution
    return kind(spec["low"], spec["high"], log=spec["log"])


def slices(picture: Picture, trials: Trials) -> Figure:
    """The value of every trial against each parameter: a panel each, with the trials that have it.

    The parameters are in the order of the space, layer by layer.
    """
    known = trials.search.space
    order = list(known)
    names = sorted(
        {name for found in trials.table["parameters"] for name in found},
        key=lambda name: (order.index(space.entry_of(known, name)), name),
    )
    title = f"{picture.title}: slices through the space"
    if not names:
        return looks.nothing(title, NOTHING)
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(7.0, 0.9 + 2.1 * rows), layout="constrained")
    looks.entitle(figure, title)
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for name, axes in zip(names, panels.flat, strict=False):
        having = trials.table[[name in found for found in trials.table["parameters"]]]
        values = [found[name] for found in having["parameters"]]
        trials.metric_axis(axes)
        entries = _scatter(axes, having, _positions(axes, trials.spec(name), values))
        axes.set_xlabel(lettering.cut(words.plain(name), PANEL, 9))
        if axes not in panels[:, 0]:
            axes.set_ylabel("")
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    legend(figure, entries, ncols=3)
    return figure


def _positions(axes: Axes, spec: space.Spec, values: Sequence[Any]) -> list[float]:
    """Prepare the horizontal axis of a panel; returns where each value of the parameter is."""
    if spec["type"] == "categorical":
        choices = [space.label(choice) for choice in spec["choices"]]
        long = PANEL / len(choices)
        flat = max(lettering.width(words.plain(str(c)), 7) for c in choices) < 0.9 * long
        room = long if flat else TALL
        texts = [lettering.cut(words.plain(str(choice)), room, 7) for choice in choices]
        axes.set_xticks(range(len(choices)), texts, fontsize=7, rotation=0 if flat else 90)
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
