"""Which pictures an exercise has, and what each shows: known from the study alone.

The workflow calls this at every parse to declare its outputs, so only the standard library is
imported; `optlab.figures` draws.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from optlab import grid, optimizers, schedules, sources
from optlab.grid import Run

# What the field calls PyTorch's optimizers.
OPTIMIZERS = {
    "sgd": "SGD",
    "momentum": "Momentum",
    "nesterov": "Nesterov",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
    "nadam": "NAdam",
    "radam": "RAdam",
    "adamax": "Adamax",
    "rprop": "Rprop",
    "adadelta": "AdaDelta",
    "adafactor": "Adafactor",
    "muon": "Muon",
    "lbfgs": "L-BFGS",
}

# Kinds of picture, as the report lists them.
KINDS = {
    "loss": "loss for each learning rate",
    "final-loss": "final loss against learning rate",
    "accuracy": "accuracy against learning rate",
    "comparison-best": "optimizers at their best settings",
    "comparison-lab": "optimizers at the study's settings",
    "batches": "full batch and mini-batches",
    "curves": "training and validation",
}

# The axes of a grid that make a problem: runs of two problems are never drawn in one picture.
AXES = ("dataset", "model", "batch_size", "epochs", "gpus")
_NOT_BATCHES = ("dataset", "model", "epochs", "gpus")


@dataclass(frozen=True)
class Picture:
    """One picture of an exercise.

    Attributes:
        name: the file's name without its ending.
        kind: what sort of picture; also the name of its caption.
        title: its heading.
        labels: what tells it from the exercise's other pictures, for the report.
        groups: the runs of each line. A line is drawn from all runs of its group (``final-loss``)
            or from the best of them.
    """

    name: str
    kind: str
    title: str
    labels: Mapping[str, str]
    groups: tuple[tuple[Run, ...], ...]


def pictures(study: Mapping[str, Any], exercise: str) -> list[Picture]:
    """Every picture of an exercise, each with a name of its own.

    Args:
        study: a resolved study.
        exercise: the name of one of its exercises.
    """
    settings = study["exercises"][exercise]
    runs = grid.runs({**study, "exercises": {exercise: settings}})
    several = [axis for axis in AXES if len({getattr(run, axis) for run in runs}) > 1]
    found: list[Picture] = []
    for problem in _split(runs, lambda run: tuple(getattr(run, axis) for axis in AXES)):
        where = {axis: getattr(problem[0], axis) for axis in several}
        for picture in _of_problem(study, settings, problem):
            found.append(_placed(picture, settings.get("title", exercise), where))
    for problem in _split(runs, lambda run: tuple(getattr(run, axis) for axis in _NOT_BATCHES)):
        sizes = {run.batch_size for run in problem}
        if "full" in sizes and len(sizes) > 1:
            where = {axis: getattr(problem[0], axis) for axis in several}
            found.append(_placed(_batches(problem), settings.get("title", exercise), where))
    return list(_distinct(found))


def label(run: Run) -> str:
    """The name of a run's optimizer; SGD on the whole training set is GD."""
    if run.optimizer == "sgd" and run.batch_size == "full":
        return "GD"
    return OPTIMIZERS.get(run.optimizer, run.optimizer.rpartition(":")[2])


def knobs_text(run: Run, names: Iterable[str]) -> str:
    """Some knobs of a run in words, as ``lr 0.01, momentum 0.8``."""
    values = _values(run)
    return ", ".join(f"{name} {grid.text(values[name])}" for name in names if name in values)


def settings_text(run: Run) -> str:
    """A run in words: its optimizer, learning rate, and the knobs that make it what it is."""
    entry = optimizers.OPTIMIZERS.get(run.optimizer)
    defaults = entry.knobs if entry else {}
    names = [k for k, v in run.shown_knobs.items() if v or v != defaults.get(k)]
    names += ["schedule"] if run.schedule != schedules.CONSTANT else []
    return ", ".join((label(run), knobs_text(run, names)))


