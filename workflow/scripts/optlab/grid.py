"""From a study to its run table: one `Run` for each point of each exercise's grid.

A resolved study (`optlab.study`) is a plain dictionary; its runs, their paths and the command
line of each follow from it alone. Standard library only: this is imported at every parse.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optlab import custom, models, optimizers, scaling_plan, schedules, sources

# What the digits of a run depend on. A training job lists these files as inputs, so an edit of
# one trains again; what only names, draws or summarises lives in other modules.
_MODULES = (
    *("batches", "checkpoints", "custom", "datasets", "distributed", "evaluation", "graphs"),
    *("metrics", "models", "muon", "optimizers", "precision", "replicates", "schedules"),
    *("stacking", "stepping", "training"),
)
TRAINING_CODE = ("train.py", *(f"optlab/{module}.py" for module in _MODULES))

# What settings may name besides an optimizer and its knobs.
AXES = ("dataset", "model", "batch_size", "epochs", "gpus", "schedule")

REPLICATES = ("auto", "together", "separate")

Value = Any  # a knob's value: a number, a truth value, or a list of numbers


@dataclass(frozen=True)
class Run:
    """One point of the grid, trained for every seed of the study by one job."""

    study: str
    exercise: str
    dataset: str
    data: str  # the prepared data set's JSON
    model: str
    network: str
    network_options: Mapping[str, Any]
    optimizer: str
    knobs: Mapping[str, Value]
    batch_size: int | str
    epochs: int
    gpus: int
    seeds: int
    device: str
    threads: int
    precision: str
    evaluate_every: int
    train_loss_examples: int
    schedule: str = schedules.CONSTANT
    replicates: str = "auto"  # trained together, separate, or auto: together where that is faster
    timed: bool = False  # whether its clock matters: it runs alone, and its steps are taken apart

    @cached_property
    def path(self) -> str:
        """The run's folder below ``results/<study>/runs``, in which every axis can be read.

        Its parts are wildcards, so that any executor of Snakemake can name the job: no commas,
        which separate the wildcards of ``--target-jobs``, and nothing that a shell or a scheduler
        gives a meaning to.
        """
        plan = {name: getattr(self, name) for name in ("batch_size", "epochs", "gpus")}
        if self.schedule != schedules.CONSTANT:
            plan["schedule"] = self.schedule
        return "/".join(
            (
                self.exercise,
                folder(self.optimizer),
                f"{folder(self.dataset)}+{folder(self.model)}",
                _pairs(self.shown_knobs) or "defaults",
                _pairs(plan),
            )
        )

    @cached_property
    def shown_knobs(self) -> dict[str, Value]:
        """Learning rate and momentum always, every other knob where it is not at its default."""
        entry = optimizers.OPTIMIZERS.get(self.optimizer)
        defaults = entry.knobs if entry else {}
        return {
            knob: value
            for knob, value in self.knobs.items()
            if knob in optimizers.SHOWN or knob not in defaults or value != defaults[knob]
        }

    @property
    def unstackable(self) -> str | None:
        """Why one step cannot train several replicates (`optlab.stacking`); None where it can."""
        entry = optimizers.OPTIMIZERS.get(self.optimizer)
        if self.network not in models.NETWORKS or entry is None:
            return "networks and optimizers of one's own are not known to bear it"
        if not entry.elementwise:
            return f"a step of {self.optimizer} looks at more than one weight at a time"
        if self.gpus > 1:
            return "several processes train one replicate"
        return "the clock of a timed run is that of one replicate" if self.timed else None

    @property
    def is_deterministic(self) -> bool:
        """Whether every seed gives the same figures: nothing of it is drawn at random."""
        return self.batch_size == "full" and self.network in models.CONSTANT_NETWORKS

    @property
    def folder(self) -> str:
        """The run's folder, relative to the working directory."""
        return f"results/{self.study}/runs/{self.path}"

    @property
    def state(self) -> str:
        """The file in which the run says how far it is, while it is not complete."""
        return f"results/{self.study}/state/{self.path}.json"

    @property
    def log(self) -> str:
        """The log of the run's job."""
        return f"results/{self.study}/logs/{self.path}.log"

    @property
    def tensors(self) -> str:
        """The prepared data set's tensors, beside its description."""
        return self.data.removesuffix(".json") + ".pt"

    @property
    def code(self) -> list[str]:
        """The files of the user's own that this run imports."""
        files = (custom.source_file(s) for s in (self.network, self.optimizer) if ":" in s)
        return [file for file in files if file]

    def arguments(self) -> list[str]:
        """The options of ``train.py`` that make this run again."""
        options: list[tuple[str, Any]] = [
            ("exercise", self.exercise),
            ("data", self.data),
            ("model", self.model),
            *([("network", self.network)] if self.network != self.model else []),
            *(("model-option", f"{k}={json.dumps(v)}") for k, v in self.network_options.items()),
            ("optimizer", self.optimizer),
            *(
                ("lr", v) if knob == "lr" else ("knob", f"{knob}={json.dumps(v)}")
                for knob, v in self.shown_knobs.items()
            ),
            ("batch-size", self.batch_size),
            ("epochs", self.epochs),
            ("gpus", self.gpus),
            *([("schedule", self.schedule)] if self.schedule != schedules.CONSTANT else []),
            ("seeds", self.seeds),
            ("device", self.device),
            ("threads", self.threads),
            ("precision", self.precision),
            ("evaluate-every", self.evaluate_every),
            ("train-loss-examples", self.train_loss_examples),
        ]
        # On a CPU, auto and separate are one thing, and their runs the same.
        if self.replicates == "together" or (self.replicates != "auto" and self.device != "cpu"):
            options.append(("replicates", self.replicates))
        words = [word for name, value in options for word in (f"--{name}", str(value))]
        return [*words, "--timed"] if self.timed else words


