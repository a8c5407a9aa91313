"""Forget the runs of a study that failed by themselves, so that the next call tries them again.

In:  a study's configuration file, and the results beside it.
Out: a line for each such run, whose results (metrics.tsv, run.json, confirmed.json) are removed.
     A run whose settings or code change is tried again without this program.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line
from optlab.errors import UserError, in_one_line
from optlab.runs import failures
from optlab.study import confirmation, reading, table
from optlab.values import counted


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    study = reading.load(p.parse_args(words).study)
    runs = {run.path: run for run in table.runs(study)}
    for unit in table.units(study):
        try:
            found = confirmation.Confirmed.read(unit.file)
        except UserError:
            continue
        runs |= {f"confirm/{unit.path}": found.run} if found.seeds else {}
        runs |= {run.path: run for run in found.added}
    failed = {path: run for path, run in runs.items() if failures.reason(run.folder)}
    for path, run in failed.items():
        print(f"forgotten: {path}: {failures.reason(run.folder)}")
        own = (f"{run.folder}/metrics.tsv", f"{run.folder}/run.json")
        for file in (*own, confirmation.file_of(run)):
            Path(file).unlink(missing_ok=True)
    print(f"{counted(len(failed), 'failed run')} will be tried again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
