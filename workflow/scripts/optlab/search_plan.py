"""From a study to its searches: one `Search` for each data set of each search exercise.

Also what a search's section must satisfy beyond the schema, and which of its keys make a search
another one. Standard library only: this is imported at every parse.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from optlab import grid, models, optimizers, search_space, sources
from optlab.errors import UserError
from optlab.search_space import Mistake
from optlab.wording import allowed, show

# What the trials depend on. These files are inputs of the jobs, and part of the journal's name.
CODE = (
    "search.py",
    *(name for name in grid.TRAINING_CODE if name != "train.py"),
    *(f"optlab/{module}.py" for module in ("search_journal", "search_space", "search_trial")),
)
# What a retrained setting depends on besides.
RETRAINING_CODE = ("retrain.py", *CODE)

# Options, each with its default; a pruner's are Optuna's own names.
SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": False, "group": False},
    "random": {},
    "gp": {"n_startup_trials": 10},
}
PRUNERS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1},
    "hyperband": {"min_resource": 1, "reduction_factor": 3},
    "successive_halving": {"min_resource": 1, "reduction_factor": 4, "min_early_stopping_rate": 0},
    "none": {},
}
LEAST = {"n_ei_candidates": 1, "interval_steps": 1, "n_min_trials": 1, "min_resource": 1,
         "reduction_factor": 2}  # fmt: skip

# Keys of the section that no trial depends on.
_NOT_TRIALS = ("title", "workers", "trials", "seeds", "retrain", "retrain_pruned")


@dataclass(frozen=True)
class Search:
    """One Optuna study: a search exercise on one of its data sets."""

    study: str
    exercise: str
    title: str
    dataset: str
    data: str  # the prepared data set's JSON
    network: str
    space: search_space.Space
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    metric: str
    seed: int
    epochs: int
    batch_size: int | str
    epoch_examples: int | None
    validation_examples: int | None
    device: str
    threads: int
    precision: str
    trials: int
    workers: int
    seeds: int
    retrain: str
    retrain_pruned: int

    @property
    def path(self) -> str:
        """The search's folder below ``results/<study>/search``."""
        return f"{self.exercise}/{self.dataset}"

    @property
    def folder(self) -> str:
        """The search's folder, relative to the working directory."""
        return f"results/{self.study}/search/{self.path}"

    @property
    def tensors(self) -> str:
        """The prepared data set's tensors, beside its description."""
        return self.data.removesuffix(".json") + ".pt"

    @property
    def maximize(self) -> bool:
        """Whether a higher value is a better one."""
        return self.metric.endswith("accuracy")

    def worker_files(self) -> list[str]:
        """What the workers' jobs write."""
        return [f"{self.folder}/worker-{number}.json" for number in range(self.workers)]

    def journal(self, scripts: Path) -> Path:
        """Where the trials lie: another space, budget, data set or code has another journal."""
        leave = {*_NOT_TRIALS, "study", "exercise", "dataset", "data"}
        settings = {key: value for key, value in vars(self).items() if key not in leave}
        settings["data"] = Path(self.data).name
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for file in CODE:
            digest.update(hashlib.sha256((scripts / file).read_bytes()).digest())
        return Path(self.folder, f"journal-{digest.hexdigest()[:12]}.log")


def is_search(exercise: Mapping[str, Any]) -> bool:
    """Whether a section of the study is a search."""
    return exercise.get("kind") == "search"


def searches(study: Mapping[str, Any]) -> list[Search]:
    """The searches of a resolved study, in the study's own order."""
    return [
        Search(
            study=study["study"],
            exercise=name,
            title=exercise.get("title", name),
            dataset=dataset,
            data=grid.prepared(study, dataset),
            **{k: v for k, v in exercise.items() if k not in ("kind", "title", "datasets")},
        )
        for name, exercise in study["exercises"].items()
        if is_search(exercise)
        for dataset in exercise["datasets"]
    ]


def part(study: Mapping[str, Any], trials_only: bool = False) -> dict[str, Any]:
    """A study reduced (`study.part`) to what its jobs depend on; titles change no result."""
    leave = ("title", "workers", *(("seeds", "retrain", "retrain_pruned") if trials_only else ()))
    exercises = {
        name: {key: value for key, value in exercise.items() if key not in leave}
        for name, exercise in study["exercises"].items()
    }
    return {**study, "exercises": exercises}


