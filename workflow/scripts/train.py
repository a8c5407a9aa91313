"""Train one network with one optimizer, for one seed or several, and record how it went.

Everything has a default, so the shortest call is just train.py. Optimizers, schedules, networks
and data sets are listed by --list.

Examples:
  train.py --optimizer adam --epochs 50 --batch-size 64 --learning-rate 0.001
  train.py --dataset mnist --model cnn --optimizer muon --schedule cosine --seeds 3
  train.py --dataset line --model linear --lr 0.01 --batch-size full --epochs 1000
  train.py --optimizer momentum --knob momentum=0.8 --model-option hidden=[256,128]
  train.py --model my/nets.py:Tiny --optimizer my/opt.py:Sign --learning-rate 0.001

Writes metrics.tsv (a row per seed and evaluation) and run.json (settings, versions, hardware,
command, times). Seeds that lie in --output already, made with exactly these settings, this code
and this data, are kept, and only the missing ones are trained.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import (
    command_line,
    devices,
    distributed,
    errors,
    grid,
    metrics,
    models,
    record,
    schedules,
)
from optlab.checkpoints import Checkpoints, Interruption
from optlab.distributed import World
from optlab.errors import UserError
from optlab.progress import Progress

HERE = Path(__file__).parent


def main(words: Sequence[str] | None = None) -> int:
    started = distributed.started() or record.process_start()
    arguments = command_line.parser(__doc__).parse_args(words)
    if arguments.list:
        print(command_line.listing())
        return 0
    interruption = Interruption()
    job: Job | None = None
    try:
        job = Job(arguments, started)
        return job.do(sys.argv[1:] if words is None else words, interruption)
    except UserError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "interrupted"
    except OSError as error:
        message = f"{error.filename or 'results'}: {error.strerror}"
    except BaseException as error:
        consequence = distributed.is_consequence(error)
        if consequence and (interruption.wanted or distributed.await_the_end()):
            return 1
        if not errors.is_out_of_memory(error):
            if job:
                job.progress.fail(repr(error))
            raise
        message = f"not enough memory: {str(error).partition(chr(10))[0] or repr(error)}"
    if distributed.is_first_to_tell():
        if job:
            job.progress.fail(message)
        print(f"error: {message}", file=sys.stderr)
    return 1


class Job:
    """One call of this program: a run, what is there of it, and where the rest goes."""

    def __init__(self, arguments: argparse.Namespace, started: float):
        self.run, self.started = command_line.to_run(arguments), started
        self.output = arguments.output or Path(self.run.folder)
        self.state = Path(arguments.state or self.run.state)
        if not distributed.is_member():
            devices.take_for(self.run.device, distributed.processes_here(self.run.gpus))
        self.mark = fingerprint(self.run)
        self.rows, self.seeds = record.kept(self.output, self.mark, self.run.seeds)
        self.progress = Progress(self.state, self.run.seeds, self.run.epochs, len(self.seeds))

    def do(self, words: Sequence[str], interruption: Interruption) -> int:
        """Train what is missing, in as many processes as the run has; the exit status."""
        if len(self.seeds) == self.run.seeds:
            earlier = json.loads((self.output / "run.json").read_text(encoding="utf-8"))
            self.write({key: earlier[key] for key in _MEASURED if key in earlier})
        elif self.run.gpus > 1 and not distributed.is_member():
            run = self.run
            return distributed.launch(words, run.gpus, run.threads, self.state, self.started)
        else:
            self.train(interruption)
        return 0

    def train(self, interruption: Interruption) -> None:
        """Train the missing seeds; the first of several processes writes them."""
        world = distributed.join(devices.resolve(self.run.device))
        done = world.follow({entry["seed"] for entry in self.seeds})
        checkpoints = Checkpoints(self.checkpoint, self.mark, interruption, world, self.started)
        with checkpoints.patience():
            results = train_seeds(self.run, self.progress, done, self.started, checkpoints, world)
            if world.rank == 0:
                self.rows += results.pop("rows")
                self.seeds += results.pop("seeds")
                self.write(results)

    def write(self, results: dict[str, Any]) -> None:
        """The run's two files, after which nothing of how far it was is of interest."""
        facts = {**description(self.run, self.mark), "seeds": self.seeds, **results}
        record.write(self.output, self.rows, facts)
        self.checkpoint.unlink(missing_ok=True)
        self.progress.finish()
        print(f"results: {self.output}")

    @property
    def checkpoint(self) -> Path:
        """Where a seed on its way is saved."""
        return Path(f"{self.state}.pt")


# What run.json keeps of the call that trained, when a later one finds nothing to train.
_MEASURED = ("examples", "hardware", "wall", "usage", "steps")


def fingerprint(run: grid.Run) -> str:
    """What the digits of the run depend on, as one text."""
    code = [HERE / name for name in grid.TRAINING_CODE]
    settings = {name: value for name, value in vars(run).items() if name not in _NOT_DIGITS}
    if not run.timed:  # a clock that nothing disturbed is worth training for again, no other is
        del settings["timed"]
    if run.device == "auto":
        settings["device"] = devices.resolve(run.device)
    settings["replicates"] = "together" if at_once(run, settings["device"]) else "separate"
    return record.fingerprint(settings, [*code, *run.code, run.data])


