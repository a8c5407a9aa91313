"""Check a study: one line that says what is in it, or all of its mistakes, a line each.

In:  a study's configuration file (--study).
Out: a line on the screen. Snakemake is not needed. With --probe each network, optimizer and data
     set is also tried for a few steps; without, nothing is started.

Example:
  check.py --study config/lab.yaml
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import command_line
from optlab.data import known
from optlab.errors import UserError, in_one_line
from optlab.probe import answers
from optlab.study import reading, table
from optlab.study.kinds import search
from optlab.values import counted


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    p.add_argument("--name", action="store_true", help="print the name of the study alone")
    p.add_argument("--page", action="store_true", help="print the address of its answer page")
    p.add_argument("--probe", action="store_true", help="also try networks and optimizers")
    arguments = p.parse_args(words)
    study = reading.load(arguments.study)
    if arguments.name:
        print(study["study"])
        return 0
    folder = Path("results", study["study"])
    if arguments.page:
        print(page(folder))
        return 0
    check_results(folder)
    for line in known.notes(study):
        print(f"note: {line}", file=sys.stderr)
    if arguments.probe:
        tried(study, arguments.study)
    trials = sum(one.trials for one in search.every(study))
    found = {"run": len(table.runs(study)), "trial": trials}
    parts = [counted(number, thing) for thing, number in found.items() if number]
    print(f"study {study['study']}: {' and '.join(parts)}, no mistakes")
    return 0


def tried(study: dict[str, Any], file: str) -> None:
    """Raise UserError, with a line for each, if the study names what cannot be trained."""
    outcome = answers.of_study(study, [file])
    for line in outcome.notes:
        print(f"note: {line}", file=sys.stderr)
    unknown = [f"not everything could be tried: {outcome.note}"] if outcome.note else []
    if lines := [*outcome.lines, *unknown]:
        raise UserError("\n".join(lines))


def page(folder: Path) -> str:
    """The address of the page in a folder of results; raises UserError if there is none."""
    file = folder / "index.html"
    if not file.exists():
        raise UserError(f"{file}: there is no such page yet; `make lab` makes it")
    return file.absolute().as_uri()


def check_results(folder: Path) -> None:
    """Raise UserError if the results of a study could not be written there."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise UserError(f"{there}: is not a folder that can be written; results go there")


if __name__ == "__main__":
    sys.exit(main())
