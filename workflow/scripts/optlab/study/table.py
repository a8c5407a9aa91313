"""The run table of a resolved study: every run of every exercise."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from optlab.catalogue import axes
from optlab.study import confirmation, kinds
from optlab.study.confirmation import Confirmed, Unit
from optlab.study.run import Run

Study = Mapping[str, Any]


def runs(study: Study, exercise: str | None = None) -> list[Run]:
    """The run table, or the part of one exercise, in the study's own order."""
    return [run for run in _grid(study, exercise) if run.skip_reason is None]


def size(exercise: Mapping[str, Any]) -> int:
    """The number of points of an exercise's grid; 0 of a search."""
    if exercise["kind"] == "search":
        return 0
    own = map(axes.key, axes.AXES)
    keys = ("datasets", "models", "batch_sizes", "epochs", "gpus", *own, "scaling")
    grids = exercise["optimizers"].values()
    points = sum(math.prod(map(len, grid.values())) for grid in grids)
    return points * math.prod(len(exercise[key]) for key in keys if key in exercise)


def skipped(study: Study) -> list[tuple[Run, str]]:
    """The points of a study's grids that are left out, each with the reason."""
    return [(run, reason) for run in _grid(study) if (reason := run.skip_reason)]


def units(study: Study, exercise: str | None = None) -> list[Unit]:
    """What is extended or confirmed after the runs of a study, or of one exercise."""
    names = [exercise] if exercise else study["exercises"]
    some = [name for name in names if confirmation.wanted(study["exercises"][name])]
    return [unit for name in some for unit in confirmation.units(study, name, runs(study, name))]


def confirmed(study: Study, exercise: str | None = None) -> dict[str, Confirmed]:
    """What was chosen, by the path of the unit.

    Raises:
        UserError: a unit has not been confirmed.
    """
    return {unit.path: Confirmed.read(unit.file) for unit in units(study, exercise)}


def finished(study: Study, exercise: str) -> list[Run]:
    """The runs of a finished exercise, with those that were added beyond the ends of its grid.

    Raises:
        UserError: a unit has not been confirmed.
    """
    grid = runs(study, exercise)
    known = {run.path for run in grid}
    added = [run for found in confirmed(study, exercise).values() for run in found.added]
    return [*grid, *(run for run in added if run.path not in known)]


def every(study: Study) -> list[Run]:
    """`finished` of all exercises."""
    return [run for name in study["exercises"] for run in finished(study, name)]


def races(study: Study) -> tuple[list[tuple[str, str, str]], list[str]]:
    """The problems with a target accuracy, and the optimizers that are on every one of them.

    A problem is an exercise, a data set and a network. Both lists are empty unless there are two
    problems and two optimizers.
    """
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    for name, exercise in study["exercises"].items():
        if exercise["kind"] == "sweep" and exercise["target_accuracy"] is not None:
            for run in runs(study, name):
                found.setdefault((name, run.dataset, run.model), {})[run.optimizer] = None
    first, *others = found.values() or [{}]
    common = [optimizer for optimizer in first if all(optimizer in other for other in others)]
    return (list(found), common) if len(found) > 1 and len(common) > 1 else ([], [])


def _grid(study: Study, only: str | None = None) -> Iterator[Run]:
    for name, exercise in study["exercises"].items():
        if only in (None, name):
            yield from kinds.of(exercise).runs(study, name)
