"""The answer page of a study: one HTML file that needs no network.

In:  the resolved study (--study), its tables (--tables), and the metrics and records of its runs.
Out: the page (--output).

Example:
  page.py --study results/default/study.yaml --tables results/default/tables \\
      --output results/default/index.html
"""

import sys
from collections.abc import Sequence

from optlab import command_line, files
from optlab.errors import in_one_line
from optlab.machine import owner
from optlab.study import kinds, reading, table


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.study_parser(__doc__, "tables", "output")
    arguments = p.parse_args(words)
    owner.follow()
    study = reading.load(arguments.study)
    from optlab.page import write, written  # Bokeh: not before the words are checked

    runs = table.every(study)
    names = {name for one in study["exercises"].values() for name in kinds.of(one).TABLES}
    found = written.read(arguments.tables, runs, sorted(names))
    page = write.page(study, found, runs)
    files.write(arguments.output, page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
