"""Runs of the parts, through the training loop of every run, and their figures."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

import torch

from gpu.day import Day
from optlab.study.carried import carried
from optlab.training import loop
from optlab.training.datasets import Dataset
from optlab.training.outcome import Outcome
from optlab.training.settings import Settings

NO_GRAPH = "no CUDA graph"  # how `training.graphs` begins the line that says why


def settings(day: Day, network: str, optimizer: str, lr: float, **more: Any) -> Settings:
    """A run of the catalogue's entries on the device of the day."""
    return Settings(**carried(network, optimizer, {"lr": lr}), device=day.device, **more)


def exercise3(day: Day, epochs: int, **more: Any) -> Settings:
    """Exercise 3: the convolutional network, Adam 1e-4, batches of 50, an evaluation an epoch."""
    return settings(day, "cnn", "adam", 1e-4, batch_size=50, epochs=epochs, **more)


def one_by_one(run: Settings) -> Settings:
    """The run with its kernels launched one by one, not as a CUDA graph."""
    return replace(run, recordable=False)


def warm(run: Settings, data: Dataset, seeds: Sequence[int] = (0,)) -> None:
    """Take some steps that nobody times: libraries load their kernels at the first ones."""
    few = min(len(data.train.x), 5 * int(run.batch_size))
    loop.train(replace(run, epochs=1, epoch_examples=few), data, seeds)


def timed(
    run: Settings, data: Dataset, groups: Sequence[Sequence[int]] = ((0,),)
) -> dict[str, Any]:
    """Train groups of seeds, each group in one step; the figures of all."""

    def train() -> list[Outcome]:
        return [outcome for seeds in groups for outcome in loop.train(run, data, seeds)]

    return measured(run.device, train)


def measured(device: str, train: Callable[[], list[Outcome]]) -> dict[str, Any]:
    """The figures of what ``train`` trains: sums of the clocks, means of the last rows."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    said, start = StringIO(), time.perf_counter()
    try:
        with redirect_stdout(said):
            outcomes = train()
    finally:
        print(text := said.getvalue(), end="", flush=True)
    if device == "cuda":
        torch.cuda.synchronize()
    wall = time.perf_counter() - start
    figures = {"seconds": _sum(outcomes, "seconds"), "wall": wall, **_means(outcomes)}
    figures["evaluation_seconds"] = _sum(outcomes, "evaluation_seconds")
    if device == "cuda":
        figures["peak_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    failed = next((line for line in text.splitlines() if line.startswith(NO_GRAPH)), None)
    counts = {"runs": len(outcomes), "steps": outcomes[0].evaluations[-1].step}
    return {**counts, **rounded(figures), **({"no_graph": failed} if failed else {})}


def _sum(outcomes: Sequence[Outcome], name: str) -> float:
    return sum(getattr(outcome, name) for outcome in outcomes)


def _means(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Of the last rows: what all of them have."""
    names = ("train_loss", "val_loss", "val_accuracy", "test_accuracy", "best_test_accuracy")
    rows = [outcome.evaluations[-1] for outcome in outcomes]
    found = {name: [getattr(row, name) for row in rows] for name in names}
    means = {n: sum(v) / len(v) for n, v in found.items() if None not in v}
    steps = outcomes[0].evaluations[-1].step
    # With replicates in one step it is the step's time, shared among them.
    each = _sum(outcomes, "seconds") / len(outcomes) / max(1, steps)
    return {"step_us": 1e6 * each, **means}


def rounded(figures: dict[str, float]) -> dict[str, float | None]:
    """To six significant digits; None for what is no number."""
    return {n: float(f"{v:.6g}") if math.isfinite(v) else None for n, v in figures.items()}


def ratio(one: dict[str, Any] | None, other: dict[str, Any] | None, key: str = "seconds") -> Any:
    """How many times as long ``one`` took as ``other``; None if either failed."""
    return round(one[key] / other[key], 3) if one and other and other[key] else None
