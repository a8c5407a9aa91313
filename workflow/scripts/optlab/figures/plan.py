"""The pictures of each exercise and what each shows, known from the study alone."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from optlab.catalogue import tasks
from optlab.catalogue.datasets import SOURCES
from optlab.data import known
from optlab.figures import words
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
    "budget": "best of k settings",
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
    "profiles": "time to the targets of all problems",
}

# The axes of a grid that define a problem. No picture shows runs of two problems, but for
# `batches`, which compares batch sizes, and `budget`: the tables choose from all settings of an
# optimizer on a data set and a network.
AXES = ("dataset", "model", "batch_size", "epochs", "gpus")
_HIDDEN = {"batches": ("batch_size",), "budget": ("batch_size", "epochs", "gpus")}

Study = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """One picture of an exercise.

    Attributes:
        name: of the file, without its ending.
        kind: one of `KINDS`.
        title: its heading.
        labels: for the report; they distinguish it from the other pictures of the exercise.
        groups: for a sweep, the runs of each line. The line is drawn from all runs of its group
            (``final-loss``) or from the best of them.
        dataset, model: the subject of a picture of a scaling exercise or a search.
    """

    name: str
    kind: str
    title: str
    labels: Mapping[str, str]
    groups: tuple[tuple[Run, ...], ...] = ()
    dataset: str = ""
    model: str = ""


def pictures(study: Study, exercise: str, runs: Sequence[Run] | None = None) -> list[Picture]:
    """Every picture of an exercise, each with a different name.

    ``runs`` are those of a finished exercise: runs that were added beyond the ends of its grid are
    further points and lines of the same pictures.
    """
    kind = study["exercises"][exercise]["kind"]
    if kind == "sweep":
        runs = table.runs(study, exercise) if runs is None else runs
        return list(_distinct(_sweep(study, exercise, runs)))
    planner = {"scaling": _scaling, "search": _search}[kind]
    return list(_distinct(planner(study, exercise)))


def of_study(study: Study) -> list[Picture]:
    """The pictures of the whole study, which compare its problems."""
    problems, _ = table.races(study)
    title, labels = (
        KINDS["profiles"],
        {"picture": KINDS["profiles"], "problems": str(len(problems))},
    )
    return [Picture("profiles", "profiles", title, labels)] if problems else []


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


def _sweep(study: Study, exercise: str, runs: Sequence[Run]) -> Iterator[Picture]:
    settings = study["exercises"][exercise]
    several = [axis for axis in AXES if len({getattr(run, axis) for run in runs}) > 1]
    found: list[Picture] = []
    for problem in _split(runs, attrgetter(*AXES)):
        found += _of_problem(study, settings, problem)
    for problem in _split(runs, attrgetter("dataset", "model", "epochs", "gpus")):
        sizes = {run.batch_size for run in problem}
        if "full" in sizes and len(sizes) > 1:
            groups = _split(problem, attrgetter("optimizer", "batch_size"))
            found.append(_picture("batches", KINDS["batches"], groups))
    for problem in _split(runs, attrgetter("dataset", "model")):
        groups = _split(problem, attrgetter("optimizer"))
        if sum(len(group) > 1 for group in groups) > 1:
            found.append(_picture("budget", "expected best of k settings", groups))
    for picture in found:
        first = picture.groups[0][0]
        where = {axis: getattr(first, axis) for axis in several}
        yield _placed(picture, settings.get("title", exercise), where)


def _of_problem(study: Study, settings: Mapping[str, Any], runs: list[Run]) -> Iterator[Picture]:
    """The pictures of one problem, which is not yet in their names."""
    by_optimizer = _split(runs, attrgetter("optimizer"))
    rated = [group for group in by_optimizer if "lr" in group[0].knobs]
    lines = [line for group in rated for line in _split(group, _all_but_lr)]
    several, rates = len(by_optimizer) > 1, any(len(line) > 1 for line in lines)
    for group in by_optimizer:
        names = words.varied(group)
        yield from (_loss(line, names) for line in _split(group, _all_but_lr))
    if rates:
        yield _picture("final-loss", "final loss", lines)
    metric = _beside_loss(study, settings, runs[0])
    if metric and several and rates:
        shown = _picture("accuracy", f"{words.figure(f'val_{metric}')} of each optimizer", rated)
        yield replace(shown, name=_safe(metric))
    if several:
        yield _picture("comparison-best", "each optimizer at its best", by_optimizer)
    matching = [[run for run in runs if run.matches(wanted)] for wanted in settings["compare"]]
    if any(matching):
        title = "the settings compared by the lab"
        yield _picture("comparison-lab", title, filter(None, matching))
    if metric:
        model = runs[0].model
        curves = _picture("curves", f"best run of {model}", [runs])
        yield replace(curves, name=f"curves-{_safe(model)}")


def _beside_loss(study: Study, settings: Mapping[str, Any], run: Run) -> str | None:
    """The metric that is shown beside the loss; None where there is none."""
    if settings["metric"] not in ("auto", "loss"):
        return tasks.column(settings["metric"])
    definition = study["datasets"][run.dataset]
    if run.metrics:
        return tasks.column(run.metrics[0])
    if (run.loss or SOURCES[definition["source"]].loss) == tasks.SQUARED_ERROR_SUM:
        return None
    return tasks.TASKS[known.source(definition).task].metrics[0]


def _picture(kind: str, title: str, groups: Iterable[list[Run]]) -> Picture:
    return Picture(kind, kind, title, {}, tuple(map(tuple, groups)))


def _loss(line: list[Run], names: list[str]) -> Picture:
    """Loss against epoch for the learning rates of one optimizer, its other knobs fixed."""
    first = line[0]
    title = words.settings(first, names)
    # A momentum needs no name beside its value: loss-momentum-0.8.
    known = words.values(first)
    values = [("" if n == "momentum" else f"{n}-") + text(known[n]) for n in names]
    name = _safe("-".join(("loss", first.optimizer.rpartition(":")[2], *values)))
    return Picture(name, "loss", title, {"optimizer": title}, tuple((run,) for run in line))


def _placed(picture: Picture, exercise: str, where: Mapping[str, Any]) -> Picture:
    """The picture with the problem in its name, title and labels, if there are several."""
    several = {axis: "all" for axis in _HIDDEN.get(picture.kind, ()) if axis in where}
    hidden = {"model"} if picture.kind == "curves" else several
    shown = {k: v for k, v in where.items() if k not in hidden}
    plain = ("dataset", "model")  # their values need no name
    parts = [str(v) if k in plain else f"{k}-{v}" for k, v in shown.items()]
    place = ", ".join(str(v) if k in plain else f"{_spaced(k)} {v}" for k, v in shown.items())
    labels = {
        "picture": KINDS[picture.kind],
        "optimizer": picture.labels.get("optimizer", "all"),
        **{_spaced(axis): str(value) for axis, value in {**where, **several}.items()},
    }
    return replace(
        picture,
        name="-".join([*map(_safe, parts), picture.name]),
        title=words.plain(": ".join(filter(None, (exercise, place, picture.title)))),
        labels=labels,
    )


def _split(runs: Iterable[Run], key: Callable[[Run], Any]) -> list[list[Run]]:
    """The runs in groups of equal keys, in their own order."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _all_but_lr(run: Run) -> tuple[str, ...]:
    return tuple(f"{name}={text(v)}" for name, v in words.values(run).items() if name != "lr")