def runs(study: Mapping[str, Any]) -> list[Run]:
    """The run table of a resolved study, in the study's own order."""
    return [run for run in _grid(study) if skip_reason(run) is None]


def skipped(study: Mapping[str, Any]) -> list[tuple[Run, str]]:
    """The points of a study's grids that make no sense, each with the reason why it is left out."""
    return [(run, reason) for run in _grid(study) if (reason := skip_reason(run))]


def skip_reason(run: Run) -> str | None:
    """Why this run is left out of the run table; None where it is in it."""
    if isinstance(run.batch_size, int) and run.batch_size < run.gpus:
        return f"a batch of {run.batch_size} cannot be shared by {run.gpus} processes"
    entry = optimizers.OPTIMIZERS.get(run.optimizer)
    return entry.skip(run) if entry else None


def _grid(study: Mapping[str, Any]) -> Iterator[Run]:
    for name, exercise in study["exercises"].items():
        if exercise["kind"] == "sweep":
            yield from _sweep(study, name, exercise)
        elif scaling_plan.is_scaling(exercise):
            yield from {run.path: run for _, run in scaling_runs(study, name)}.values()


def _sweep(study: Mapping[str, Any], name: str, exercise: Mapping[str, Any]) -> Iterator[Run]:
    make = _maker(study, name, exercise)
    axes = ("datasets", "models", "batch_sizes", "epochs", "gpus", "schedules")
    replicates = exercise["replicates"]
    if replicates == "auto" and exercise["target_accuracy"] is not None:
        replicates = "separate"  # times are compared: each replicate has the device to itself
    for optimizer, grid in exercise["optimizers"].items():
        points = list(_points(grid))
        for dataset, model, batch_size, epochs, gpus, schedule in itertools.product(
            *(exercise[axis] for axis in axes)
        ):
            for knobs in points:
                yield make(
                    dataset=dataset,
                    model=model,
                    optimizer=optimizer,
                    knobs=knobs,
                    batch_size=batch_size,
                    epochs=epochs,
                    gpus=gpus,
                    schedule=schedule,
                    replicates=replicates,
                )


