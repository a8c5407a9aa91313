"""Settle what is open: train confirmation seeds where a verdict needs them, and nowhere else.

The workflow is run, the open comparisons with the first in rank get further seeds, the workflow is
run again, until each verdict stands or the budget is used. Verdicts stay valid, however often that
is done. Minutes are of training and evaluation, summed over all jobs: two cores use 60 in half an
hour. Options of Snakemake follow after --, such as a profile of a cluster.

An interrupted call is continued by the same call; a call after the end has a budget of its own.
The numbers of seeds are in results/<study>/settled.json; without it, the study's `confirm` counts.

Examples:
  settle.py --minutes 30 -- --cores all
  settle.py --study config/lab.yaml --seeds 200 -- --profile profiles/slurm
"""

import math
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import command_line, files, locks
from optlab.errors import UserError, in_one_line, visible
from optlab.machine.children import Children, interrupt_group
from optlab.results import settling
from optlab.results.comparison import Contest
from optlab.results.settling import Budget
from optlab.study import confirmation, reading, table

SNAKEFILE = Path(__file__).parents[2] / "Snakefile"
# It handles SIGTERM once it schedules jobs; before, that would leave its lock in the folder.
SNAKEMAKE = (
    "import runpy, signal; signal.signal(signal.SIGTERM, signal.default_int_handler); "
    "runpy.run_module('snakemake', run_name='__main__', alter_sys=True)"
)
SHOWN = 25  # of the lines that Snakemake prints, the last ones where it fails


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    budget = Budget(arguments.seeds or math.inf, arguments.minutes or math.inf)
    if budget == (math.inf, math.inf):
        raise UserError("a budget is missing: --minutes or --seeds")
    options = checked(arguments.options)
    study = reading.load(arguments.study)
    if not any(unit.confirm for unit in table.units(study)):
        raise UserError(f"{arguments.study}: nothing is confirmed; set confirm, as confirm: 10")
    files.check(confirmation.settled_file(study))
    locks.take(Path(f"results/{study['study']}/settle.lock"), "settles this study")
    try:
        return settle(study, Workflow(study["study"], arguments.study, options), budget)
    finally:
        locks.release()


def settle(study: dict[str, Any], workflow: "Workflow", budget: Budget) -> int:
    """Run the workflow and give seeds to what is open, in turn; returns the exit status."""
    # Snakemake makes a file that is gone only where something else needs it, or by its name.
    judged = ["tables", *(unit.file for unit in table.units(study))]
    workflow.run(*judged)
    session = Session(study)
    before = session.found
    while raised := settling.step(session.found, session.numbers, session.begin, budget):
        for unit, number in raised.items():
            print(f"{unit}: {session.numbers[unit]} -> {number} confirmation seeds", flush=True)
        session.raise_to(raised)
        workflow.run(*judged)
        session.read()
    workflow.run("all")
    print(*map(visible, report(before, session)), sep="\n")
    session.end()
    return 0


def parser() -> command_line.Parser:
    """The options."""
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    p.add_argument(
        "--minutes",
        type=command_line.values.positive,
        metavar="M",
        help="of training, over all jobs",
    )
    p.add_argument(
        "--seeds", type=command_line.values.whole, metavar="N", help="further seeds at most"
    )
    p.add_argument("options", nargs="*", help="options of Snakemake, after --")
    return p


def checked(options: Sequence[str]) -> Sequence[str]:
    """The options of Snakemake, of which the first word can be no file or target.

    Raises:
        UserError: it is.
    """
    if options and not options[0].startswith("-"):
        hint = "a study is named by --study, and options of Snakemake follow --"
        raise UserError(f"'{options[0]}' is no option: {hint}")
    return options


class Workflow:
    """Snakemake on a study; what it prints is in a log.

    When this program is killed, Snakemake finishes the jobs that run, and starts no others; it has
    this program's locks, so that the next call waits for it.
    """

    def __init__(self, name: str, file: str, options: Sequence[str]):
        self._file, self._options = file, options or ["--cores", "all"]
        self._log = Path(f"results/{name}/logs/settle.log")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        self._children = Children(interrupt_group, orphaned=signal.SIGTERM, group=True)

    def run(self, *targets: str) -> None:
        """Make these targets.

        Raises:
            UserError: it could not be made.
            KeyboardInterrupt: this program was asked to end.
        """
        command = [sys.executable, "-c", SNAKEMAKE, "--snakefile", str(SNAKEFILE)]
        command += [*self._options, "--configfile", self._file, "--", *targets]
        with self._log.open("ab") as log:
            streams = {"stdout": log, "stderr": subprocess.STDOUT}
            status = self._children.run(command, pass_fds=locks.descriptors(), **streams)
        if status:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            print(*lines[-SHOWN:], sep="\n", file=sys.stderr)
            message = f"the workflow failed, see {self._log}; the same call continues it"
            raise UserError(f"{message} (exit status {status})")


class Session:
    """The spending of one budget, kept in a file so that an interrupted call can continue.

    Attributes:
        found: the comparisons as they are now.
        numbers: of confirmation seeds, by unit.
        begin: the same when the budget was given.
    """

    def __init__(self, study: dict[str, Any]):
        self._study = study
        self.found: list[Contest] = []
        self.read()
        interrupted = confirmation.settled_content(study)["begin"]
        # What the study itself has asked for since then is no part of the budget.
        self.begin = {
            unit.path: max(interrupted.get(unit.path, unit.confirm), unit.stated)
            for unit in table.units(study)
        }

    def read(self) -> None:
        """Read what the workflow has made."""
        self.found = settling.contests(self._study)
        self.numbers = {unit.path: unit.confirm for unit in table.units(self._study)}

    def raise_to(self, raised: dict[str, int]) -> None:
        """Give units more confirmation seeds."""
        self._write({**confirmation.settled(self._study), **raised}, self.begin)

    def end(self) -> None:
        """The budget is used, or nothing is open: the next call begins anew."""
        self._write(confirmation.settled(self._study), {})

    def _write(self, seeds: dict[str, int], begin: dict[str, int]) -> None:
        confirmation.write_settled(self._study, {"seeds": seeds, "begin": begin})

    @property
    def cost(self) -> Budget:
        """What was spent."""
        return settling.spent(self.numbers, self.begin, settling.seconds_of(self.found))


def report(before: Sequence[Contest], session: Session) -> list[str]:
    """What stands, what is open, and what it cost."""
    seeds, minutes = session.cost
    was, now = (len(settling.open_pairs(found)) for found in (before, session.found))
    cost = f"{seeds:.0f} seeds, {minutes:.1f} minutes of training"
    return [*settling.lines(session.found), f"open before {was}, now {now}; this took {cost}"]


if __name__ == "__main__":
    sys.exit(main())