def fill(exercise: dict[str, Any]) -> None:
    """Defaults of the sampler and the pruner, which depend on their names."""
    for kind, table in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        exercise[kind] = {**table.get(exercise[kind]["name"], {}), **exercise[kind]}


def mistakes(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """Every mistake of a search's section, which has the schema's form; where, and what."""
    network = exercise["network"]
    if network in models.NETWORKS:
        for key, message in search_space.mistakes(exercise["space"], network):
            yield ("space", *key), message
        yield from _senseless(exercise, network)
    else:
        yield ("network",), f"unknown network {show(network)}; {allowed(network, models.NETWORKS)}"
    yield from _options("sampler", exercise["sampler"], SAMPLERS)
    yield from _options("pruner", exercise["pruner"], PRUNERS)
    if exercise["sampler"].get("group") is True and not exercise["sampler"].get("multivariate"):
        yield ("sampler", "group"), "needs multivariate: true beside it"
    resource = exercise["pruner"].get("min_resource", 1)
    if isinstance(resource, int) and resource > exercise["epochs"]:
        yield ("pruner", "min_resource"), f"{resource} is more than the {exercise['epochs']} epochs"
    if exercise["batch_size"] == "full" and exercise["epoch_examples"] is not None:
        yield ("epoch_examples",), "a full batch is the whole training set; leave one of the two"
    for number, dataset in enumerate(exercise["datasets"]):
        if reason := _unfit(study["datasets"].get(dataset), exercise["metric"]):
            yield ("datasets", number), f"{show(dataset)} {reason}"


def _senseless(exercise: Mapping[str, Any], network: str) -> Iterator[Mistake]:
    """Optimizers that a grid would leave out with this network and this batch size."""
    space = exercise["space"]
    rates = [value for key, value in space.get("dropout", {}).items() if key == "high"]
    run = SimpleNamespace(
        network=network,
        network_options={"dropout": max(rates)} if rates else {},
        batch_size=exercise["batch_size"],
        schedule="constant",
    )
    for number, name in enumerate(space.get("optimizer", {}).get("choices", ())):
        entry = optimizers.OPTIMIZERS.get(name) if isinstance(name, str) else None
        if entry and (reason := entry.skip(run)):
            where = ("space", "optimizer", "choices", number)
            yield where, f"{show(name)} makes no sense here: {reason}"


def _options(kind: str, given: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[Mistake]:
    name = given["name"]
    if name not in table:
        yield (kind, "name"), f"unknown {kind} {show(name)}; {allowed(name, table)}"
        return
    known: Iterable[str] = ("name", *table[name])
    for option, value in given.items():
        if option not in known:
            yield (
                (kind, option),
                f"the {kind} {name} has no option '{option}'; " + allowed(option, known),
            )
        elif option == "name":
            continue
        elif isinstance(table[name][option], bool):
            if not isinstance(value, bool):
                yield (kind, option), f"{show(value)} is not allowed; true or false"
        elif isinstance(value, bool) or not isinstance(value, int) or value < LEAST.get(option, 0):
            least = LEAST.get(option, 0)
            yield (kind, option), f"{show(value)} is not allowed; a whole number from {least} up"


def _unfit(dataset: Mapping[str, Any] | None, metric: str) -> str | None:
    """Why a data set cannot be searched on; None where it can, or is not known."""
    source = sources.SOURCES.get(dataset["source"]) if dataset else None
    if dataset is None or source is None:
        return None
    held_out = source.validation if dataset["validation"] is None else dataset["validation"]
    if not held_out:
        return "has no validation examples, on which a search must judge its trials"
    if source.task == "regression" and metric == "val_accuracy":
        return "has no classes, so no accuracy; use metric: val_loss"
    return None


def results(search: Search) -> dict[str, Any]:
    """What a finished search left in its ``trials.json``.

    Raises:
        UserError: it has not finished.
    """
    file = Path(search.folder, "trials.json")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"the search has not finished: there is no {file}") from None


# Kinds of picture, as the report lists them.
PICTURES = {
    "history": "optimization history",
    "intermediate": "intermediate values",
    "importance": "importance of the parameters",
    "slices": "slices through the space",
}


def pictures(study: Mapping[str, Any], exercise: str) -> list[tuple[str, str, str]]:
    """The pictures of a search exercise: file name without its ending, kind, and data set."""
    found = study["exercises"][exercise]["datasets"]
    return [
        (f"{dataset}-{kind}" if len(found) > 1 else kind, kind, dataset)
        for dataset in found
        for kind in PICTURES
    ]