def scaling_runs(study: Mapping[str, Any], name: str) -> Iterator[tuple[scaling_plan.Point, Run]]:
    """The rows of a scaling exercise's table, each with its run; rows may share a run."""
    exercise = study["exercises"][name]
    make = _maker(study, name, exercise)
    (optimizer,) = exercise["optimizers"]
    for point in scaling_plan.points(exercise):
        yield point, make(optimizer=optimizer, timed=True, **point.settings)


def _maker(study: Mapping[str, Any], name: str, exercise: Mapping[str, Any]) -> Callable[..., Run]:
    """Makes runs of an exercise from what differs between them."""
    fixed = ("seeds", "device", "threads", "precision", "evaluate_every", "train_loss_examples")
    shared = {"study": study["study"], "exercise": name, **{key: exercise[key] for key in fixed}}
    data = {d: prepared(study, d) for d in exercise["datasets"]}
    networks = {model: network_of(study, model) for model in exercise["models"]}

    def make(dataset: str, model: str, **settings: Any) -> Run:
        network, options = networks[model]
        return Run(
            dataset=dataset,
            data=data[dataset],
            model=model,
            network=network,
            network_options=options,
            **settings,
            **shared,
        )

    return make


def knob_values(optimizer: str, given: Mapping[str, list[Value]]) -> dict[str, list[Value]]:
    """The values of every knob of an optimizer: those that a study gives, else its defaults."""
    entry = optimizers.OPTIMIZERS.get(optimizer)
    if entry is None:
        return dict(given)
    defaults = {knob: [canonical(value)] for knob, value in entry.knobs.items()}
    return {"lr": canonical(entry.grid), **defaults, **given}


def _points(grid: Mapping[str, list[Value]]) -> Iterator[dict[str, Value]]:
    """Every combination of the knobs' values."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def matches(run: Run, settings: Mapping[str, Value]) -> bool:
    """Whether ``settings`` (an optimizer, some knobs, some axes) describe this run."""
    axes = {name: getattr(run, name) for name in ("optimizer", *AXES)}
    known = {**axes, **run.knobs}
    return all(name in known and known[name] == value for name, value in settings.items())


def network_of(study: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """The network behind a model's name, and the options that differ from its defaults."""
    definition = dict(study["models"].get(model, {"network": model}))
    return definition.pop("network"), definition


def prepared(study: Mapping[str, Any], dataset: str) -> str:
    """Where the prepared data set lies (its JSON), relative to the working directory."""
    return sources.prepared_path(dataset, study["datasets"][dataset])


def data_arguments(study: Mapping[str, Any], dataset: str) -> list[str]:
    """The options of ``prepare_data.py`` that prepare a data set of the study."""
    definition = study["datasets"][dataset]
    options = {"name": dataset, **{key.replace("_", "-"): v for key, v in definition.items()}}
    options["archives"] = study["archives"]
    return [w for key, v in options.items() if v is not None for w in (f"--{key}", str(v))]


def text(value: Value) -> str:
    """A value as paths and tables write it: one text for each number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "_".join(map(text, value))
    # Without the plus of 1e+20, which separates the parts of a path.
    return repr(canonical(value)).replace("e+", "e") if isinstance(value, float) else str(value)


def canonical(value: Value) -> Value:
    """The same number in its one form: 1.0 is 1, and 1e-3 is 0.001."""
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def folder(name: str) -> str:
    """A name as part of a folder's name: ``own/file.py:Sign`` becomes ``own-file.py-Sign``."""
    return re.sub(r"[^\w.=-]+", "-", name)


def _pairs(values: Mapping[str, Value]) -> str:
    """Names and values as part of a path: ``lr=0.01+momentum=0.8``."""
    return "+".join(f"{folder(name)}={folder(text(value))}" for name, value in values.items())