_NOT_DIGITS = {"study", "seeds", "data", "path", "shown_knobs"}


def train_seeds(
    run: grid.Run,
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

    from optlab import datasets, training

    torch.set_num_threads(run.threads)
    device = devices.resolve(run.device)
    data = datasets.load(Path(run.data), device)
    settings = settings_of(run, device)
    ready = time.time()
    checkpoints.load()
    finished = checkpoints.finished
    known = done | {entry["seed"] for entry in finished["seeds"]}
    missing = set(range(run.seeds)) - known
    report = progress.update if not world.rank else _silent
    if not world.rank and run.replicates == "together" and (why := run.unstackable):
        print(f"replicates are trained one after the other: {why}", flush=True)
    for group in groups(missing, at_once(run, device), checkpoints.under_way):
        outcomes = training.train_replicates(settings, data, group, report, checkpoints, world)
        missing -= set(group)
        rows, records = results_of(run, device, group, outcomes)
        checkpoints.finish(rows, records, last=not missing)
    fresh = set(range(run.seeds)) - done
    seeds = [entry for entry in finished["seeds"] if entry["seed"] in fresh]
    wanted = {entry["seed"] for entry in seeds}
    return {
        "rows": [row for row in finished["rows"] if row["seed"] in wanted],
        "seeds": seeds,
        "examples": len(data.train.x),
        **measurements(run, device, settings, data, world),
        "wall": {
            "start_up": round(ready - started, 3),
            "training": round(sum(entry["seconds"] for entry in seeds), 3),
            "evaluation": round(sum(entry["evaluation_seconds"] for entry in seeds), 3),
            "total": round(time.time() - started + checkpoints.spent, 3),
        },
    }


def at_once(run: grid.Run, device: str) -> bool:
    """Whether the run's replicates are trained at once, stacked: see `optlab.stacking`."""
    if run.replicates == "auto":
        wanted = device == "cuda" and run.network in models.MATRIX_NETWORKS
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
    run: grid.Run, device: str, seeds: list[int], outcomes: list[Any]
) -> tuple[list[metrics.Row], list[dict[str, Any]]]:
    """The rows and records of seeds that were trained at once."""
    trained = list(zip(seeds, outcomes, strict=True))
    rows = [
        {**identity(run, device, seed), **vars(row)}
        for seed, outcome in trained
        for row in outcome.evaluations
    ]
    return rows, [record.of_seed(seed, outcome, len(seeds), device) for seed, outcome in trained]


def measurements(run: grid.Run, device: str, settings: Any, data: Any, world: World) -> dict:
    """What the run was made on and what it used, over all of its processes."""
    steps = None
    if run.timed:
        from optlab import step_times

        steps = step_times.measure(settings, data, world)
    usages = world.gather(record.usage())
    shared = distributed.oversubscribed(world, device, run.threads)
    distributed.leave(world)
    return {
        "hardware": {**record.hardware(device), "oversubscribed": shared},
        "usage": {
            "cpu_seconds": round(sum(usage["cpu_seconds"] for usage in usages), 3),
            "peak_memory_mb": max(usage["peak_memory_mb"] for usage in usages),
        },
        **({"steps": steps} if steps else {}),
    }


def _silent(seed: int, evaluation: object) -> None:
    """What a process other than the first one tells."""


def settings_of(run: grid.Run, device: str) -> Any:
    """The run as `optlab.training` takes it."""
    from optlab import training

    names = training.Settings.__dataclass_fields__
    shared = {name: getattr(run, name) for name in names if hasattr(run, name)}
    return training.Settings(**{**shared, "device": device})


def identity(run: grid.Run, device: str, seed: int) -> metrics.Row:
    """The columns of a row that name its run and seed."""
    knobs = {name: grid.text(value) for name, value in run.shown_knobs.items()}
    if run.schedule != schedules.CONSTANT:
        knobs["schedule"] = run.schedule
    return {
        "exercise": run.exercise,
        "dataset": run.dataset,
        "model": run.model,
        "optimizer": run.optimizer,
        "batch_size": run.batch_size,
        "gpus": run.gpus,
        "device": device,
        "seed": seed,
        **knobs,
    }


def description(run: grid.Run, mark: str) -> dict[str, Any]:
    """What ``run.json`` says of a run: its settings and the command that makes it again."""
    program = Path(sys.argv[0]).name
    command = shlex.join(["python", f"workflow/scripts/{program}", *run.arguments()])
    settings = {k: v for k, v in vars(run).items() if k not in ("study", "path", "shown_knobs")}
    return {
        "fingerprint": mark,
        "settings": settings,
        "command": command,
        "versions": record.versions(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


if __name__ == "__main__":
    sys.exit(main())
