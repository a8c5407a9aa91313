"""A sweep: every point of a grid is trained, and its optimizers are compared."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optlab.catalogue import axes, optimizers
from optlab.errors import Mistake, below
from optlab.study import confirmation, names
from optlab.study.claims import sweeps as claims
from optlab.study.making import maker
from optlab.study.run import Run
from optlab.training.settings import UNLIMITED

TABLES = {
    "runs": "runs",
    "best": "best settings",
    "optimizers": "optimizers",
    "pairs": "pairs of optimizers",
    "budget": "best of k settings",
    "profiles": "time to the targets of all problems",
    "claims": "claims",
}

# What a run is of, and the keys of the exercise that have the values.
PLACES = {"dataset": "datasets", "model": "models", "batch_size": "batch_sizes",
          "epochs": "epochs", "gpus": "gpus"}  # fmt: skip


def fill(exercise: dict[str, Any]) -> None:
    """Fill in the values of every knob, and the epochs; leave out axes at their default."""
    for name, values in axes.given(exercise).items():
        axis = axes.AXES[name]
        if axis.key == "" and values == [axis.default]:
            del exercise[name]
    if "minutes" in exercise and exercise["epochs"] == [10]:  # the default
        exercise["epochs"] = [UNLIMITED]
    exercise["optimizers"] = {
        name: optimizers.grid(name, given or {}) for name, given in exercise["optimizers"].items()
    }


def mistakes(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """What its section names, and how its results are to be judged."""
    yield from names.grid(study, exercise)
    if "minutes" in exercise and exercise["epochs"] != [UNLIMITED]:
        yield ("epochs",), "minutes are in place of epochs; leave out one of the two"
    yield from names.judged(study, exercise)
    yield from names.varied(study, exercise)
    yield from names.kept(study, exercise)
    yield from confirmation.mistakes(study, exercise)


def run_mistakes(exercise: Mapping[str, Any], runs: Sequence[Run]) -> Iterator[Mistake]:
    """What it compares and claims has to be in its grid."""
    known = list(exercise["optimizers"])
    for number, settings in enumerate(exercise["compare"]):
        yield from below(("compare", number), claims.misplaced(settings, known, runs))
    yield from below(("claims",), claims.mistakes(exercise["claims"], known, runs))


def runs(study: Mapping[str, Any], name: str) -> Iterator[Run]:
    """The grid: every combination of the exercise's axes and of each optimizer's knobs."""
    exercise, make = study["exercises"][name], maker(study, name)
    grid_axes = {axis: exercise[key] for axis, key in PLACES.items()} | axes.given(exercise)
    for optimizer, grid in exercise["optimizers"].items():
        for place, knobs in itertools.product(_points(grid_axes), _points(grid)):
            yield make(optimizer=optimizer, knobs=knobs, replicates=_replicates(exercise), **place)


def _points(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values of these axes."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _replicates(exercise: Mapping[str, Any]) -> str:
    """How its replicates are trained; on a CPU, `auto` and `separate` are the same."""
    chosen = exercise["replicates"]
    if exercise["device"] == "cpu":
        return chosen if chosen == "together" else "auto"
    if chosen == "auto" and exercise["target_accuracy"] is not None:
        return "separate"  # times are compared: each replicate has the device to itself
    return chosen


def results(study: Mapping[str, Any], name: str) -> list[str]:
    """The metrics of its runs, and what was chosen from them."""
    own = [run for run in runs(study, name) if run.skip_reason is None]
    chosen = [unit.file for unit in confirmation.units(study, name, own)]
    return [*(f"{run.folder}/metrics.tsv" for run in own), *chosen]
