"""Checkpoints: an interrupted run continues where it was and gives exactly the same numbers.

A checkpoint is written between two steps: every minute, and when the process is asked to end
(SIGTERM, Ctrl-C). It is removed when the run is complete. A checkpoint whose fingerprint (settings,
code, data and PyTorch) is not that of the run is ignored with a warning.
"""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optlab import files
from optlab.training.world import ALONE, Question, World

EVERY = 60.0  # seconds between two checkpoints
SHARE = 20  # the time between two checkpoints is at least this multiple of the time to save one
PATIENCE = 2.0  # seconds after which a second Ctrl-C ends the process at once
LOOK = 0.5  # seconds between two times that several ranks ask rank 0 whether to save

State = dict[str, Any]
_KEYS = {"mark", "spent", "finished", "current"}


class Interruption:
    """Whether SIGTERM or Ctrl-C has asked the process to end, once it listens to them.

    The process ends at once, or, while this is ``deferred``, between two steps. A process may get
    the same SIGTERM several times, directly and from the processes that started it; only a second
    Ctrl-C after `PATIENCE` seconds ends it at once in any case.
    """

    def __init__(self) -> None:
        self.deferred = False
        self._asked: float | None = None

    def listen(self) -> None:
        """Handle the signals; Ctrl-C only if it is not ignored, as in a background process."""
        signal.signal(signal.SIGTERM, self._handle)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)

    @property
    def wanted(self) -> bool:
        """Whether the process was asked to end."""
        return self._asked is not None

    def _handle(self, number: int, frame: object) -> None:
        now, asked = time.monotonic(), self._asked
        if asked is None:
            self._asked = now
            at_once = not self.deferred
        else:
            at_once = number == signal.SIGINT and now > asked + PATIENCE
        if at_once:
            raise KeyboardInterrupt


class Checkpoints:
    """The checkpoint of one run.

    Args:
        file: the checkpoint; None saves nothing.
        mark: the fingerprint of the run.
        interruption: says when the process is to end.
        world: the ranks of the run; rank 0 reads and writes.
        started: when this process was started, in seconds since the epoch.

    Attributes:
        finished: rows, records and kept weights of the seeds that are complete; saved too.
        spent: seconds that earlier processes took for what was loaded.
    """

    def __init__(
        self,
        file: Path | None,
        mark: str,
        interruption: Interruption | None = None,
        world: World = ALONE,
        started: float | None = None,
    ):
        self._file, self._mark, self._world = file, mark, world
        self._interruption = interruption or Interruption()
        self._started = started or time.time()
        self.spent = 0.0
        self._checked = False  # whether a file that was written has been read back
        self._next = time.monotonic() + EVERY
        self._due = Question(world, LOOK)
        self._current: State | None = None
        self._told: set[str] = set()
        self.finished: State = {"rows": [], "seeds": [], "weights": {}}

    def due(self) -> bool:
        """Whether to save before the next step; all ranks must save at the same one."""
        return self._due.asked(self._wanted)

    def save(self, state: State) -> None:
        """Save the seeds that are being trained.

        Raises:
            KeyboardInterrupt: the process was asked to end.
        """
        self._current = state
        before = time.monotonic()
        self._write()
        now = time.monotonic()
        self._next = now + max(EVERY, SHARE * (now - before))
        if self._asked_to_end():
            raise KeyboardInterrupt

    def skip(self, reason: str) -> None:
        """Save nothing of the seeds that are being trained, which cannot be continued exactly.

        Raises:
            KeyboardInterrupt: the process was asked to end.
        """
        if reason not in self._told:
            print(f"no checkpoint: {reason}; an interrupted run starts again", flush=True)
            self._told.add(reason)
        self._current = None
        self._next = time.monotonic() + EVERY
        if self._asked_to_end():
            self._write()
            raise KeyboardInterrupt

    @property
    def under_way(self) -> list[int]:
        """The seeds that an earlier process was training at its last checkpoint."""
        return self._current["seeds"] if self._current is not None else []

    @property
    def rows_under_way(self) -> list[tuple[int, State]]:
        """The rows that the seeds `under_way` had at the last checkpoint, each with its seed."""
        states = self._current["replicates"] if self._current is not None else []
        pairs = zip(self.under_way, states, strict=True)
        return [(seed, row) for seed, state in pairs for row in state["rows"]]

    def resume(self, seeds: Sequence[int]) -> State | None:
        """The state of exactly these seeds, if an earlier process has saved it."""
        return self._current if self.under_way == list(seeds) else None

    def finish(
        self,
        rows: list[Any],
        records: list[dict[str, Any]],
        last: bool,
        weights: Mapping[int, Any] | None = None,
    ) -> None:
        """Add seeds that are complete. After the ``last`` ones the run is not interrupted.

        Raises:
            KeyboardInterrupt: the process was asked to end; the complete seeds are saved.
        """
        self._current = None
        self.finished["rows"] += rows
        self.finished["seeds"] += records
        self.finished["weights"] |= weights or {}
        if not last and self._asked_to_end():
            self._write()
            raise KeyboardInterrupt

    def load(self) -> None:
        """Read the checkpoint of an earlier process; a file that is not this run's is ignored."""
        found = self._read() if self._world.rank == 0 else None
        if (found := self._world.follow(found)) is not None:
            self.finished, self._current = {**self.finished, **found["finished"]}, found["current"]
            self.spent = found["spent"]

    def _read(self) -> State | None:
        if self._file is None:
            return None
        if not self._file.exists():
            return None
        try:
            found = _load(self._file)
            if found["mark"] == self._mark and found.keys() >= _KEYS:
                return found
            print(f"{self._file} is of other settings or code: not used", flush=True)
        except Exception as error:  # PyTorch raises many kinds for a file that it cannot read
            print(f"{self._file} is damaged and not used: {_reason(error)}", flush=True)
        return None

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Within this context, an interrupt waits for `save` or `finish`."""
        self._interruption.deferred = True
        try:
            yield
        finally:
            self._interruption.deferred = False

    def _asked_to_end(self) -> bool:
        return self._world.follow(self._interruption.wanted)

    def _wanted(self) -> bool:
        late = self._file is not None and time.monotonic() >= self._next
        return late or self._interruption.wanted

    def _write(self) -> None:
        """Write the file. If that fails, print a line; the training continues."""
        if self._file is None or self._world.rank:
            return
        import torch

        content = {
            "mark": self._mark,
            "spent": self.spent + time.time() - self._started,
            "finished": self.finished,
            "current": self._current,
        }
        try:
            with files.replacing(self._file) as temporary:
                torch.save(content, temporary)
            if not self._checked:
                _load(self._file)
                self._checked = True
        except Exception as error:  # a full disk, or the state of a user's own optimizer
            print(f"no checkpoint in {self._file}: {_reason(error)}", flush=True)
            if not self._checked and not isinstance(error, OSError):
                self._file.unlink(missing_ok=True)  # it cannot be read back


def _load(file: Path) -> State:
    import torch

    return torch.load(file, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
