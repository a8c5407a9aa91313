"""Checkpoints: an interrupted run goes on where it was, to the last digit.

A checkpoint is written every minute and when the process is asked to end (SIGTERM, Ctrl-C),
between two steps, and is gone when the run is complete. It belongs to one fingerprint: settings,
code, data and PyTorch; any other is ignored, with a warning.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optlab.distributed import ALONE, World

EVERY = 60.0  # seconds between two checkpoints
LOOK = 0.5  # seconds between two times that several processes ask the first one whether to save

State = dict[str, Any]


class Interruption:
    """SIGTERM and Ctrl-C: at once, or, while steps are being taken, between two of them."""

    def __init__(self) -> None:
        self.wanted = False
        self.deferred = False
        signal.signal(signal.SIGTERM, self._handle)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        first, self.wanted = not self.wanted, True
        if not (first and self.deferred):
            raise KeyboardInterrupt


class Checkpoints:
    """The checkpoint of one run.

    Attributes:
        finished: rows and records of the seeds that are complete; they are saved along.
    """

    def __init__(
        self,
        file: Path | None,
        mark: str,
        interruption: Interruption | None = None,
        world: World = ALONE,
    ):
        self._file, self._mark, self._world = file, mark, world
        self._interruption = interruption
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
        """Save a seed on its way, and end here if that was asked for.

        Raises:
            KeyboardInterrupt: the process was asked to end.
        """
        self._current = state
        self._write()
        self._next = time.monotonic() + EVERY
        self._end_if_asked()

    def resume(self, seed: int) -> State | None:
        """The state of this seed where an earlier process has saved one."""
        found = self._current
        return found if found is not None and found["seed"] == seed else None

    def finish(self, rows: list[Any], record: dict[str, Any], last: bool) -> None:
        """A seed is complete; after the last one, an interrupt comes too late.

        Raises:
            KeyboardInterrupt: the process was asked to end; what is finished is saved.
        """
        self._current = None
        self.finished["rows"] += rows
        self.finished["seeds"].append(record)
        if not last:
            self._end_if_asked()

    def load(self) -> None:
        """Read what an earlier process has left; a file that is not this run's is ignored."""
        if self._file is None or not self._file.exists():
            return
        import torch

        try:
            found = torch.load(self._file, map_location="cpu", weights_only=True)
            if found["mark"] != self._mark:
                print(f"{self._file} is of other settings or code: not used", flush=True)
                return
            self.finished, self._current = found["finished"], found["current"]
        except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError) as error:
            print(f"{self._file} is damaged and not used: {error!r:.200}", flush=True)
        except pickle.UnpicklingError:
            print(f"{self._file} is damaged and not used", flush=True)

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

    def _end_if_asked(self) -> None:
        asked = self._interruption is not None and self._interruption.wanted
        if self._world.follow(asked):
            self._write()
            raise KeyboardInterrupt

    def _wanted(self) -> bool:
        asked = self._interruption is not None and self._interruption.wanted
        return asked or (self._file is not None and time.monotonic() >= self._next)

    def _write(self) -> None:
        if self._file is None or self._world.rank:
            return
        import torch

        content = {"mark": self._mark, "finished": self.finished, "current": self._current}
        write_atomically(self._file, lambda path: torch.save(content, path))


def write_atomically(file: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` make a file that is seen whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
