"""What a timed run says: its clock, where the time went, and on what machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from optlab.errors import UserError
from optlab.results import reading, summary
from optlab.results.comparison import first_hit
from optlab.study.run import Run

# What a step consists of, each measured by itself; what is left of the step is `other`.
PARTS = ("data", "forward_backward", "communication", "optimizer")
OTHER = "other"
WALL = ("start_up", "training", "evaluation", "total")


@dataclass(frozen=True)
class Spread:
    """A median over the measured steps, and the quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Timed:
    """One run of a scaling exercise.

    Attributes:
        summary: its figures over the seeds.
        curves: its evaluations, seed by seed.
        hardware: for each seed the name of the GPU that trained it, else of the processor.
        oversubscribed: whether processes share cores or a device.
        examples: of the training set.
        seconds: seed -> training clock, of the seeds that did not diverge.
        step: seconds of a step; None where no step was measured.
        shares: what the time of a step goes to, in parts of 1; empty where none was measured.
        wall: seconds of the job that trained last: start_up (until the first seed begins),
            training, evaluation, and total; of the seeds that it did not find there already.
        evaluation_seconds: of one evaluation.
        memory, gpu_memory: the peak of the largest process on the host, and of the device, in MB.
    """

    summary: pd.Series
    curves: Sequence[reading.Curve]
    hardware: tuple[str, ...]
    oversubscribed: bool
    examples: int
    seconds: Mapping[int, float]
    step: Spread | None
    shares: Mapping[str, float]
    wall: Mapping[str, float]
    evaluation_seconds: float
    memory: float | None
    gpu_memory: float | None

    @property
    def run(self) -> Run:
        return self.summary["run"]

    @property
    def machines(self) -> tuple[str, ...]:
        """What times must have in common to be compared, which they are seed by seed."""
        return self.summary["device"], *self.hardware

    @cached_property
    def rates(self) -> dict[int, float]:
        """Seed -> examples a second of the training clock."""
        return {seed: self.run.epochs * self.examples / s for seed, s in self.seconds.items()}

    def to_target(self, accuracy: float) -> list[float]:
        """Seconds of training of each seed that reaches a validation accuracy."""
        return [hit[1] for curve in self.curves if (hit := first_hit(curve, accuracy))]


def read(run: Run) -> Timed:
    """What a finished run says.

    Raises:
        UserError: the run has not been trained, or its files are not those of this program.
    """
    row, curves = summary.summarise([run]).iloc[0], reading.curves(run)
    file = Path(run.folder, "run.json")
    record = _load(file)
    try:
        hardware = record["hardware"]
        step, shares = _parts(record.get("steps") or {})
        return Timed(
            summary=row,
            curves=curves,
            hardware=_hardware(record["seeds"], run.seeds),
            oversubscribed=bool(hardware.get("oversubscribed")),
            examples=record["examples"],
            seconds={c.seed: float(c.seconds[-1]) for c in curves if not c.diverged},
            step=step,
            shares=shares,
            wall={name: record["wall"][name] for name in WALL},
            evaluation_seconds=_evaluation_seconds(record, curves),
            memory=record["usage"].get("peak_memory_mb"),
            gpu_memory=hardware.get("gpu_peak_memory_mb"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: lacks {error}; remove it and train this run again") from error


def _parts(steps: Mapping[str, Any]) -> tuple[Spread | None, dict[str, float]]:
    """The time of a step, and its shares, which sum to 1.

    Each part is timed by itself: communication, a difference, may have a median below zero, which
    counts as zero, and together they may be more than the step, which they then divide.
    """
    if not steps.get("step"):
        return None, {}
    step = Spread(**{name: steps["step"][name] for name in ("median", "low", "high")})
    seconds = {name: max(0.0, steps[name]["median"]) for name in PARTS}
    seconds[OTHER] = max(0.0, step.median - sum(seconds.values()))
    whole = sum(seconds.values()) or 1.0
    return step, {name: value / whole for name, value in seconds.items()}


def _hardware(entries: Sequence[Mapping[str, Any]], seeds: int) -> tuple[str, ...]:
    """What trained each of the study's seeds; an earlier call may have been on another machine."""
    found = {entry["seed"]: entry["hardware"] for entry in entries}
    return tuple(found[seed] for seed in range(seeds))


def _evaluation_seconds(record: Mapping[str, Any], curves: Sequence[reading.Curve]) -> float:
    """Seconds of one evaluation, over all of the study's seeds."""
    took = {entry["seed"]: entry["evaluation_seconds"] for entry in record["seeds"]}
    return sum(took[c.seed] for c in curves) / sum(len(c.epoch) for c in curves)


def _load(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; has this run been trained?") from error
    except ValueError as error:
        raise UserError(f"{file}: not a file of this program; remove it and run again") from error
    if not isinstance(found, dict):
        raise UserError(f"{file}: not a file of this program; remove it and run again")
    return found
