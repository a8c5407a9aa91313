"""The pictures of a search: how it went on, what was stopped, and which parameters mattered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.figures import looks as style
from optlab.study import space as search_space
from optlab.study.kinds import search as search_plan
from optlab.study.kinds.search import Search

Trial = dict[str, Any]
Found = dict[str, Any]  # a search's trials.json

COMPLETE, PRUNED, BEST = "#0072B2", "#7F7F7F", "#D55E00"
COLUMNS = 3  # panels of a row of slices
FEWEST = 5  # complete trials that must have a parameter before anything is said of it
AXIS = {"val_accuracy": "validation accuracy", "val_loss": "validation loss (cross entropy)"}


def draw(kind: str, search: Search) -> Figure:
    """A picture, ready to be saved.

    Raises:
        UserError: the search has not finished.
    """
    drawers: dict[str, Callable[[Search, Found], Figure]] = {
        "history": history,
        "intermediate": intermediate,
        "importance": importance,
        "slices": slices,
    }
    return drawers[kind](search, search_plan.finished(search))


def history(search: Search, found: Found) -> Figure:
    """Each trial's value in the order of the trials, and the best one so far."""
    figure = style.figure(_title(search, "how the search went on"))
    axes = figure.axes[0]
    trials = _valued(found)
    entries = _scatter(axes, trials, lambda trial: trial["number"], found["best"])
    best = _best_so_far(search, trials)
    entries += axes.plot(*best, color=BEST, lw=1.2, drawstyle="steps-post", zorder=1,
                         label="best complete trial so far")  # fmt: skip
    entries += _continued(axes, found)
    _frame(axes, search, trials, [e["value"] for e in found["retrained_pruned"]])
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    _legend(figure, entries)
    return figure


def intermediate(search: Search, found: Found) -> Figure:
    """The metric after each epoch; trials that were stopped end in a cross."""
    figure = style.figure(_title(search, "every trial, epoch by epoch"), height=4.2)
    axes = figure.axes[0]
    trials = _valued(found)
    again = {entry["number"]: entry for entry in found["retrained_pruned"]}
    for trial in trials:
        epochs, values = zip(*trial["intermediate"], strict=True)
        pruned = trial["state"] == "pruned"
        best = trial["number"] == found["best"]
        color = PRUNED if pruned else BEST if best else COMPLETE
        axes.plot(epochs, values, color=color, lw=2.2 if best else 0.9, zorder=4 if best else 2,
                  alpha=1 if best or pruned else 0.75)  # fmt: skip
        if pruned:
            axes.plot(epochs[-1], values[-1], "x", color=PRUNED, ms=5, zorder=3)
        if trial["number"] in again:
            rest = again[trial["number"]]["intermediate"][len(epochs) - 1 :]
            axes.plot(*zip(*rest, strict=True), color=PRUNED, lw=0.9, ls=":", zorder=2)
    _frame(axes, search, trials, [e["value"] for e in found["retrained_pruned"]])
    axes.set_xlabel("epoch of the trial")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    count = sum(trial["state"] == "complete" for trial in trials)
    stopped = len(trials) - count
    entries: list[Artist] = [
        Line2D([], [], color=BEST, lw=2.2, label=f"best trial, number {found['best']}"),
        Line2D([], [], color=COMPLETE, lw=0.9, label=f"other complete trials ({count - 1})"),
        Line2D([], [], color=PRUNED, lw=0.9, marker="x", label=f"stopped early ({stopped})"),
    ]
    if again:
        words = f"stopped ones, trained to the end later ({len(again)})"
        entries.append(Line2D([], [], color=PRUNED, lw=0.9, ls=":", label=words))
    _legend(figure, entries)
    return figure


