"""The tables of a study.

In:  the resolved study (--study) and its results: metrics of runs, records of timed runs, trials.
Out: one TSV a table in --output-folder; config/README.md describes their columns. Tables that an
     earlier call left there, of kinds of exercise no longer in the study, are removed.

Each figure is a mean over the seeds that did not diverge, with the ends of its 95 % interval
beside it; the interval of a single seed is empty.

Example:
  tables.py --study results/default/study.yaml --output-folder results/default/tables
"""

import sys
from collections.abc import Sequence

from optlab import command_line
from optlab.errors import in_one_line
from optlab.machine import owner
from optlab.study import reading


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    arguments = command_line.study_parser(__doc__, "output-folder").parse_args(words)
    owner.follow()
    study = reading.load(arguments.study)
    from optlab.results import tables  # pandas: not before the words are checked

    tables.write_all(arguments.output_folder, tables.tables(study))
    return 0


if __name__ == "__main__":
    sys.exit(main())
