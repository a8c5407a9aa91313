"""A scaling exercise: the same training, timed with several numbers of processes.

Strong scaling keeps the global batch size while processes are added, weak scaling keeps the batch
size of each process. With one process both are the same run, which is trained once.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optlab.catalogue import optimizers, tasks
from optlab.catalogue.datasets import SOURCES
from optlab.errors import Mistake, below
from optlab.study import names
from optlab.study.claims import scalings as claims
from optlab.study.making import maker
from optlab.study.run import Run

TABLES = {"runs": "runs", "scaling": "scaling", "claims": "claims"}

STRONG, WEAK = "strong", "weak"
REPLAYED = "replayed"  # rows that are computed by the original lab's arithmetic, not trained

# The factor of the learning rate for a global batch that is larger by a factor. Linear: Goyal et
# al. 2017 (arXiv:1706.02677), for SGD. sqrt: Krizhevsky 2014 (arXiv:1404.5997). Both are for a loss
# that is the mean over the batch: see `scaled`.
RULES: dict[str, Callable[[int], float]] = {
    "none": lambda factor: 1.0,
    "linear": float,
    "sqrt": math.sqrt,
}


@dataclass(frozen=True)
class Point:
    """A row of the scaling table, before its run is trained.

    Attributes:
        scaling: strong or weak.
        batch: the configured batch size, of all processes together (strong) or of each (weak).
        run: its run; several points may share one.
    """

    scaling: str
    batch: int
    run: Run


def fill(exercise: dict[str, Any]) -> None:
    """Fill in the values of every hyperparameter."""
    exercise["optimizers"] = {
        name: optimizers.grid(name, given or {}) for name, given in exercise["optimizers"].items()
    }


def mistakes(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """Names that are unknown, several optimizers or values of a knob, or no run of one process."""
    if len(exercise["optimizers"]) > 1:
        yield ("optimizers",), "a scaling exercise compares numbers of GPUs: give one optimizer"
    for name, knobs in exercise["optimizers"].items():
        for knob, values in knobs.items():
            if len(values) > 1:
                words = "a scaling exercise compares numbers of GPUs: give one value"
                yield ("optimizers", name, knob), words
    if 1 not in exercise["gpus"]:
        yield ("gpus",), "speed-up is against one process: the list needs 1"
    yield from names.grid(study, exercise)
    yield from names.judged(study, exercise)


def run_mistakes(exercise: Mapping[str, Any], runs: Sequence[Run]) -> Iterator[Mistake]:
    """What it claims has to be in its table."""
    yield from below(("claims",), claims.mistakes(exercise["claims"], _rows(exercise)))


def _rows(exercise: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What identifies each row of the exercise's table, replayed rows included."""
    kinds = [*exercise["scaling"], *([REPLAYED] if len(exercise["gpus"]) > 1 else [])]
    datasets, models, *others = (
        exercise[key] for key in ("datasets", "models", "batch_sizes", "epochs", "gpus")
    )
    points = itertools.product(datasets, models, kinds, *others)
    rows = (dict(zip(claims.AXES, point, strict=True)) for point in points)
    return [row for row in rows if row["scaling"] != STRONG or row["batch_size"] >= row["gpus"]]


def points(study: Mapping[str, Any], name: str) -> Iterator[Point]:
    """The measured rows of the exercise's table, in the order of the study."""
    exercise, make = study["exercises"][name], maker(study, name)
    ((optimizer, grid),) = exercise["optimizers"].items()
    knobs = {knob: values[0] for knob, values in grid.items()}
    summed = {one: _summed(study, exercise, one, optimizer) for one in exercise["datasets"]}
    axes = ("datasets", "models", "scaling", "batch_sizes", "epochs", "gpus")
    for dataset, model, scaling, batch, epochs, gpus in itertools.product(
        *(exercise[axis] for axis in axes)
    ):
        factor = gpus if scaling == WEAK else 1
        rates = {}
        if "lr" in knobs:
            rates["lr"] = scaled(knobs["lr"], exercise["lr_scaling"], factor, summed[dataset])
        run = make(
            dataset=dataset,
            model=model,
            optimizer=optimizer,
            knobs={**knobs, **rates},
            batch_size=batch * factor,
            epochs=epochs,
            gpus=gpus,
            timed=True,
        )
        yield Point(scaling, batch, run)


def scaled(rate: float, rule: str, factor: int, summed: bool = False) -> float:
    """The learning rate, to six digits, for a global batch that is ``factor`` times as large.

    The gradient of a loss that is the sum over the batch, as that of exercise 1 is, grows with
    the batch, and with it the steps of an optimizer that are proportional to the gradient: the rate
    is divided by the factor, so that the steps are those of the rule for the mean.
    """
    growth = RULES[rule](factor) / (factor if summed else 1)
    return float(f"{rate * growth:.6g}") if growth != 1 else rate


def _summed(
    study: Mapping[str, Any], exercise: Mapping[str, Any], dataset: str, optimizer: str
) -> bool:
    """Whether the steps of an optimizer on a data set grow with the batch."""
    usual = SOURCES[study["datasets"][dataset]["source"]].loss
    loss = exercise.get("loss") or usual
    return loss == tasks.SQUARED_ERROR_SUM and optimizers.of(optimizer).proportional


def runs(study: Mapping[str, Any], name: str) -> list[Run]:
    """The runs of the points, without duplicates."""
    return list({point.run.path: point.run for point in points(study, name)}.values())


def results(study: Mapping[str, Any], name: str) -> list[str]:
    """The metrics and the records of the runs."""
    own = [run.folder for run in runs(study, name) if run.skip_reason is None]
    return [f"{folder}/{file}" for folder in own for file in ("metrics.tsv", "run.json")]
