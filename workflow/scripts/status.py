"""Report which runs of a study are done, running or failed, and estimate the time that is left.

In:  a study's configuration file, the results beside it, and the small files in which running
     jobs report their progress.
Out: a few lines on the screen. Nothing is written and nothing is started.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optlab import command_line, files
from optlab.errors import UserError, in_one_line, visible
from optlab.machine import alive, hardware
from optlab.runs import failures, progress
from optlab.runs import record as records
from optlab.study import confirmation, reading, table
from optlab.study.kinds import search
from optlab.study.run import Run
from optlab.values import counted

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
    """

    run: Run
    state: str
    seconds: float | None = None
    share: float = 0.0
    message: str = ""


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
    content = _content(Path(run.folder, "metrics.tsv"))
    if content is not None and not records.describes(run.folder, content):
        message = f"{run.folder}/metrics.tsv is damaged; remove it"
        return Standing(run, "failed", message=message)
    if record and content is not None:
        seeds = {entry["seed"] for entry in record["seeds"]}
        if seeds.issuperset(run.seed_numbers):
            return Standing(run, "done", record["wall"]["total"] * run.seeds / len(seeds))
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


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    cores = hardware.cores()
    p.add_argument("--cores", type=command_line.whole, default=cores, help="to count on")
    arguments = p.parse_args(words)
    study = reading.load(arguments.study)
    standings = [standing(run) for run in table.runs(study)]
    lines = report(study["study"], standings, arguments.cores)
    lines += [unit_line(one) for one in table.units(study)]
    lines += [search_line(one) for one in search.every(study)]
    lines += left_out(table.skipped(study))
    print(*map(visible, lines), sep="\n")
    return 0


def report(name: str, standings: list[Standing], cores: int) -> list[str]:
    """The lines on the runs of a study."""
    count = Counter(one.state for one in standings)
    lines = [f"study {name}: {len(standings)} runs"]
    lines.append("  " + ", ".join(f"{count[state]} {state}" for state in STATES))
    for one in standings:
        if one.state == "running":
            left = f", {progress.duration(one.seconds)} left" if one.seconds else ""
            lines.append(f"  running {one.run.path}: {one.share:.0%}{left}")
        elif one.state == "failed":
            lines.append(f"  failed  {one.run.path}: {one.message} (see {one.run.log})")
    if count["done"] == len(standings):
        return [*lines, "  nothing is left to train"]
    seconds = remaining(standings, cores)
    left = "unknown yet" if seconds is None else f"about {progress.duration(seconds)}"
    return [*lines, f"  time left on {cores} cores: {left}"]


def left_out(skipped: list[tuple[Run, str]]) -> list[str]:
    """A line for each optimizer of an exercise of which runs are left out, with the reason."""
    count = Counter((run.exercise, run.optimizer, reason) for run, reason in skipped)
    return [
        f"  left out {exercise}, {optimizer}: {counted(number, 'run')}; {reason}"
        for (exercise, optimizer, reason), number in count.items()
    ]


def unit_line(unit: confirmation.Unit) -> str:
    """The line on an optimizer whose chosen setting is confirmed."""
    try:
        found = confirmation.Confirmed.read(unit.file)
    except UserError:
        return f"  confirm {unit.path}, {unit.confirm} seeds: waiting"
    state = "done" if found.seeds >= unit.confirm else f"{found.seeds} done"
    if not found.seeds:  # all of its grid failed, or nothing was to be confirmed
        reason = failures.reason(found.chosen.folder)
        state = f"failed: {reason}" if reason else state
    for run in (*found.added, *([found.run] if found.seeds else [])):
        one = standing(run)
        refused = failures.reason(run.folder) and not run.confirms  # the grid ends there
        if one.state != "done" and not refused:
            state = f"failed: {one.message or f'{run.folder} is not complete'}"
    added = f"; {len(found.added)} rates beyond the grid" if found.added else ""
    return f"  confirm {unit.path}, {unit.confirm} seeds: {state}{added}"


def search_line(one: search.Search) -> str:
    """The line on a search: whether its workers have ended and its best setting is retrained."""
    best = records.read(f"{one.folder}/best")
    workers = sum(Path(file).exists() for file in one.worker_files())
    if workers == one.workers and best:
        metrics = Path(one.folder, "best/metrics.tsv")
        content = _content(metrics)
        try:
            state = f"done: {search.statistics(search.finished(one))}"
        except (UserError, KeyError, TypeError, ValueError):
            state = f"failed: {one.folder}/trials.json is damaged; remove it"
        if content is None or not records.describes(str(metrics.parent), content):
            state = f"failed: {metrics} is damaged; remove it"
    else:
        state = f"{workers} of {one.workers} workers have ended"
    return f"  search {one.path}, {one.trials} trials: {state}"


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
