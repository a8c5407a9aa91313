"""The training clock, and the end of a run that trains for a time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from optlab.training.world import Question, World

LOOK = 0.05  # seconds between two times that several ranks ask rank 0


class Clock:
    """A stopwatch that synchronizes with the device whenever it starts or stops."""

    def __init__(self, device: torch.device):
        self.seconds = self.cpu = 0.0
        self._device = device
        self._start = self._start_cpu = 0.0

    def __enter__(self) -> None:
        self._wait()
        self._start, self._start_cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._wait()
        self.seconds += time.perf_counter() - self._start
        self.cpu += time.thread_time() - self._start_cpu

    def seconds_so_far(self) -> float:
        """What the running clock shows, without waiting for the device."""
        return self.seconds + time.perf_counter() - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the running clock for the time of the context."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class Deadline:
    """When the training clock of a run is at its end; all ranks must stop at the same step."""

    def __init__(self, minutes: float, world: World):
        self._seconds, self._over = 60 * minutes, Question(world, LOOK)

    def is_over(self, seconds: float) -> bool:
        """Whether so many seconds of the training clock are all."""
        return self._over.asked(lambda: seconds >= self._seconds)