def importance(search: Search, found: Found) -> Figure:
    """What share of the difference between good and ordinary trials a parameter explains."""
    shares = importances(search, found)
    complete = sum(trial["state"] == "complete" for trial in found["trials"])
    title = f"importance of each parameter\n(PED-ANOVA over the {complete} complete trials)"
    figure = style.figure(_title(search, title), height=max(2.4, 1.2 + 0.28 * len(shares)))
    axes = figure.axes[0]
    if not shares:
        axes.text(0.5, 0.5, "too few complete trials to say", ha="center", va="center",
                  transform=axes.transAxes)  # fmt: skip
        axes.set_axis_off()
        return figure
    names = sorted(shares, key=shares.__getitem__)
    bars = axes.barh(names, [shares[name] for name in names], color=COMPLETE, height=0.65)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_xlim(0, 1.12 * max(shares.values()) or 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the importance")
    return figure


def importances(search: Search, found: Found) -> dict[str, float]:
    """Optuna's PED-ANOVA of the complete trials; nothing where there are too few of them.

    It takes conditional parameters too, each over the trials that have it.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if search.maximize else "minimize")
    for trial in found["trials"]:
        if trial["state"] == "complete":
            study.add_trial(
                optuna.trial.create_trial(
                    params=trial["parameters"],
                    distributions={n: _distribution(search, n) for n in trial["parameters"]},
                    value=trial["value"],
                )
            )
    having = Counter(name for trial in study.trials for name in trial.params)
    names = [name for name, number in having.items() if number >= FEWEST]
    try:
        return optuna.importance.get_param_importances(study, params=names) if names else {}
    except (ValueError, RuntimeError):  # all values are the same
        return {}


def slices(search: Search, found: Found) -> Figure:
    """The value against each parameter, a panel each; a colour says how late the trial came."""
    trials = _valued(found)
    names = parameters(search, trials)
    rows = math.ceil(len(names) / COLUMNS)
    figure = style.figure(_title(search, "slices through the space"), height=0.9 + 2.1 * rows)
    title = figure.get_suptitle()
    figure.clear()
    figure.suptitle(title)
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    entries: list[Artist] = []
    for name, axes in zip(names, panels.flat, strict=False):
        having = [trial for trial in trials if name in trial["parameters"]]
        spec = search.space[search_space.entry_of(search.space, name)]
        place = _places(axes, spec)
        drawn = _scatter(axes, having, _placed(place, name), found["best"])
        entries = entries or drawn
        _frame(axes, search, trials)
        axes.set_xlabel(name)
        if axes not in panels[:, 0]:
            axes.set_ylabel("")
    for axes in list(panels.flat)[len(names) :]:
        axes.set_axis_off()
    _legend(figure, entries, columns=3)
    return figure


def parameters(search: Search, trials: Iterable[Trial]) -> list[str]:
    """The parameters that any trial had, in the order of the space, layers one after another."""
    names = {name for trial in trials for name in trial["parameters"]}
    order = list(search.space)
    return sorted(names, key=lambda n: (order.index(search_space.entry_of(search.space, n)), n))


def _distribution(search: Search, name: str) -> Any:
    from optuna import distributions

    from optlab.study.space import label

    spec = search.space[search_space.entry_of(search.space, name)]
    if spec["type"] == "categorical":
        return distributions.CategoricalDistribution([label(c) for c in spec["choices"]])
    kinds = {"int": distributions.IntDistribution, "float": distributions.FloatDistribution}
    return kinds[spec["type"]](spec["low"], spec["high"], log=spec["log"])


def _places(axes: Axes, spec: Any) -> Callable[[Any], float]:
    """Prepare a panel's horizontal axis; returns where a value of the parameter lies on it."""
    if spec["type"] == "categorical":
        from optlab.study.space import label

        choices = [label(choice) for choice in spec["choices"]]
        axes.set_xticks(range(len(choices)), [str(choice) for choice in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
        return lambda value: float(choices.index(value))
    low, high = spec["low"], spec["high"]
    if spec["log"]:
        axes.set_xscale("log")
        room = (high / low) ** 0.04
        axes.set_xlim(low / room, high * room)
        style.log_axis(axes.xaxis, low, high)
    else:
        room = 0.04 * (high - low) or 0.5
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=spec["type"] == "int"))
    return float


def _scatter(
    axes: Axes,
    trials: Sequence[Trial],
    place: Callable[[Trial], float],
    best: int,
) -> list[Artist]:
    """A mark for each trial's last value: complete, stopped early, and the best one."""
    kinds: dict[str, tuple[list[Trial], dict[str, Any]]] = {
        "stopped early": (
            [t for t in trials if t["state"] == "pruned"],
            {"marker": "x", "color": PRUNED, "ms": 4.5, "mew": 1.0},
        ),
        "complete": (
            [t for t in trials if t["state"] == "complete" and t["number"] != best],
            {"marker": "o", "color": COMPLETE, "ms": 4.5, "mec": "white", "mew": 0.4},
        ),
        "best": (
            [t for t in trials if t["number"] == best],
            {"marker": "*", "color": BEST, "ms": 10, "mec": "white", "mew": 0.5},
        ),
    }
    entries: list[Artist] = []
    for words, (some, look) in kinds.items():
        if some:  # a line of no marks would still have a place, in the corner of the picture
            at, values = [place(t) for t in some], [t["value"] for t in some]
            axes.plot(at, values, ls="", zorder=3, clip_on=False, **look)
        entries.append(Line2D([], [], ls="", label=words, **look))
    return entries


def _continued(axes: Axes, found: Found) -> list[Artist]:
    """Where the retrained sample of the stopped trials would have ended."""
    values = {trial["number"]: trial["value"] for trial in found["trials"]}
    again = [entry for entry in found["retrained_pruned"] if entry["value"] is not None]
    for entry in again:
        number = entry["number"]
        axes.plot([number, number], [values[number], entry["value"]], color=PRUNED, lw=0.7, ls=":")
    if not again:
        return []
    return list(
        axes.plot([e["number"] for e in again], [e["value"] for e in again], "o", mfc="white",
                  color=PRUNED, ms=4.5, zorder=3, label="stopped ones, trained to the end later")
    )  # fmt: skip


def _best_so_far(search: Search, trials: Sequence[Trial]) -> tuple[list[int], list[float]]:
    numbers: list[int] = []
    values: list[float] = []
    choose = max if search.maximize else min
    for trial in trials:
        if trial["state"] == "complete":
            numbers.append(trial["number"])
            values.append(choose([*values[-1:], trial["value"]]))
    return [*numbers, trials[-1]["number"]], [*values, values[-1]]


def _valued(found: Found) -> list[Trial]:
    """The trials that reached an evaluation: not those that failed or diverged at once."""
    return [
        trial
        for trial in found["trials"]
        if trial["state"] != "failed" and trial["value"] is not None and trial["intermediate"]
    ]


def _frame(
    axes: Axes, search: Search, trials: Sequence[Trial], more: Iterable[float | None] = ()
) -> None:
    """The axis of the metric with room for all values, logarithmic where losses lie far apart."""
    axes.set_ylabel(AXIS[search.metric])
    values = [value for trial in trials for _, value in trial["intermediate"]]
    values += [value for value in more if value is not None]
    low, high = min(values), max(values)
    if not search.maximize and low > 0 and high / low > 20:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.2, high * 1.2)
        style.log_axis(axes.yaxis, low, high)
    else:
        room = 0.05 * (high - low) or 0.01
        axes.set_ylim(low - room, high + room)


def _title(search: Search, words: str) -> str:
    return f"{search.title}, {search.dataset}: {words}"


def _legend(figure: Figure, entries: Sequence[Artist], columns: int = 2) -> None:
    figure.legend(handles=list(entries), loc="outside lower center", ncols=columns)


def _placed(place: Callable[[Any], float], name: str) -> Callable[[Trial], float]:
    return lambda trial: place(trial["parameters"][name])
