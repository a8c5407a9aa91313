"""Performance profiles: the share of a study's problems that each optimizer solves in time."""

from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optlab.figures import looks, ranked, words
from optlab.figures.axes import entry, legend, outer_labels
from optlab.figures.plan import Picture, Study
from optlab.results import profiles, summary
from optlab.results.profiles import LONGEST
from optlab.study import table

APART = 0.006  # between lines that would cover one another
ACROSS = "{} to the target, divided by the fastest's"


def source(study: Study) -> Callable[[Picture], pd.DataFrame | None]:
    """Read the runs once; returns a function to the rows of the table of profiles.

    Raises:
        UserError: a run has not finished.
    """
    names = dict.fromkeys(exercise for exercise, *_ in table.races(study)[0])
    runs = [run for name in names for run in table.finished(study, name)]
    if not runs:
        return lambda picture: None
    best = summary.best(summary.summarise(runs), summary.metrics(study))
    rows = profiles.frame(study, best)
    return lambda picture: rows


def draw(picture: Picture, rows: pd.DataFrame) -> Figure:
    """By epochs and by seconds; with many optimizers, a panel for each."""
    names = list(dict.fromkeys(rows["optimizer"]))
    title = f"Time to the target accuracy on {rows['problems'].iloc[0]} problems"
    way = ranked.way(len(names), _together, _panels, _ranking)
    return way(title, names, rows)


def _together(title: str, names: list[str], rows: pd.DataFrame) -> Figure:
    measures = list(dict.fromkeys(rows["measure"]))
    figure, every = looks.figure(title, (1,) * len(measures))
    styles = looks.looks(names)
    for axes, measure in zip(every, measures, strict=True):
        _frame(axes, measure)
        for number, (name, look) in enumerate(zip(names, styles, strict=True)):
            moved = APART * (number - (len(names) - 1) / 2)
            own = _of(rows, name, measure)
            _plot(axes, own, moved, color=look.color, ls=look.line, marker=look.marker)
    every[0].set_ylabel("share of the problems")
    entries = [
        entry(f"{label}: score {_by(_scores(rows, name, measures), measures)}",
              color=look.color, ls=look.line, marker=look.marker)
        for label, name, look in zip(words.names(names), names, styles, strict=True)
    ]  # fmt: skip
    legend(figure, entries)
    return figure


def _panels(title: str, names: list[str], rows: pd.DataFrame) -> Figure:
    measures = list(dict.fromkeys(rows["measure"]))
    figure, every = looks.grid(f"{title}, with the scores by {' / '.join(measures)}", len(names))
    dashes = dict(zip(measures, ("-", "--"), strict=False))
    panels = zip(names, words.names(names), looks.looks(names), every, strict=True)
    for name, label, look, axes in panels:
        _frame(axes, "")
        axes.grid(False)  # it would look like the others' steps
        for other in names:
            _plot(axes, _of(rows, other, measures[0]), color=looks.OTHER, lw=0.7)
        for measure, line in dashes.items():
            _plot(axes, _of(rows, name, measure), color=look.color, ls=line)
        looks.head(axes, label, look.color, " / ".join(_scores(rows, name, measures)), 7)
    outer_labels(figure, "share of the problems", "time / the fastest's")
    entries = [entry(f"by {m}", color="#333333", ls=line) for m, line in dashes.items()]
    legend(figure, [*entries, entry(f"the others, by {measures[0]}", color=looks.OTHER)])
    return figure


def _ranking(title: str, names: list[str], rows: pd.DataFrame) -> Figure:
    """The scores of many optimizers."""
    measures = list(dict.fromkeys(rows["measure"]))
    found = {m: [[float(_of(rows, n, m)["score"].iloc[0])] for n in names] for m in measures}
    order = sorted(range(len(names)), key=lambda at: [-found[m][at][0] for m in measures])
    series = [
        ranked.Series(f"by {measure}", look, [found[measure][at] for at in order])
        for measure, look in zip(measures, (ranked.DOT, ranked.RING), strict=False)
    ]
    labels = words.names(names)
    return ranked.draw(title, "score", [labels[at] for at in order], series, [], joined=True)


def _of(rows: pd.DataFrame, name: str, measure: str) -> pd.DataFrame:
    return rows[(rows["optimizer"] == name) & (rows["measure"] == measure)]


def _scores(rows: pd.DataFrame, name: str, measures: list[str]) -> list[str]:
    return [f"{_of(rows, name, measure)['score'].iloc[0]:.2f}" for measure in measures]


def _by(scores: list[str], measures: list[str]) -> str:
    return ", ".join(f"{a} ({measure})" for a, measure in zip(scores, measures, strict=True))


def _frame(axes: Axes, measure: str) -> None:
    axes.set(xlim=(0.95, LONGEST + 0.05), ylim=(-0.04, 1.05))
    axes.set_xlabel(ACROSS.format(measure))
    axes.xaxis.set_major_locator(ticker.MultipleLocator(1))


def _plot(axes: Axes, own: pd.DataFrame, moved: float = 0.0, **look: Any) -> None:
    """The steps of a profile up to the end of the axis, ``moved`` upwards."""
    near = own[own["tau"] <= LONGEST]
    tau, share = [*near["tau"], LONGEST], [*near["share"], near["share"].iloc[-1]]
    axes.plot(tau, [value + moved for value in share], drawstyle="steps-post",
              markevery=list(range(len(near))), clip_on=False, zorder=3, **look)  # fmt: skip
