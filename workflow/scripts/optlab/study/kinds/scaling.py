"""A scaling exercise: the same training with several numbers of processes, timed.

Strong scaling keeps the global batch while processes are added, weak scaling keeps the batch of
each process. With one process both are the same run, and it is trained once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optlab.catalogue import optimizers
from optlab.errors import Mistake
from optlab.study import names
from optlab.study.run import Run, maker

TABLES = {"runs": "runs", "scaling": "scaling"}

STRONG, WEAK = "strong", "weak"

# How the learning rate follows a global batch that is larger by a factor: linear as in Goyal et
# al. 2017 (arXiv:1706.02677) for SGD, sqrt as in Krizhevsky 2014 (arXiv:1404.5997).
RULES: dict[str, Callable[[int], float]] = {
    "none": lambda factor: 1.0,
    "linear": float,
    "sqrt": math.sqrt,
}


@dataclass(frozen=True)
class Point:
    """One row of the scaling table, before anything is trained.

    Attributes:
        scaling: strong or weak.
        batch: the configured batch size: of all processes together (strong) or of each (weak).
        run: the run that answers it; several points may share a run.
    """

    scaling: str
    batch: int
    run: Run


def fill(exercise: dict[str, Any]) -> None:
    """Fill in the values of every knob."""
    exercise["optimizers"] = {
        name: optimizers.grid(name, given or {}) for name, given in exercise["optimizers"].items()
    }


def mistakes(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """What its section names; and that it has one optimizer, one value a knob, and one process."""
    if len(exercise["optimizers"]) > 1:
        yield ("optimizers",), "a scaling exercise compares numbers of GPUs: give one optimizer"
    for name, knobs in exercise["optimizers"].items():
        for knob, values in knobs.items():
            if isinstance(values, list) and len(values) > 1:
                words = "a scaling exercise compares numbers of GPUs: give one value"
                yield ("optimizers", name, knob), words
    if 1 not in exercise["gpus"]:
        yield ("gpus",), "speed-up is against one process: the list needs 1"
    yield from names.grid(study, exercise)


def run_mistakes(exercise: Mapping[str, Any], runs: Sequence[Run]) -> Iterator[Mistake]:
    """None beyond those of every run."""
    return iter(())


def points(study: Mapping[str, Any], name: str) -> Iterator[Point]:
    """The rows of its table, in the study's own order."""
    exercise, make = study["exercises"][name], maker(study, name)
    ((optimizer, grid),) = exercise["optimizers"].items()
    knobs = {knob: values[0] for knob, values in grid.items()}
    axes = ("datasets", "models", "scaling", "batch_sizes", "epochs", "gpus")
    for dataset, model, scaling, batch, epochs, gpus in itertools.product(
        *(exercise[axis] for axis in axes)
    ):
        factor = gpus if scaling == WEAK else 1
        rate = scaled(knobs["lr"], exercise["lr_scaling"], factor)
        run = make(
            dataset=dataset,
            model=model,
            optimizer=optimizer,
            knobs={**knobs, "lr": rate},
            batch_size=batch * factor,
            epochs=epochs,
            gpus=gpus,
            timed=True,
        )
        yield Point(scaling, batch, run)


def scaled(rate: float, rule: str, factor: int) -> float:
    """The learning rate for a global batch ``factor`` times as large, to six digits."""
    return float(f"{rate * RULES[rule](factor):.6g}") if factor != 1 else rate


def runs(study: Mapping[str, Any], name: str) -> list[Run]:
    """The runs of its points, each once."""
    return list({point.run.path: point.run for point in points(study, name)}.values())


def results(study: Mapping[str, Any], name: str) -> list[str]:
    """The metrics and the records of its runs."""
    own = [run.folder for run in runs(study, name) if run.skip_reason is None]
    return [f"{folder}/{file}" for folder in own for file in ("metrics.tsv", "run.json")]
