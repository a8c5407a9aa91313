"""Train one network with one optimizer, for one seed or several, and record the measurements.

Every option has a default, so the shortest call is just train.py. --list names the optimizers,
schedules, networks and data sets.

Examples:
  train.py --optimizer adam --epochs 50 --batch-size 64 --learning-rate 0.001
  train.py --dataset MNIST --model CNN --optimizer Muon --schedule cosine --seeds 3
  train.py --dataset line --model linear --lr 0.01 --batch-size full --epochs 1000
  train.py --optimizer adamw --weight-decay 0.1 --betas 0.9,0.99 --model-option hidden=[256,128]
  train.py --model my/nets.py:Tiny --optimizer my/opt.py:Sign --learning-rate 0.001 --knob scale=2

Writes metrics.tsv (a row per seed and evaluation) and run.json (settings, versions, hardware,
command, times). Seeds in --output that were trained with exactly these settings, this code and
this data are kept, also more than are asked for, and only the missing ones are trained.
"""

import argparse
import dataclasses
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import command_line, errors, files, locks, triggers
from optlab.catalogue import listing
from optlab.machine import devices, hardware, owner, processes
from optlab.runs import failures, metrics, notes, record, weights
from optlab.runs.events import Events
from optlab.runs.failures import RunFailed
from optlab.runs.progress import Progress
from optlab.study.run import Run
from optlab.training.checkpoints import Checkpoints, Interruption
from optlab.training.world import World


@errors.in_one_line
def main(words: Sequence[str] | None = None) -> int:
    started = processes.started() or hardware.process_start()
    arguments = command_line.train_parser(__doc__).parse_args(words)
    if arguments.list:
        print(listing.listing())
        return 0
    interruption = Interruption()
    interruption.listen()
    if not processes.is_member():
        owner.follow()
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
        own = isinstance(error, RunFailed)
    finally:
        locks.release()
    if processes.is_first_to_tell():
        if job:
            job.progress.fail(message)
        errors.report(message)
    return failures.EXIT if own and processes.is_member() else 1


