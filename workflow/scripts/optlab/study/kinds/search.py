"""A search: Optuna chooses what to train next, separately for each data set."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optlab import files, triggers
from optlab.catalogue import networks, tasks
from optlab.catalogue.knobs import FLAG, whole
from optlab.data import identity, known
from optlab.errors import DamagedError, Mistake, UserError, allowed, below, show
from optlab.study import misfits, names, space
from optlab.study.carried import carried
from optlab.study.claims import searches as claims
from optlab.study.run import Run

TABLES = {"trials": "trials of the searches", "search": "searches", "claims": "claims"}

# Options with their defaults, named as in Optuna. Those without a rule are whole numbers from 0 up.
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
RULES = {
    **dict.fromkeys(("multivariate", "group"), FLAG),
    **dict.fromkeys(("interval_steps", "n_min_trials"), whole(1)),
    "n_ei_candidates": whole(1, 100_000),
    "min_early_stopping_rate": whole(0, 100),
    "min_resource": whole(1),
    "reduction_factor": whole(2),
}

# What trials.json says of a trial.
TRIAL = {"number", "state", "status", "value", "val_loss", "val_accuracy", "epochs", "seconds"}
TRIAL |= {"worker", "host", "parameters", "intermediate"}

# Keys of the section on which the retraining does not depend, and those on which no trial does.
NOT_RETRAINING = ("title", "workers", "claims")
NOT_TRIALS = (*NOT_RETRAINING, "seeds", "retrain", "retrain_pruned")


@dataclass(frozen=True)
class Search:
    """One Optuna study: a search exercise on one of its data sets."""

    study: str
    exercise: str
    dataset: str
    data: str  # the description (JSON) of the prepared data set
    network: str
    space: space.Space
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
    title: str = ""
    workers: int = 1
    seeds: int = 1
    retrain: str = "budget"
    retrain_pruned: int = 0

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
        """The tensors of the prepared data set."""
        return identity.tensors(self.data)

    @property
    def maximize(self) -> bool:
        """Whether a higher value is better."""
        return self.metric.endswith("accuracy")

    def worker_files(self) -> list[str]:
        """The records that the workers write."""
        return [f"{self.folder}/worker-{number}.json" for number in range(self.workers)]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The entries of the catalogue that its trials use: see `study.run.carried`."""
        choices = self.space["optimizer"]["choices"]
        return [carried(self.network, name, {}) for name in choices]

    @property
    def parts(self) -> list[str]:
        """The files in `optlab.parts` that its trials use."""
        specs = [e[key] for e in self.entries for key in ("network_builder", "optimizer_class")]
        return triggers.module_files(specs)

    def journal(self) -> Path:
        """The file of the trials; its name depends on space, budget, data set and code."""
        leave = {*NOT_TRIALS, "trials", "study", "exercise", "dataset", "data"}
        settings = {key: value for key, value in vars(self).items() if key not in leave}
        settings |= {"data": Path(self.data).name, "entries": self.entries}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(triggers.digest("search_worker", *self.parts).encode())
        return Path(self.folder, f"journal-{digest.hexdigest()[:12]}.log")


def searches(study: Mapping[str, Any], name: str) -> list[Search]:
    """The searches of an exercise, one for each data set."""
    exercise = study["exercises"][name]
    other = ("kind", "title", "datasets", "claims")
    settings = {k: v for k, v in exercise.items() if k not in other}
    return [
        Search(
            study=study["study"],
            exercise=name,
            title=exercise.get("title", name),
            dataset=dataset,
            data=identity.prepared_path(dataset, study["datasets"][dataset]),
            **settings,
        )
        for dataset in exercise["datasets"]
    ]


def every(study: Mapping[str, Any]) -> list[Search]:
    """All searches of a resolved study, in its order."""
    found = [name for name, one in study["exercises"].items() if one["kind"] == "search"]
    return [search for name in found for search in searches(study, name)]


def fill(exercise: dict[str, Any]) -> None:
    """Fill in the options of the sampler and the pruner."""
    for part, table in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        exercise[part] = {**table.get(exercise[part]["name"], {}), **exercise[part]}


