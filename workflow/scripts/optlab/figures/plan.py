"""Which pictures an exercise has, and what each shows: known from the study alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from optlab.catalogue import optimizers, schedules
from optlab.catalogue.datasets import SOURCES
from optlab.study import table
from optlab.study.kinds.scaling import WEAK
from optlab.study.run import Run
from optlab.values import text

# Kinds of picture, as the report lists them. Each has a caption of this name in workflow/report/.
KINDS = {
    "loss": "loss for each learning rate",
    "final-loss": "final loss against learning rate",
    "accuracy": "accuracy against learning rate",
    "comparison-best": "optimizers at their best settings",
    "comparison-lab": "optimizers at the study's settings",
    "batches": "full batch and mini-batches",
    "curves": "training and validation",
    "scaling-speedup": "speed-up against processes",
    "scaling-time": "where the time goes",
    "scaling-target": "time to the target accuracy",
    "scaling-accuracy": "accuracy against batch",
    "scaling-settings": "batch size and epochs with one process",
    "scaling-replay": "the original lab's arithmetic",
    "search-history": "optimization history",
    "search-intermediate": "intermediate values",
    "search-importance": "importance of the parameters",
    "search-slices": "slices through the space",
}

# The axes of a grid that make a problem: runs of two problems are never drawn in one picture.
AXES = ("dataset", "model", "batch_size", "epochs", "gpus")

Study = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """One picture of an exercise.

    Attributes:
        name: of the file, without its ending.
        kind: one of `KINDS`.
        title: its heading.
        labels: what distinguishes it from the exercise's other pictures, for the report.
        groups: the runs of each line of a sweep's picture. A line is drawn from all runs of its
            group (``final-loss``) or from the best of them.
        dataset, model: what a picture of the other kinds of exercise is about.
    """

    name: str
    kind: str
    title: str
    labels: Mapping[str, str]
    groups: tuple[tuple[Run, ...], ...] = ()
    dataset: str = ""
    model: str = ""


def pictures(study: Study, exercise: str) -> list[Picture]:
    """Every picture of an exercise, each with a name of its own."""
    planners = {"sweep": _sweep, "scaling": _scaling, "search": _search}
    return list(_distinct(planners[study["exercises"][exercise]["kind"]](study, exercise)))


def _distinct(found: Iterable[Picture]) -> Iterator[Picture]:
    """The pictures; a number is added to a name that an earlier one has."""
    seen: set[str] = set()
    for picture in found:
        name, number = picture.name, 1
        while name.lower() in seen:  # some file systems do not distinguish upper and lower case
            number += 1
            name = f"{picture.name}-{number}"
        seen.add(name.lower())
        yield replace(picture, name=name)


# -- sweeps ----------------------------------------------------------------------------------


def _sweep(study: Study, exercise: str) -> Iterator[Picture]:
    settings, runs = study["exercises"][exercise], table.runs(study, exercise)
    title = settings.get("title", exercise)
    several = [axis for axis in AXES if len({getattr(run, axis) for run in runs}) > 1]

    def placed(picture: Picture, run: Run) -> Picture:
        return _placed(picture, title, {axis: getattr(run, axis) for axis in several})

    for problem in _split(runs, lambda run: tuple(getattr(run, axis) for axis in AXES)):
        for picture in _of_problem(study, settings, problem):
            yield placed(picture, problem[0])
    for problem in _split(runs, lambda run: (run.dataset, run.model, run.epochs, run.gpus)):
        sizes = {run.batch_size for run in problem}
        if "full" in sizes and len(sizes) > 1:
            groups = _split(problem, lambda run: (run.optimizer, run.batch_size))
            yield placed(_picture("batches", KINDS["batches"], groups), problem[0])


def _of_problem(study: Study, settings: Mapping[str, Any], runs: list[Run]) -> Iterator[Picture]:
    by_optimizer = _split(runs, lambda run: run.optimizer)
    lines = [line for group in by_optimizer for line in _split(group, _all_but_lr)]
    rates = any(len(line) > 1 for line in lines)
    for group in by_optimizer:
        names = varied(group)
        for line in _split(group, _all_but_lr):
            yield _loss(line, names)
    if rates:
        yield _picture("final-loss", "final loss", lines)
    classes = SOURCES[study["datasets"][runs[0].dataset]["source"]].task != "regression"
    if classes and len(by_optimizer) > 1 and rates:
        yield _picture("accuracy", "validation accuracy of each optimizer", by_optimizer)
    if len(by_optimizer) > 1:
        yield _picture("comparison-best", "each optimizer at its best", by_optimizer)
    matching = [[run for run in runs if run.matches(wanted)] for wanted in settings["compare"]]
    if any(matching):
        title = "the settings compared by the lab"
        yield _picture("comparison-lab", title, filter(None, matching))
    if classes:
        model = runs[0].model
        curves = _picture("curves", f"best run of {model}", [runs])
        yield replace(curves, name=f"curves-{_safe(model)}")


def _picture(kind: str, title: str, groups: Iterable[list[Run]]) -> Picture:
    return Picture(kind, kind, title, {}, tuple(map(tuple, groups)))


def _loss(line: list[Run], names: list[str]) -> Picture:
    """Loss against epoch for the learning rates of one optimizer, its other knobs fixed."""
    first = line[0]
    title = ", ".join(filter(None, (label(first), knobs_text(first, names))))
    # A momentum needs no name beside its value: loss-momentum-0.8.
    known = _values(first)
    values = [("" if n == "momentum" else f"{n}-") + text(known[n]) for n in names]
    name = _safe("-".join(("loss", first.optimizer.rpartition(":")[2], *values)))
    return Picture(name, "loss", title, {"optimizer": title}, tuple((run,) for run in line))


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


def label(run: Run) -> str:
    """The name of a run's optimizer; SGD on the whole training set is GD."""
    return optimizers.label(run.optimizer, full_batch=run.batch_size == "full")


