"""Where the time of exercise 3's step goes, by PyTorch's profiler: kernels one by one, a graph."""

import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu import images, runs
from gpu.day import Day
from optlab.training import loop
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings

LINES = 15


def measure(day: Day) -> None:
    data, run = images.random(day), runs.exercise3(day, 1)
    day.measure("kernels one by one", lambda: _profiled(day, runs.one_by_one(run), data))
    if not day.rehearsal:
        day.measure("graph", lambda: _profiled(day, run, data))


def _profiled(day: Day, run: Settings, data: Dataset) -> dict[str, Any]:
    """What takes longest in some steps, and the share of a step in which the device works."""
    trainer, steps = loop.Trainer(run, data, [0]), day.size(100, 4)
    batches = list(islice(trainer.batches.epoch(1), 2 * steps + steps // 2))
    for batch in batches[: steps // 2]:
        trainer.take(batch)
    clock = loop.Clock(trainer.device)
    with clock:
        for batch in batches[steps // 2 : steps // 2 + steps]:
            trainer.take(batch)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if day.device == "cuda" else [])]
    start = time.perf_counter()
    with profile(activities=kinds) as profiler:
        for batch in batches[-steps:]:
            trainer.take(batch)
        if day.device == "cuda":
            torch.cuda.synchronize()
    print(f"profiled in {time.perf_counter() - start:.1f} s", flush=True)
    return _read(day, profiler, clock.seconds / steps, steps)


def _read(day: Day, profiler: Any, step: float, steps: int) -> dict[str, Any]:
    """The table of a profile, printed, and its first lines as figures, per step."""
    averages = profiler.key_averages()
    gpu = day.device == "cuda"
    key = "self_device_time_total" if gpu else "self_cpu_time_total"
    print(averages.table(sort_by=key, row_limit=LINES, max_name_column_width=60), flush=True)
    # An operation counts the time of its kernels, which have lines of their own, too.
    kernels = [one for one in averages if one.device_type == DeviceType.CUDA]
    busy = sum(one.self_device_time_total for one in kernels) / steps
    figures = {"step_us": 1e6 * step, "device_us": busy, "busy": busy / (1e6 * step)}
    found = {"on the processor": _longest(averages, "self_cpu_time_total", steps)}
    if gpu:
        found["on the device"] = _longest(kernels, "self_device_time_total", steps)
    return {**runs.rounded(figures), **found}


def _longest(events: Iterable[Any], key: str, steps: int) -> list[dict[str, Any]]:
    """What takes longest: microseconds and calls of a step."""
    first = sorted(events, key=lambda one: getattr(one, key), reverse=True)[:LINES]
    return [
        {
            "name": one.key[:80],
            "us": round(getattr(one, key) / steps, 2),
            "calls": one.count / steps,
        }
        for one in first
    ]
