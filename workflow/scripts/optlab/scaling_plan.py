"""From a study to its scaling exercises: which run answers which question.

Strong scaling keeps the global batch while processes are added, weak scaling keeps the batch of
each process. One run may answer several questions, since with one process both are the same.
Standard library only: this is imported at every parse.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optlab.search_space import Mistake

STRONG, WEAK = "strong", "weak"
REPLAYED = "replayed"  # not trained: the original lab's arithmetic, in the table beside ours

# How the learning rate follows a global batch that is so many times larger: linear as Goyal et
# al. 2017 (arXiv:1706.02677) do for SGD, sqrt as Krizhevsky 2014 (arXiv:1404.5997) argues.
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
        settings: what differs between the runs of the exercise: dataset, model, batch_size (of
            all processes together), epochs, gpus and knobs.
    """

    scaling: str
    batch: int
    settings: Mapping[str, Any]


def is_scaling(exercise: Mapping[str, Any]) -> bool:
    """Whether an exercise of a study measures scaling."""
    return exercise["kind"] == "scaling"


def points(exercise: Mapping[str, Any]) -> Iterator[Point]:
    """The rows of the scaling table, in the study's own order."""
    knobs = {knob: values[0] for knob, values in settings_of(exercise).items()}
    axes = ("datasets", "models", "scaling", "batch_sizes", "epochs", "gpus")
    for dataset, model, scaling, batch, epochs, gpus in itertools.product(
        *(exercise[axis] for axis in axes)
    ):
        factor = gpus if scaling == WEAK else 1
        yield Point(
            scaling,
            batch,
            {
                "dataset": dataset,
                "model": model,
                "batch_size": batch * factor,
                "epochs": epochs,
                "gpus": gpus,
                "knobs": {**knobs, "lr": scaled(knobs["lr"], exercise["lr_scaling"], factor)},
            },
        )


def settings_of(exercise: Mapping[str, Any]) -> Mapping[str, list[Any]]:
    """The values of each knob of the one optimizer; there is one of each."""
    return next(iter(exercise["optimizers"].values()))


def scaled(rate: float, rule: str, factor: int) -> float:
    """The learning rate for a global batch ``factor`` times as large, to six digits."""
    return float(f"{rate * RULES[rule](factor):.6g}") if factor != 1 else rate


# Kinds of picture, as the report lists them.
PICTURES = {
    "speedup": "speed-up against processes",
    "time": "where the time goes",
    "target": "time to the target accuracy",
    "accuracy": "accuracy against batch",
    "settings": "batch size and epochs with one process",
    "replay": "the original lab's arithmetic",
}


@dataclass(frozen=True)
class Picture:
    """One picture of a scaling exercise.

    Attributes:
        name: the file's name without its ending.
        kind: what sort of picture, one of `PICTURES`.
        title: its heading.
        labels: what tells it from the exercise's other pictures, for the report.
        dataset, model: what it is about.
    """

    name: str
    kind: str
    title: str
    labels: Mapping[str, str]
    dataset: str
    model: str


def pictures(study: Mapping[str, Any], name: str) -> list[Picture]:
    """The pictures of a scaling exercise, each with a name of its own."""
    exercise = study["exercises"][name]
    problems = list(itertools.product(exercise["datasets"], exercise["models"]))
    heading = exercise.get("title", name)
    found = []
    for dataset, model in problems:
        for kind in _kinds(exercise):
            place = [dataset, model] if len(problems) > 1 else []
            found.append(
                Picture(
                    name="-".join([*(re.sub(r"[^\w.+-]+", "-", p) for p in place), kind]),
                    kind=kind,
                    title=f"{heading}, {dataset}, {model}: {PICTURES[kind]}",
                    labels={"picture": PICTURES[kind], "dataset": dataset, "model": model},
                    dataset=dataset,
                    model=model,
                )
            )
    return found


def _kinds(exercise: Mapping[str, Any]) -> Iterator[str]:
    several = len(exercise["gpus"]) > 1
    batches = len(exercise["batch_sizes"]) > 1
    if several:
        yield "speedup"
    yield "time"
    if several and exercise["target_accuracy"] is not None:
        yield "target"
    if several and (batches or WEAK in exercise["scaling"]):
        yield "accuracy"
    if batches or len(exercise["epochs"]) > 1:
        yield "settings"
    if several:
        yield "replay"


def mistakes(exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """What the schema cannot see: where in the exercise, and what is wrong there."""
    if len(exercise["optimizers"]) > 1:
        yield ("optimizers",), "a scaling exercise compares numbers of GPUs: give one optimizer"
    for name, knobs in exercise["optimizers"].items():
        for knob, values in knobs.items():
            if isinstance(values, list) and len(values) > 1:
                words = "a scaling exercise compares numbers of GPUs: give one value"
                yield ("optimizers", name, knob), words
    if 1 not in exercise["gpus"]:
        yield ("gpus",), "speed-up is against one process: the list needs 1"
