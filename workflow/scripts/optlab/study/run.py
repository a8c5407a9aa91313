"""A run: one point of an exercise's grid, which one job trains for every seed."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optlab import custom, triggers, values
from optlab.catalogue import augmentations, axes, networks, optimizers, schedules
from optlab.catalogue.optimizers import Use
from optlab.custom import reach
from optlab.data import identity
from optlab.training.settings import USUAL, Settings

# What settings in a study may name besides an optimizer and its knobs.
AXES = ("dataset", "model", "batch_size", "epochs", "gpus", *axes.AXES)

BY_HAND = "by-hand"  # in the place of a study's name: runs without one

REPLICATES = ("auto", "together", "separate")

# Seeds from here on confirm a result. Those of tuning end below: the schema's maximum of `seeds`.
CONFIRMATION = 100_000


@dataclass(frozen=True, kw_only=True)
class Run(Settings):
    """The settings of a run, and its place in a study.

    Attributes:
        study, exercise, dataset, model: names in the study.
        data: the description (JSON) of the prepared data set.
        network, optimizer: names in the catalogue, or the user's own code.
        knobs: every hyperparameter of the optimizer.
        schedule: of the learning rate, in the form of `schedules.text`.
        gpus: number of processes that train one replicate together.
        seeds: number of replicates.
        first_seed: the seed of the first replicate; the others follow.
        threads: CPU threads of each process.
        replicates: trained together, separate, or (auto) together where that is faster.
        log_to: tensorboard, which also gets the metrics; None for metrics.tsv alone.
    """

    study: str
    exercise: str
    dataset: str
    data: str
    model: str
    network: str
    optimizer: str
    knobs: Mapping[str, Any]
    schedule: str = schedules.CONSTANT
    gpus: int = 1
    seeds: int = 1
    first_seed: int = 0
    threads: int = 1
    replicates: str = "auto"
    log_to: str | None = None

    @cached_property
    def path(self) -> str:
        """The run's folder below that of all runs (see `folder`), in which every axis can be read.

        Its parts are wildcards, and every executor of Snakemake must be able to name the job: no
        commas, which separate the wildcards of ``--target-jobs``, and nothing that has a meaning
        to a shell or a scheduler.
        """
        names = ("batch_size", "gpus") if self.minutes else ("batch_size", "epochs", "gpus")
        plan = {**{name: getattr(self, name) for name in names}, **self.changed}
        if self.study == BY_HAND:  # an exercise has one of each
            named = {"loss": (self.loss, None), "precision": (self.precision, "float32")}
            plan |= {key: value for key, (value, usual) in named.items() if value != usual}
        optimizer = values.folder(self.optimizer)
        problem = f"{values.folder(self.dataset)}+{values.folder(self.model)}"
        knobs = values.pairs(self.shown_knobs) or "defaults"
        return f"{self.exercise}/{optimizer}/{problem}/{knobs}/{values.pairs(plan)}"

    @property
    def unit(self) -> str:
        """The part of its path that all runs of its optimizer on its problem have in common."""
        return self.path.rsplit("/", 2)[0]

    @property
    def seed_numbers(self) -> range:
        """The seeds of its replicates."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def confirms(self) -> bool:
        """Whether its seeds are those of confirmation, whose files lie apart from other runs'."""
        return self.first_seed >= CONFIRMATION

    @property
    def folder(self) -> str:
        """The run's folder, relative to the working directory."""
        return f"results/{self.study}/{'confirm' if self.confirms else 'runs'}/{self.path}"

    @property
    def state(self) -> str:
        """The file in which an unfinished run reports its progress."""
        return f"results/{self.study}/state/{self._part}{self.path}.json"

    @property
    def log(self) -> str:
        """The log of the run's job."""
        return f"results/{self.study}/logs/{self._part}{self.path}.log"

    @property
    def _part(self) -> str:
        return "confirm/" if self.confirms else ""

    @property
    def tensors(self) -> str:
        """The tensors of the prepared data set."""
        return identity.tensors(self.data)

    @property
    def shown_knobs(self) -> dict[str, Any]:
        """The knobs that paths and tables show."""
        return optimizers.shown(self.optimizer, self.knobs)

    @property
    def axes(self) -> dict[str, Any]:
        """What it varies beside data, network, optimizer and knobs (`optlab.catalogue.axes`)."""
        return {name: getattr(self, name) for name in axes.AXES}

    @property
    def changed(self) -> dict[str, Any]:
        """Its `axes` that are not at their default, which paths and tables show."""
        return axes.changed(self.axes)

    @property
    def length(self) -> str:
        """How long it trains, in words."""
        if self.minutes:
            return values.counted(self.minutes, "minute")
        return values.counted(self.epochs, "epoch")

    @property
    def code(self) -> list[str]:
        """The user's own files that this run imports, and those that they import in turn."""
        return reach.files(self.specs)

    @property
    def parts(self) -> list[str]:
        """The files of this package that this run imports and others may not."""
        return triggers.module_files(self.specs)

    @property
    def unstackable(self) -> str | None:
        """Why one step cannot train several replicates (`training.stacking`); None where it can."""
        if custom.is_custom(self.network) or custom.is_custom(self.optimizer):
            return "networks and optimizers of one's own are not known to bear it"
        if self.loss and custom.is_custom(self.loss):
            return "losses of one's own are not known to bear it"
        if not self.elementwise:
            return f"a step of {self.optimizer} looks at more than one weight at a time"
        if not networks.of(self.network).stackable:
            return f"PyTorch does not stack the layers of {self.network}"
        if self.gpus > 1:
            return "several processes train one replicate"
        if self.varies_examples:
            return "its seeds train on different examples"
        if reasons := [axes.AXES[name].alone for name in self.changed if axes.AXES[name].alone]:
            return reasons[0]
        return "the clock of a timed run is that of one replicate" if self.timed else None

    @property
    def is_deterministic(self) -> bool:
        """Whether every seed gives the same figures, since what it varies makes no difference."""
        # Full batches are in stored order; what a network draws in training goes with the order.
        draws = custom.is_custom(self.network) or bool(self.network_options.get("dropout"))
        draws = draws or self.augment != augmentations.NONE
        same_order = "order" not in self.vary or (self.batch_size == "full" and not draws)
        same_weights = "weights" not in self.vary or self.constant
        return same_order and same_weights and not self.varies_examples

    @property
    def skip_reason(self) -> str | None:
        """Why this run is left out of the run table; None where it is in it."""
        if isinstance(self.batch_size, int) and self.batch_size < self.gpus:
            return f"a batch of {self.batch_size} cannot be shared by {self.gpus} processes"
        if self.minutes and self.schedule != schedules.CONSTANT:
            return "a schedule needs the number of steps, which minutes do not give"
        use = Use(self.network, self.network_options, self.batch_size, self.schedule, self.changed)
        return optimizers.of(self.optimizer).cannot(use)

    def matches(self, settings: Mapping[str, Any]) -> bool:
        """Whether ``settings`` (an optimizer, some knobs, some axes) describe this run."""
        places = {name: getattr(self, name) for name in ("optimizer", *AXES)}
        return settings.items() <= {**places, **self.knobs}.items()

    def fields(self) -> dict[str, Any]:
        """Its fields that differ from their defaults, so that a new field changes no old run."""
        found = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: value for field, value in found if value != _default(field)}

    def text(self) -> str:
        """The run as ``train.py`` reads it; Snakemake compares this text with the last call's."""
        return json.dumps(self.fields(), sort_keys=True)

    def options(self) -> list[str]:
        """The options of ``train.py`` with which a person makes this run again."""
        defaults = networks.of(self.network).options
        changed = {k: v for k, v in self.network_options.items() if v != defaults.get(k)}
        options: list[tuple[str, Any]] = [
            ("exercise", self.exercise),
            ("data", self.data),
            ("model", self.model),
            *([("network", self.network)] if self.network != self.model else []),
            *(("model-option", f"{k}={json.dumps(v)}") for k, v in changed.items()),
            ("optimizer", self.optimizer),
            *(
                ("lr", v) if knob == "lr" else ("knob", f"{knob}={json.dumps(v)}")
                for knob, v in self.shown_knobs.items()
            ),
        ]
        if list(self.vary) != list(USUAL):
            options.append(("vary", ",".join(self.vary)))
        if self.metrics is not None:
            options.append(("metrics", ",".join(self.metrics)))
        always = ("batch_size", "epochs", "gpus", "seeds", "device", "threads", "precision")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "epochs" and self.minutes:
                continue
            if field.name in always or (field.name in _OPTIONS and value != _default(field)):
                options.append((field.name.replace("_", "-"), value))
        words = [word for name, value in options for word in (f"--{name}", str(value))]
        flags = ("sync_batch_norm", "timed")
        return [*words, *(f"--{f.replace('_', '-')}" for f in flags if getattr(self, f))]


# Options of `train.py` that are named where they are not at their default.
_OPTIONS = (
    *(*axes.AXES, "first_seed", "evaluate_every", "train_loss_examples", "replicates"),
    *("subset", "subset_validation", "loss", "keep_weights", "log_to"),
)


def _default(field: dataclasses.Field) -> Any:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()