def mistakes(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """Unknown names, wrong options, and keys that contradict each other."""
    network, found = exercise["network"], []
    if network in networks.NETWORKS:
        found = list(space.mistakes(exercise["space"], network))
        yield from below(("space",), found)
    else:
        message = f"unknown network {show(network)}; {allowed(network, networks.NETWORKS)}"
        yield ("network",), message
    yield from _options("sampler", exercise["sampler"], SAMPLERS)
    yield from _options("pruner", exercise["pruner"], PRUNERS)
    if exercise["sampler"].get("group") is True and not exercise["sampler"].get("multivariate"):
        yield ("sampler", "group"), "needs multivariate: true beside it"
    resource = exercise["pruner"].get("min_resource", 1)
    if isinstance(resource, int) and resource > exercise["epochs"]:
        yield ("pruner", "min_resource"), f"{resource} is more than the {exercise['epochs']} epochs"
    if exercise["batch_size"] == "full" and exercise["epoch_examples"] is not None:
        yield ("epoch_examples",), "a full batch is the whole training set; leave one of the two"
    if network in networks.NETWORKS and not found:
        yield from below(("space",), space.useless(exercise))
        for number, dataset in enumerate(exercise["datasets"]):
            for key, message in _unfit(study, dataset, exercise):
                yield (*key, number) if key == ("datasets",) else key, f"{show(dataset)} {message}"


def _unfit(
    study: Mapping[str, Any], dataset: str, exercise: Mapping[str, Any]
) -> Iterator[Mistake]:
    """Why a search cannot use a data set, unless that has a mistake of its own."""
    if (task := names.task(study, dataset)) is None:
        return
    definition, drawn = study["datasets"][dataset], exercise["space"]
    training, validation = known.sizes(definition)
    if not validation:
        yield ("datasets",), "has no validation examples, on which a search must judge its trials"
        return
    if task != tasks.CLASSIFICATION and exercise["metric"] == "val_accuracy":
        yield ("datasets",), "has no classes, so no accuracy; use metric: val_loss"
    sizes = space.extremes(drawn, "batch_size", exercise["batch_size"])
    wanted = {
        ("validation_examples",): (exercise["validation_examples"], validation, "validation"),
        ("epoch_examples",): (exercise["epoch_examples"], training, "training"),
        ("space", "batch_size") if "batch_size" in drawn else ("batch_size",): (
            max((size for size in sizes if size != "full"), default=0),
            training,
            "training",
        ),
    }
    for key, (asked, there, kind) in wanted.items():
        if (asked or 0) > there:
            yield key, f"has {there} {kind} examples, and {asked} are asked for"
    shape = known.source(definition).shape
    options = space.largest(drawn, exercise["network"])
    reasons = (networks.unfit(exercise["network"], one, shape, task) for one in options)
    if reason := next(filter(None, reasons), None):
        yield ("datasets",), f"does not fit: {reason}"
    for place, reason in misfits.of_space(drawn, definition):
        yield ("space", *place), f"does not fit: {reason}"


def _options(kind: str, given: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[Mistake]:
    """Mistakes of a sampler or pruner whose options are in this table."""
    name = given["name"]
    if name not in table:
        yield (kind, "name"), f"unknown {kind} {show(name)}; {allowed(name, table)}"
        return
    known = ["name", *table[name]]
    for option, value in given.items():
        if option not in known:
            message = f"the {kind} {name} has no option '{option}'"
            yield (kind, option), f"{message}; {allowed(option, known)}"
        elif option != "name" and (reason := RULES.get(option, whole(0)).refuses(value)):
            yield (kind, option), f"{show(value)} is not allowed; {reason}"


def run_mistakes(exercise: Mapping[str, Any], runs: Sequence[Run]) -> Iterator[Mistake]:
    """What it claims has to be in its space: a search has no runs."""
    yield from below(("claims",), claims.mistakes(exercise))


def runs(study: Mapping[str, Any], name: str) -> list[Run]:
    """None: the trials are not known before the search ends."""
    return []


def results(study: Mapping[str, Any], name: str) -> list[str]:
    """The trials of its searches, and the metrics of the retraining."""
    found = [search.folder for search in searches(study, name)]
    return [f"{folder}/{file}" for folder in found for file in ("trials.json", "best/metrics.tsv")]


def finished(search: Search) -> dict[str, Any]:
    """The content of ``trials.json`` of a finished search.

    Raises:
        UserError: the search has not finished, or the file is damaged.
    """
    file = Path(search.folder, "trials.json")
    try:
        found = files.read_json(file)
        numbers = {trial["number"] for trial in found["trials"] if trial.keys() >= TRIAL}
        again = {entry["number"] for entry in found["retrained_pruned"]}
        if len(numbers) < len(found["trials"]) or not {found["best"], *again} <= {None, *numbers}:
            raise ValueError("incomplete")
        return found
    except FileNotFoundError:
        raise UserError(f"the search has not finished: there is no {file}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{file}: damaged", [file]) from error


def statistics(found: Mapping[str, Any]) -> str:
    """The trials in the ``trials.json`` of a finished search and the best one, in one line."""
    trials = found["trials"]
    count = Counter(
        "diverged" if one["status"] == "diverged" else str(one["state"]) for one in trials
    )
    ended = len(trials) - count["failed"]
    parts = [f"{count[state]} {state}" for state in ("complete", "pruned", "diverged", "failed")]
    text = f"{ended} trials finished ({', '.join(parts)})"
    best = next((one for one in trials if one["number"] == found["best"]), None)
    if best is None:
        return f"{text}; none came to its end"
    values = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in best["parameters"].items()}
    parameters = ", ".join(f"{name} {value}" for name, value in values.items())
    return (
        f"{text}; best {found['metric']} {best['value']:.4g} (trial {best['number']}: {parameters})"
    )
