"""Train one network with one optimizer, for one seed or several, and record the measurements.

Every option has a default, so the shortest call is just train.py. --list names the optimizers,
schedules, networks and data sets.

Examples:
  train.py --optimizer adam --epochs 50 --batch-size 64 --learning-rate 0.001
  train.py --dataset mnist --model cnn --optimizer muon --schedule cosine --seeds 3
  train.py --dataset line --model linear --lr 0.01 --batch-size full --epochs 1000
  train.py --optimizer momentum --knob momentum=0.8 --model-option hidden=[256,128]
  train.py --model my/nets.py:Tiny --optimizer my/opt.py:Sign --learning-rate 0.001

Writes metrics.tsv (a row per seed and evaluation) and run.json (settings, versions, hardware,
command, times). Seeds that are in --output already, made with exactly these settings, this code
and this data, are kept, and only the missing ones are trained.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optlab import command_line, errors, triggers
from optlab.catalogue import listing
from optlab.machine import devices, hardware, processes
from optlab.runs import metrics, record
from optlab.runs.progress import Progress
from optlab.study.run import Run
from optlab.training.checkpoints import Checkpoints, Interruption
from optlab.training.world import World


def main(words: Sequence[str] | None = None) -> int:
    started = processes.started() or hardware.process_start()
    arguments = command_line.train_parser(__doc__).parse_args(words)
    if arguments.list:
        print(listing.listing())
        return 0
    interruption = Interruption()
    job: Job | None = None
    try:
        job = Job(arguments, started)
        return job.do(sys.argv[1:] if words is None else words, interruption)
    except BaseException as error:
        symptom = processes.is_consequence(error)
        if symptom and (interruption.wanted or processes.await_the_end()):
            return 1
        message = errors.message_of(error)
        if message is None:
            if job:
                job.progress.fail(repr(error))
            raise
    if processes.is_first_to_tell():
        if job:
            job.progress.fail(message)
        errors.report(message)
    return 1


class Job:
    """One call of this program: a run, what an earlier call left of it, and the rest to train."""

    def __init__(self, arguments: argparse.Namespace, started: float):
        self.run, self.started = command_line.to_run(arguments), started
        self.output = arguments.output or Path(self.run.folder)
        self.state = Path(arguments.state or self.run.state)
        if not processes.is_member():
            devices.take_for(self.run.device, processes.processes_here(self.run.gpus))
        self.mark = fingerprint(self.run)
        self.rows, self.seeds = record.kept(self.output, self.mark, self.run.seeds)
        self.progress = Progress(self.state, self.run.seeds, self.run.epochs, len(self.seeds))

    def do(self, words: Sequence[str], interruption: Interruption) -> int:
        """Train what is missing, in as many processes as the run has; returns the exit status."""
        if len(self.seeds) == self.run.seeds:
            earlier = json.loads((self.output / "run.json").read_text(encoding="utf-8"))
            self.write({key: earlier[key] for key in _MEASURED if key in earlier})
        elif self.run.gpus > 1 and not processes.is_member():
            run = self.run
            return processes.launch(words, run.gpus, run.threads, self.state, self.started)
        else:
            self.train(interruption)
        return 0

    def train(self, interruption: Interruption) -> None:
        """Train the missing seeds; of several processes, rank 0 writes them."""
        world = processes.join(devices.resolve(self.run.device))
        done = world.follow({entry["seed"] for entry in self.seeds})
        checkpoints = Checkpoints(self.checkpoint, self.mark, interruption, world, self.started)
        with checkpoints.patience():
            results = train_seeds(self.run, self.progress, done, self.started, checkpoints, world)
            if world.rank == 0:
                self.rows += results.pop("rows")
                self.seeds += results.pop("seeds")
                self.write(results)

    def write(self, results: dict[str, Any]) -> None:
        """Write the run's two files; its progress and its checkpoint are then removed."""
        facts = {**description(self.run, self.mark), "seeds": self.seeds, **results}
        record.write(self.output, self.rows, facts)
        self.checkpoint.unlink(missing_ok=True)
        self.progress.finish()
        print(f"results: {self.output}")

    @property
    def checkpoint(self) -> Path:
        """The file in which an unfinished seed is saved."""
        return Path(f"{self.state}.pt")


# What run.json keeps of the call that trained, when a later one finds nothing to train.
_MEASURED = ("examples", "hardware", "wall", "usage", "steps")


def fingerprint(run: Run) -> str:
    """A hash of everything that the figures of the run depend on."""
    settings = {name: value for name, value in run.fields().items() if name not in _NOT_FIGURES}
    if not run.timed:  # only a clock that nothing disturbs is worth training for again
        settings.pop("timed", None)
    settings["device"] = devices.resolve(run.device)
    settings["replicates"] = "together" if at_once(run, settings["device"]) else "separate"
    code = triggers.digest("train", *run.parts)
    return record.fingerprint(settings, code, [*run.code, run.data])