def varied(runs: Iterable[Run]) -> list[str]:
    """The knobs and the schedule, if they have several values among these runs; never the rate."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for knob, value in _values(run).items():
            values.setdefault(knob, set()).add(grid.text(value))
    return [knob for knob, texts in values.items() if len(texts) > 1 and knob != "lr"]


def _of_problem(
    study: Mapping[str, Any], settings: Mapping[str, Any], runs: list[Run]
) -> Iterator[Picture]:
    by_optimizer = _split(runs, lambda run: run.optimizer)
    lines = [line for group in by_optimizer for line in _split(group, _all_but_lr)]
    for group in by_optimizer:
        names = varied(group)
        for line in _split(group, _all_but_lr):
            yield _loss(line, names)
    if any(len(line) > 1 for line in lines):
        yield Picture("final-loss", "final-loss", "final loss", {}, _tuples(lines))
    classes = sources.SOURCES[study["datasets"][runs[0].dataset]["source"]].task != "regression"
    if classes and len(by_optimizer) > 1 and any(len(line) > 1 for line in lines):
        title = "validation accuracy of each optimizer"
        yield Picture("accuracy", "accuracy", title, {}, _tuples(by_optimizer))
    if len(by_optimizer) > 1:
        title = "each optimizer at its best"
        yield Picture("comparison-best", "comparison-best", title, {}, _tuples(by_optimizer))
    matching = [[r for r in runs if grid.matches(r, wanted)] for wanted in settings["compare"]]
    if any(matching):
        title = "the settings compared by the lab"
        groups = _tuples(filter(None, matching))
        yield Picture("comparison-lab", "comparison-lab", title, {}, groups)
    if classes:
        title = f"best run of {runs[0].model}"
        yield Picture(f"curves-{_safe(runs[0].model)}", "curves", title, {}, (tuple(runs),))


def _loss(line: list[Run], names: list[str]) -> Picture:
    """Loss against epoch for the learning rates of one optimizer, its other knobs fixed."""
    first = line[0]
    title = ", ".join(filter(None, (label(first), knobs_text(first, names))))
    # The momentum needs no name beside its value: loss-momentum-0.8.
    known = _values(first)
    values = [("" if n == "momentum" else f"{n}-") + grid.text(known[n]) for n in names]
    name = _safe("-".join(("loss", first.optimizer.rpartition(":")[2], *values)))
    return Picture(name, "loss", title, {"optimizer": title}, tuple((run,) for run in line))


def _batches(runs: list[Run]) -> Picture:
    """Optimizers on the full batch and on mini-batches of each size."""
    groups = _split(runs, lambda run: (run.optimizer, run.batch_size))
    return Picture("batches", "batches", "full batch and mini-batches", {}, _tuples(groups))


def _placed(picture: Picture, exercise: str, where: Mapping[str, Any]) -> Picture:
    """The picture with the problem in its name, title and labels, where there are several."""
    hidden = {"curves": "model", "batches": "batch_size"}.get(picture.kind)
    shown = {k: v for k, v in where.items() if k != hidden}
    plain = ("dataset", "model")  # their values need no name
    parts = [str(v) if k in plain else f"{k}-{v}" for k, v in shown.items()]
    place = ", ".join(str(v) if k in plain else f"{_words(k)} {v}" for k, v in shown.items())
    labels = {
        "picture": KINDS[picture.kind],
        "optimizer": picture.labels.get("optimizer", "all"),
        **{_words(axis): str(value) for axis, value in where.items()},
    }
    if picture.kind == "batches":
        labels["batch size"] = "all"
    return replace(
        picture,
        name="-".join([*map(_safe, parts), picture.name]),
        title=": ".join(filter(None, (exercise, place, picture.title))),
        labels=labels,
    )


def _words(axis: str) -> str:
    return axis.replace("_", " ")


def _distinct(found: Iterable[Picture]) -> Iterator[Picture]:
    """The pictures, a number behind a name that an earlier one has."""
    seen: set[str] = set()
    for picture in found:
        name, number = picture.name, 1
        while name.lower() in seen:  # some file systems do not tell upper case from lower
            number += 1
            name = f"{picture.name}-{number}"
        seen.add(name.lower())
        yield replace(picture, name=name)


def _split(runs: Iterable[Run], key: Any) -> list[list[Run]]:
    """The runs in groups of one key, in their own order."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _all_but_lr(run: Run) -> tuple[str, ...]:
    return tuple(f"{knob}={grid.text(v)}" for knob, v in _values(run).items() if knob != "lr")


def _values(run: Run) -> dict[str, Any]:
    """What is varied for one optimizer: its knobs and the schedule of its learning rate."""
    return {**run.knobs, "schedule": run.schedule}


def _tuples(groups: Iterable[list[Run]]) -> tuple[tuple[Run, ...], ...]:
    return tuple(map(tuple, groups))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name)
