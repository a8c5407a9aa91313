"""Event files for TensorBoard (`log: tensorboard`), in a folder a seed within that of the run.

Written from the rows of metrics, between the evaluation that made them and the next step, by the
writer of PyTorch. A seed that is taken up again begins its files anew with the rows that it has, so
that none is there twice.
"""

import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import util
from pathlib import Path
from typing import Any

from optlab.errors import UserError
from optlab.runs import metrics
from optlab.study.run import Run

PACKAGE = "tensorboard"
PINNED = "tensorboard==2.21.0"  # as in requirements.txt
_FIGURE = re.compile(r"(train|val|test|best_test)_\w+")
_FILES = "events.out.tfevents.*"


class Events:
    """The event files of one run, whose record is in ``folder``; none unless it asks for them.

    Raises:
        UserError: the package that writes them is not installed.
    """

    def __init__(self, run: Run, folder: Path):
        self._run, self._folder = run, folder / PACKAGE
        self._start = time.time()
        self._writers: dict[int, Any] = {}
        if run.log_to and util.find_spec(PACKAGE) is None:
            raise UserError(f"log: {PACKAGE} needs a package that is missing: pip install {PINNED}")

    def update(self, seed: int, row: Mapping[str, Any]) -> None:
        """Write a row of a seed, by its step and by its epoch, at the seconds of its training."""
        if not self._run.log_to:
            return
        if seed not in self._writers:
            self._writers[seed] = self._begun(seed)
        cells = {**row, **row.get("more", {})}
        for name, value in cells.items():
            if _FIGURE.fullmatch(name) and name not in self._run.knobs and value not in ("", None):
                at = self._start + float(cells["seconds"])
                for axis in ("step", "epoch"):
                    tag, place = f"{axis}/{name}", int(float(cells[axis]))
                    self._writers[seed].add_scalar(tag, float(value), place, walltime=at)
        self._writers[seed].flush()  # so that no thread of the writer's works while steps are timed

    def finish(self, rows: Iterable[metrics.Row]) -> None:
        """Write what was not written while it was trained, and remove files of no row."""
        live, seeds = set(self._writers), set()
        for row in rows if self._run.log_to else ():
            seeds.add(seed := int(row["seed"]))
            if seed not in live:
                self.update(seed, row)
        for writer in self._writers.values():
            writer.close()
        for folder in self._folder.glob("seed-*"):
            if folder.name not in {f"seed-{seed}" for seed in seeds}:
                _clear(folder)
                with suppress(OSError):  # what somebody else has put there
                    folder.rmdir()
                    self._folder.rmdir()

    def _begun(self, seed: int) -> Any:
        """A writer of new files for a seed."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder / f"seed-{seed}"
        _clear(folder)
        return SummaryWriter(str(folder))


def _clear(folder: Path) -> None:
    for file in folder.glob(_FILES):
        file.unlink(missing_ok=True)
