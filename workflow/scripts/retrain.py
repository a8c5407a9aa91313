"""The end of a search: its best setting trained again, and what pruning may have cost.

In:  the study (--study), one of its search exercises and one of that exercise's data sets, whose
     workers have all ended.
Out: in --output-folder: best/metrics.tsv and best/run.json (the best setting, trained for every
     seed of the study, its test figures among them), and trials.json (every trial; also a sample
     of the trials that were stopped early, trained to their end).

What an earlier call left and is still valid is kept and not trained again. A trial that is still
marked as running belongs to a worker that was killed: it is marked as failed.

Example:
  retrain.py --study config/config.yaml --exercise search --dataset digits
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line, files, locks
from optlab.errors import in_one_line
from optlab.machine import owner


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.study_parser(__doc__, "exercise", "dataset")
    p.add_argument("--output-folder", type=Path, help="where the results go (the search's folder)")
    arguments = p.parse_args(words)
    search = command_line.to_search(arguments)
    folder = arguments.output_folder or Path(search.folder)
    files.check(*(folder / name for name in ("trials.json", "best/metrics.tsv", "best/run.json")))
    from optlab.search import retraining  # PyTorch and Optuna: not before the words are checked

    owner.follow()
    locks.take(folder / "retrain.lock", "retrains the best setting of this search")
    try:
        retraining.retrain(search, folder)
    finally:
        locks.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