def knobs_text(run: Run, names: Iterable[str]) -> str:
    """Some knobs of a run in words, as ``lr 0.01, momentum 0.8``."""
    values = _values(run)
    return ", ".join(f"{name} {text(values[name])}" for name in names if name in values)


def settings_text(run: Run) -> str:
    """A run in words: its optimizer, learning rate, and the knobs that are not at their default."""
    defaults = optimizers.complete(run.optimizer, {})
    names = [k for k, v in run.shown_knobs.items() if k == "lr" or v or v != defaults.get(k)]
    names += ["schedule"] if run.schedule != schedules.CONSTANT else []
    return ", ".join((label(run), knobs_text(run, names)))


def varied(runs: Iterable[Run]) -> list[str]:
    """The knobs and the schedule, if they have several values among these runs; never the rate."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for knob, value in _values(run).items():
            values.setdefault(knob, set()).add(text(value))
    return [knob for knob, texts in values.items() if len(texts) > 1 and knob != "lr"]


def _split(runs: Iterable[Run], key: Any) -> list[list[Run]]:
    """The runs in groups of one key, in their own order."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _all_but_lr(run: Run) -> tuple[str, ...]:
    return tuple(f"{knob}={text(v)}" for knob, v in _values(run).items() if knob != "lr")


def _values(run: Run) -> dict[str, Any]:
    """What may differ between runs of one optimizer: its knobs and the schedule of its rate."""
    return {**run.knobs, "schedule": run.schedule}


def _words(axis: str) -> str:
    return axis.replace("_", " ")


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name)


# -- scaling and searches --------------------------------------------------------------------


def _scaling(study: Study, exercise: str) -> Iterator[Picture]:
    settings = study["exercises"][exercise]
    problems = list(itertools.product(settings["datasets"], settings["models"]))
    title = settings.get("title", exercise)
    for dataset, model in problems:
        place = [_safe(dataset), _safe(model)] if len(problems) > 1 else []
        for kind in _scaling_kinds(settings):
            words = KINDS[f"scaling-{kind}"]
            yield Picture(
                name="-".join([*place, kind]),
                kind=f"scaling-{kind}",
                title=f"{title}, {dataset}, {model}: {words}",
                labels={"picture": words, "dataset": dataset, "model": model},
                dataset=dataset,
                model=model,
            )


def _scaling_kinds(settings: Mapping[str, Any]) -> Iterator[str]:
    several = len(settings["gpus"]) > 1
    batches = len(settings["batch_sizes"]) > 1
    if several:
        yield "speedup"
    yield "time"
    if several and settings["target_accuracy"] is not None:
        yield "target"
    if several and (batches or WEAK in settings["scaling"]):
        yield "accuracy"
    if batches or len(settings["epochs"]) > 1:
        yield "settings"
    if several:
        yield "replay"


def _search(study: Study, exercise: str) -> Iterator[Picture]:
    settings = study["exercises"][exercise]
    datasets = settings["datasets"]
    for dataset in datasets:
        place = [_safe(dataset)] if len(datasets) > 1 else []
        for kind in ("history", "intermediate", "importance", "slices"):
            yield Picture(
                name="-".join([*place, kind]),
                kind=f"search-{kind}",
                title=f"{settings.get('title', exercise)}, {dataset}",
                labels={"picture": KINDS[f"search-{kind}"], "dataset": dataset},
                dataset=dataset,
            )
