"""Report which runs of a study are done, running or failed, and estimate the time that is left.

In:  a study's configuration file, the results beside it, and the small files in which running
     jobs report their progress.
Out: a few lines on the screen. Nothing is written and nothing is started.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line
from optlab.data import known
from optlab.errors import UserError, in_one_line, visible
from optlab.machine import hardware
from optlab.runs import failures, progress
from optlab.runs import record as records
from optlab.runs.standing import STATES, Standing, read, remaining, standing
from optlab.study import confirmation, reading, table
from optlab.study.kinds import search
from optlab.study.run import Run
from optlab.values import counted


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    cores = hardware.cores()
    p.add_argument("--cores", type=command_line.values.whole, default=cores, help="to count on")
    arguments = p.parse_args(words)
    study = reading.load(arguments.study)
    standings = [standing(run) for run in table.runs(study)]
    lines = report(study["study"], standings, arguments.cores)
    lines += [unit_line(one) for one in table.units(study)]
    lines += [search_line(one) for one in search.every(study)]
    lines += left_out(table.skipped(study))
    lines += [f"  note {note}" for note in known.notes(study)]
    print(*map(visible, lines), sep="\n")
    return 0


def report(name: str, standings: list[Standing], cores: int) -> list[str]:
    """The lines on the runs of a study."""
    count = Counter(one.state for one in standings)
    lines = [f"study {name}: {len(standings)} runs"]
    lines.append("  " + ", ".join(f"{count[state]} {state}" for state in STATES))
    if stopped := sum(one.stopped for one in standings):
        seeds = sum(one.run.seeds for one in standings if one.run.patience)
        lines.append(f"  {stopped} of {counted(seeds, 'seed')} with patience stopped early")
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
        content = read(metrics)
        try:
            state = f"done: {search.statistics(search.finished(one))}"
        except (UserError, KeyError, TypeError, ValueError):
            state = f"failed: {one.folder}/trials.json is damaged; remove it"
        if content is None or not records.describes(str(metrics.parent), content):
            state = f"failed: {metrics} is damaged; remove it"
    else:
        state = f"{workers} of {one.workers} workers have ended"
    return f"  search {one.path}, {one.trials} trials: {state}"


if __name__ == "__main__":
    sys.exit(main())
