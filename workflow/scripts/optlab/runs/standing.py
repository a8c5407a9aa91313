"""Where each run of a study stands, by its files: done, running, failed or waiting."""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from optlab import files
from optlab.machine import alive
from optlab.runs import record as records
from optlab.study.run import Run

SILENT = 120.0  # seconds without a report after which a job on another machine counts as dead
STATES = ("done", "running", "failed", "waiting")


@dataclass
class Standing:
    """The state of a run.

    Attributes:
        state: one of `STATES`.
        seconds: taken, if it is done; still needed, if it is running; None if not known.
        share: the part of a running run that is done.
        message: why it failed.
        stopped: the number of its seeds that stopped early, if it is done.
    """

    run: Run
    state: str
    seconds: float | None = None
    share: float = 0.0
    message: str = ""
    stopped: int = 0


def standing(run: Run) -> Standing:
    """The state of a run according to its files."""
    try:
        return _standing(run)
    except (KeyError, TypeError, ValueError, OverflowError):
        message = f"{run.folder}/run.json or {run.state} is damaged; remove it"
        return Standing(run, "failed", message=message)


def _standing(run: Run) -> Standing:
    record = records.read(run.folder)
    if message := record.get("failure"):
        return Standing(run, "failed", message=str(message))
    content = read(Path(run.folder, "metrics.tsv"))
    if content is not None and not records.describes(run.folder, content):
        message = f"{run.folder}/metrics.tsv is damaged; remove it"
        return Standing(run, "failed", message=message)
    if record and content is not None:
        seeds = {entry["seed"] for entry in record["seeds"]}
        if seeds.issuperset(run.seed_numbers):
            early = [seed for seed in record["seeds"] if seed.get(records.STOPPED)]
            stopped = sum(seed["seed"] in run.seed_numbers for seed in early)
            seconds = record["wall"]["total"] * run.seeds / len(seeds)
            return Standing(run, "done", seconds, stopped=stopped)
    news = files.read_object(Path(run.state))
    if not news:
        return Standing(run, "waiting")
    if news["status"] == "failed":
        return Standing(run, "failed", message=news.get("message", ""))
    lives = alive.lives(news)
    if lives is None:
        lives = time.time() - news["updated"] < SILENT
    if not lives:
        return Standing(run, "failed", message="its process has gone")
    share = news.get("share", 0.0)
    elapsed = time.time() - news["started"]
    left = elapsed * (1 - share) / share if share else None
    return Standing(run, "running", left, share)


def remaining(standings: list[Standing], cores: int) -> float | None:
    """Seconds until all runs are done on this number of cores; None if no run is done yet."""
    known: dict[str, list[float]] = defaultdict(list)
    for one in standings:
        if one.state == "done" and one.seconds is not None:
            known[one.run.exercise].append(one.seconds)
    everything = [seconds for group in known.values() for seconds in group]
    if not everything:
        return None
    total = 0.0
    for one in standings:
        if one.state == "done":
            continue
        seconds = one.seconds
        if seconds is None:
            group = known.get(one.run.exercise) or everything
            seconds = sum(group) / len(group) * (1 - one.share)
        used = cores if one.run.timed else one.run.threads  # a timed run has the machine to itself
        total += seconds * used
    return total / cores


def read(file: Path) -> bytes | None:
    """The content of a file; None if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return None
