"""One worker of a search: it runs trials until the search has as many as it asks for.

In:  the study (--study), one of its search exercises and one of that exercise's data sets.
Out: the journal of the search, which all of its workers share and continue (Optuna's; its name
     depends on space, budget, data and code), and a record of this worker (--output).

Several workers may run at a time, on one machine or on several that share a disk, each with its own
number (--worker). A worker that is killed loses the trial it was running and nothing else.

Example:
  search.py --study config/config.yaml --exercise search --dataset digits --worker 0
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line, files
from optlab.errors import in_one_line
from optlab.machine import owner


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.study_parser(__doc__, "exercise", "dataset")
    p.add_argument("--worker", type=int, default=0, help="number of this worker (0)")
    p.add_argument("--output", type=Path, help="record of this worker (default: by its number)")
    arguments = p.parse_args(words)
    search = command_line.to_search(arguments)
    output = arguments.output or Path(search.folder, f"worker-{arguments.worker}.json")
    files.check(output)
    from optlab.search.trials import worker  # PyTorch and Optuna: not before the words are checked

    owner.follow()
    facts = worker.work(search, arguments.worker)
    files.write(output, json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