_NOT_FIGURES = {"study", "seeds", "data"}


def train_seeds(
    run: Run,
    progress: Progress,
    done: set[int],
    started: float,
    checkpoints: Checkpoints,
    world: World,
) -> dict[str, Any]:
    """Train the seeds that are not done, one after another or all at once.

    Returns:
        Their rows and records, the hardware, and where the time went, in seconds.
    """
    import torch

    from optlab.training import datasets, loop

    torch.set_num_threads(run.threads)
    device = devices.resolve(run.device)
    settings = replace(run, device=device)
    data = datasets.load(Path(run.data), device)
    ready = time.time()
    checkpoints.load()
    finished = checkpoints.finished
    missing = set(range(run.seeds)) - done - {entry["seed"] for entry in finished["seeds"]}
    report = progress.update if not world.rank else _silent
    if not world.rank and run.replicates == "together" and (why := run.unstackable):
        print(f"replicates are trained one after the other: {why}", flush=True)
    for group in groups(missing, at_once(run, device), checkpoints.under_way):
        outcomes = loop.train_replicates(settings, data, group, report, checkpoints, world)
        missing -= set(group)
        rows, records = results_of(run, device, group, outcomes)
        checkpoints.finish(rows, records, last=not missing)
    wanted = set(range(run.seeds)) - done
    seeds = [entry for entry in finished["seeds"] if entry["seed"] in wanted]
    return {
        "rows": [row for row in finished["rows"] if row["seed"] in wanted],
        "seeds": seeds,
        "examples": len(data.train.x),
        **measurements(settings, data, world),
        "wall": wall(seeds, started, ready, checkpoints.spent),
    }


def wall(seeds: list[dict[str, Any]], started: float, ready: float, spent: float) -> dict:
    """Where the seconds of the job went; ``spent`` are those of interrupted calls before it."""
    return {
        "start_up": round(ready - started, 3),
        "training": round(sum(entry["seconds"] for entry in seeds), 3),
        "evaluation": round(sum(entry["evaluation_seconds"] for entry in seeds), 3),
        "total": round(time.time() - started + spent, 3),
    }


def at_once(run: Run, device: str) -> bool:
    """Whether the run's replicates are stacked and trained at once (`optlab.training.stacking`)."""
    if run.replicates == "auto":
        wanted = device == "cuda" and run.matrices
    else:
        wanted = run.replicates == "together"
    return wanted and run.unstackable is None


def groups(missing: set[int], together: bool, under_way: list[int]) -> list[list[int]]:
    """The missing seeds in the order in which they are trained, each list of them at once."""
    begun = [under_way] if under_way and missing.issuperset(under_way) else []
    rest = sorted(missing.difference(*begun))
    if together:
        return [*begun, rest] if rest else begun
    return [*begun, *([seed] for seed in rest)]


def results_of(
    run: Run, device: str, seeds: list[int], outcomes: list[Any]
) -> tuple[list[metrics.Row], list[dict[str, Any]]]:
    """The rows and the records of seeds that were trained at once."""
    trained = list(zip(seeds, outcomes, strict=True))
    rows = [
        {**record.identity(run, device, seed), **vars(row)}
        for seed, outcome in trained
        for row in outcome.evaluations
    ]
    return rows, [record.of_seed(seed, outcome, len(seeds), device) for seed, outcome in trained]


def measurements(run: Run, data: Any, world: World) -> dict[str, Any]:
    """The hardware of the run and what it used, over all of its processes."""
    steps = None
    if run.timed:
        from optlab.training import step_times

        steps = step_times.measure(run, data, world)
    usages = world.gather(hardware.usage())
    shared = processes.oversubscribed(world, run.device, run.threads)
    processes.leave(world)
    return {
        "hardware": {**hardware.hardware(run.device), "oversubscribed": shared},
        "usage": {
            "cpu_seconds": round(sum(usage["cpu_seconds"] for usage in usages), 3),
            "peak_memory_mb": max(usage["peak_memory_mb"] for usage in usages),
        },
        **({"steps": steps} if steps else {}),
    }


def _silent(seed: int, evaluation: object) -> None:
    """The report of ranks other than 0."""


def description(run: Run, mark: str) -> dict[str, Any]:
    """What ``run.json`` says of a run: its settings and the command that makes it again."""
    program = f"workflow/scripts/{Path(sys.argv[0]).name}"
    return {
        "fingerprint": mark,
        "settings": {name: value for name, value in vars(run).items() if name in _FIELDS},
        "command": shlex.join(["python", program, *run.options()]),
        "versions": hardware.versions(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


_FIELDS = set(Run.__dataclass_fields__) - {"study"}


if __name__ == "__main__":
    sys.exit(main())