class Job:
    """One call of this program: a run, all seeds of it that are complete, and the rest to train."""

    def __init__(self, arguments: argparse.Namespace, started: float):
        self.run, self.started = command_line.to_run(arguments), started
        self.records_failure = arguments.record_failure
        self.output = arguments.output or Path(self.run.folder)
        self.state = Path(arguments.state or self.run.state)
        self.checkpoint = Path(f"{self.state}.pt")
        if processes.is_first():  # a call that was killed may have left one that goes on
            locks.take(Path(f"{self.state}.lock"), "trains this run")
        if not processes.is_member():
            written = (self.output / "metrics.tsv", self.output / "run.json", self.state)
            files.check(*written, self.checkpoint)
            devices.take_for(self.run.device, processes.processes_here(self.run.gpus))
        self.device = devices.resolve(self.run.device)
        self.mark = fingerprint(self.run, self.device)
        there = record.kept(self.output, self.mark)
        self.rows, self.seeds = weights.with_weights(self.run, self.output, *there)
        wanted = self.run.seed_numbers
        self.missing = set(wanted) - {seed["seed"] for seed in self.seeds}
        self.weights: dict[int, Any] = {}  # those to be written, by seed
        done = len(wanted) - len(self.missing)
        self.progress = Progress(self.state, wanted, self.run.epochs, done, self.run.minutes)
        self.events = Events(self.run, self.output)

    def do(self, words: Sequence[str], interruption: Interruption) -> int:
        """Train the missing seeds in the number of processes that the run has.

        Returns:
            The exit status.
        """
        if not self.missing:
            earlier = record.read(str(self.output))
            self.write({key: earlier[key] for key in _MEASURED if key in earlier})
        elif self.run.gpus > 1 and not processes.is_member():
            run = self.run
            status = processes.launch(words, run.gpus, run.threads, self.state, self.started)
            if status == failures.EXIT and self.records_failure:
                self.fail(self.progress.message())
                return 0
            return min(status, 1)
        else:
            self.train(interruption)
        return 0

    def train(self, interruption: Interruption) -> None:
        """Train the missing seeds; rank 0 writes the results."""
        world = processes.join(self.device)
        self.missing = world.follow(self.missing)
        mark = self.mark + (self.run.keep_weights or "")  # it holds those of finished seeds
        checkpoints = Checkpoints(self.checkpoint, mark, interruption, world, self.started)
        try:
            with checkpoints.patience():
                facts = self.train_seeds(checkpoints, world)
                if world.rank == 0:
                    self.write(facts)
        except RunFailed as error:
            if not self.records_failure:
                raise
            traceback.print_exception(error.__cause__)  # into the log
            if world.size > 1:  # the process that launched this one records it
                raise
            self.fail(str(error))

    def train_seeds(self, checkpoints: Checkpoints, world: World) -> dict[str, Any]:
        """Train what is missing, seed by seed or all at once, and add its rows and records.

        Returns:
            What `run.json` says of the call: number of examples, hardware, usage and times.
        """
        import torch

        from optlab.training import datasets, draws, loop

        torch.set_num_threads(self.run.threads)
        run = dataclasses.replace(self.run, device=self.device)
        data = datasets.load(Path(run.data), run.device)
        ready = time.time()
        checkpoints.load()
        finished = checkpoints.finished
        missing = self.missing - {entry["seed"] for entry in finished["seeds"]}
        report = self.report if world.rank == 0 else lambda seed, evaluation: None
        for seed, row in checkpoints.rows_under_way if world.rank == 0 else ():
            self.events.update(seed, row)
        if world.rank == 0 and run.replicates == "together" and (why := run.unstackable):
            print(f"replicates are trained one after the other: {why}", flush=True)
        noted = notes.of(run, data, world)
        for group in groups(missing, at_once(run, run.device), checkpoints.under_way):
            with failures.recognised(run):
                outcomes = loop.train(run, data, group, report, checkpoints, world)
            missing -= set(group)
            pairs = zip(group, outcomes, strict=True)
            kept = {seed: tuple(outcome.kept) for seed, outcome in pairs if outcome.kept}
            results = results_of(run, group, outcomes, data)
            checkpoints.finish(*results, last=not missing, weights=kept)
        known = {entry["seed"] for entry in self.seeds}
        seeds = [entry for entry in finished["seeds"] if entry["seed"] not in known]
        self.rows += [row for row in finished["rows"] if row["seed"] not in known]
        self.seeds += seeds
        self.weights = finished["weights"]
        measured = measurements(run, data, world)
        times = record.wall(seeds, self.started, ready, checkpoints.spent)
        return {"sizes": draws.sizes(run, data), **measured, "wall": times, **noted}

    def report(self, seed: int, evaluation: Any) -> None:
        """Say that a seed was evaluated."""
        self.progress.update(seed, evaluation)
        self.events.update(seed, evaluation.cells())

    def fail(self, message: str) -> None:
        """Write the run's two files with the reason why it failed.

        Seeds of an earlier call are kept; those of this one are in the checkpoint, which stays.
        """
        done = {seed["seed"] for seed in self.seeds}
        missing = [seed for seed in self.run.seed_numbers if seed not in done]
        rows = [*self.rows, *failures.rows(self.run, self.device, missing)]
        weights.write_empty(self.run, self.output, missing)
        record.write(self.output, rows, self.described({"failure": message}))
        self.progress.finish()
        print(f"failed: {message}")

    def write(self, facts: dict[str, Any]) -> None:
        """Write the run's two files, then remove its progress and its checkpoint."""
        weights.write(self.run, self.output, self.seeds, self.weights)
        record.write(self.output, self.rows, self.described(facts))
        self.events.finish(self.rows)
        files.remove(self.checkpoint)
        self.progress.finish()
        print(f"results: {self.output}")

    def described(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The content of ``run.json``."""
        settings = dataclasses.asdict(self.run)
        del settings["study"]
        program = f"workflow/scripts/{Path(sys.argv[0]).name}"
        return {
            "fingerprint": self.mark,
            "settings": settings,
            "command": shlex.join(["python", program, *self.run.options()]),
            "versions": hardware.versions(),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seeds": self.seeds,
            **facts,
        }


# Parts of run.json that belong to the call that trained; a call that trains nothing keeps them.
_MEASURED = ("sizes", "hardware", "wall", "usage", "steps", "notes")


def fingerprint(run: Run, device: str) -> str:
    """A hash of everything that the results of the run on this device (cpu or cuda) depend on."""
    replicates = "together" if at_once(run, device) else "separate"
    settings = {**run.fields(), "device": device, "replicates": replicates}
    code = triggers.digest("train", *run.parts)
    return record.fingerprint(settings, code, [*run.code, run.data])


def at_once(run: Run, device: str) -> bool:
    """Whether the run's replicates are stacked and trained at once (`optlab.training.stacking`)."""
    faster = device == "cuda" and run.matrices
    wanted = run.replicates == "together" or (run.replicates == "auto" and faster)
    return wanted and run.unstackable is None


def groups(missing: set[int], together: bool, under_way: list[int]) -> list[list[int]]:
    """The missing seeds in the order of their training, as lists that are trained at once."""
    begun = [under_way] if under_way and missing.issuperset(under_way) else []
    rest = sorted(missing.difference(*begun))
    if together:
        return [*begun, rest] if rest else begun
    return [*begun, *([seed] for seed in rest)]


def results_of(
    run: Run, seeds: list[int], outcomes: list[Any], data: Any
) -> tuple[list[metrics.Row], list[dict[str, Any]]]:
    """The rows and the records of seeds that were trained at once.

    Seeds of a confirmation also record which test examples are classified correctly, so that a
    comparison can generalise over examples.
    """
    from optlab.training import evaluation, precision

    trained = list(zip(seeds, outcomes, strict=True))
    rows = [
        {**record.identity(run, run.device, seed), **row.cells()}
        for seed, outcome in trained
        for row in outcome.evaluations
    ]
    records = [record.of_seed(seed, outcome, len(seeds), run.device) for seed, outcome in trained]
    last = {row["seed"]: row for row in rows}
    for entry, (seed, outcome) in zip(records, trained, strict=True):
        record.tell_end(run, outcome, last[seed], entry)
    if run.confirms and data.test is not None and data.task == "classification":
        dtype = precision.WEIGHTS[run.precision]
        for entry, outcome in zip(records, outcomes, strict=True):
            correct = evaluation.correct(outcome.model, data, data.test, dtype)
            entry["test_correct"] = record.pack(correct.tolist())
    return rows, records


def measurements(run: Run, data: Any, world: World) -> dict[str, Any]:
    """The hardware of the run and its resource usage over all ranks, which then leave the group."""
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


if __name__ == "__main__":
    errors.end(main())
