"""Checkpoints: an interrupted run goes on where it was, to the last digit.

A checkpoint is written every minute and when the process is asked to end (SIGTERM, Ctrl-C),
between two steps, and is gone when the run is complete. It belongs to one fingerprint: settings,
code, data and PyTorch; any other is ignored, with a warning.
"""

from __future__ import annotations

import glob
import pickle
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optlab import files
from optlab.training.world import ALONE, World

EVERY = 60.0  # seconds between two checkpoints
SHARE = 20  # the time between two checkpoints is at least so many times that of saving one
PATIENCE = 2.0  # seconds after which a second Ctrl-C ends the process at once
LOOK = 0.5  # seconds between two times that several processes ask the first one whether to save

State = dict[str, Any]

# What PyTorch raises where a file cannot be written or read, or an object not be saved.
UNREADABLE = (
    *(OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError),
    pickle.PickleError,
)


class Interruption:
    """SIGTERM and Ctrl-C: at once, or, while steps are being taken, between two of them.

    A process may get the same SIGTERM several times, directly and from those that started it; only
    a second Ctrl-C some time later is impatience.
    """

    def __init__(self) -> None:
        self.deferred = False
        self._asked: float | None = None
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
        file: where it lies; None saves nothing.
        mark: the fingerprint that it belongs to.
        interruption: tells whether the process is to end.
        world: the processes of the run; the first one reads and writes.
        started: when this process was started, in seconds since the epoch.

    Attributes:
        finished: rows and records of the seeds that are complete; they are saved along.
        spent: seconds that earlier processes took to come so far.
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
        self._interruption, self._started = interruption, started or time.time()
        self.spent = 0.0
        self._checked = False
        self._next = time.monotonic() + EVERY
        self._asked, self._steps, self._left = time.monotonic(), 1, 1
        self._current: State | None = None
        self.finished: State = {"rows": [], "seeds": []}

    def due(self) -> bool:
        """Whether to save before the next step; several processes do what the first one says."""
        if self._world.size == 1:
            return self._wanted()
        self._left -= 1
        if self._left:
            return False
        now = time.monotonic()
        pace = (now - self._asked) / self._steps
        steps = max(1, min(2 * self._steps, int(LOOK / max(pace, 1e-9))))
        save, self._steps = self._world.follow((self._wanted(), steps))
        self._asked, self._left = now, self._steps
        return save

    def save(self, state: State) -> None:
        """Save seeds on their way, and end here if that was asked for.

        Raises:
            KeyboardInterrupt: the process was asked to end.
        """
        self._current = state
        before = time.monotonic()
        self._write()
        now = time.monotonic()
        self._next = now + max(EVERY, SHARE * (now - before))
        if self._world.follow(self._asked_to_end()):
            raise KeyboardInterrupt

    @property
    def under_way(self) -> list[int]:
        """The seeds that an earlier process was training when it saved them."""
        return self._current["seeds"] if self._current is not None else []

    def resume(self, seeds: Sequence[int]) -> State | None:
        """The state of these seeds where an earlier process has saved one."""
        return self._current if self.under_way == list(seeds) else None

    def finish(self, rows: list[Any], records: list[dict[str, Any]], last: bool) -> None:
        """Seeds are complete; after the last ones, an interrupt comes too late.

        Raises:
            KeyboardInterrupt: the process was asked to end; what is finished is saved.
        """
        self._current = None
        self.finished["rows"] += rows
        self.finished["seeds"] += records
        if not last and self._world.follow(self._asked_to_end()):
            self._write()
            raise KeyboardInterrupt

    def load(self) -> None:
        """Read what an earlier process has left; a file that is not this run's is ignored."""
        found = self._read() if self._world.rank == 0 else None
        if (found := self._world.follow(found)) is not None:
            self.finished, self._current = found["finished"], found["current"]
            self.spent = found["spent"]

    def _read(self) -> State | None:
        if self._file is None:
            return None
        for leftover in self._file.parent.glob(f".{glob.escape(self._file.name)}.*"):
            leftover.unlink(missing_ok=True)  # of a process that was killed while writing
        if not self._file.exists():
            return None
        import torch

        try:
            found: State = torch.load(self._file, map_location="cpu", weights_only=True)
            if found["mark"] == self._mark and found.keys() >= {"finished", "current", "spent"}:
                return found
            print(f"{self._file} is of other settings or code: not used", flush=True)
        except UNREADABLE as error:
            reason = str(error).partition("\n")[0]
            print(f"{self._file} is damaged and not used: {reason:.200}", flush=True)
        return None

    @contextmanager
    def patience(self) -> Iterator[None]:
        """In here a first interrupt waits for `save` or `finish`, and what is complete is kept."""
        if self._interruption is not None:
            self._interruption.deferred = True
        try:
            yield
        finally:
            if self._interruption is not None:
                self._interruption.deferred = False

    def _asked_to_end(self) -> bool:
        return self._interruption is not None and self._interruption.wanted

    def _wanted(self) -> bool:
        return self._asked_to_end() or (self._file is not None and time.monotonic() >= self._next)

    def _write(self) -> None:
        """Write the file; where that cannot be, a line says so and training goes on."""
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
                torch.load(self._file, map_location="cpu", weights_only=True)
                self._checked = True
        except UNREADABLE as error:
            reason = str(error).partition("\n")[0]
            print(f"no checkpoint in {self._file}: {reason:.200}", flush=True)
            if not self._checked and not isinstance(error, OSError):
                self._file.unlink(missing_ok=True)  # it could not be read again