def _spaced(axis: str) -> str:
    return axis.replace("_", " ")


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name)


# -- scaling and searches --------------------------------------------------------------------


def _scaling(study: Study, exercise: str) -> Iterator[Picture]:
    settings = study["exercises"][exercise]
    several, batches = len(settings["gpus"]) > 1, len(settings["batch_sizes"]) > 1
    shown = {
        "scaling-speedup": several,
        "scaling-time": True,
        "scaling-target": several and settings["target_accuracy"] is not None,
        "scaling-accuracy": several and (batches or WEAK in settings["scaling"]),
        "scaling-settings": batches or len(settings["epochs"]) > 1,
        "scaling-replay": several,
    }
    kinds = [kind for kind, wanted in shown.items() if wanted]
    for picture in _of_places(settings, exercise, kinds, ("dataset", "model")):
        what = KINDS[picture.kind]
        if picture.kind == "scaling-accuracy" and not _has_classes(study, picture.dataset):
            what = "loss against batch"
        labels = {**picture.labels, "picture": what}
        yield replace(picture, title=f"{picture.title}: {what}", labels=labels)


def _has_classes(study: Study, dataset: str) -> bool:
    return known.source(study["datasets"][dataset]).task == tasks.CLASSIFICATION


def _search(study: Study, exercise: str) -> Iterator[Picture]:
    kinds = [kind for kind in KINDS if kind.startswith("search-")]
    yield from _of_places(study["exercises"][exercise], exercise, kinds, ("dataset",))


def _of_places(
    settings: Mapping[str, Any], exercise: str, kinds: Sequence[str], axes: Sequence[str]
) -> Iterator[Picture]:
    """A picture of each kind for each combination of the exercise's data sets and models."""
    places = list(itertools.product(*(settings[f"{axis}s"] for axis in axes)))
    for place, kind in itertools.product(places, kinds):
        where = dict(zip(axes, place, strict=True))
        yield Picture(
            name="-".join([*map(_safe, place if len(places) > 1 else ()), kind.split("-")[1]]),
            kind=kind,
            title=words.plain(", ".join([settings.get("title", exercise), *place])),
            labels={"picture": KINDS[kind], **where},
            **where,
        )
