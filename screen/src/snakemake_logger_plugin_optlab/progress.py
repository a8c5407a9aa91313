"""The line of progress: how many jobs are done, running and failed, and about how long is left."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TextIO

ON_A_TERMINAL = 0.2  # seconds between two updates of the line
ELSEWHERE = 30.0  # seconds between two lines, as in a file


class Progress:
    """Counts jobs; on a terminal the line is written over, elsewhere now and then a new one."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._terminal = stream.isatty()
        self._rules: dict[int, str] = {}  # of the jobs that have started
        self._begun: dict[int, float] = {}  # of the jobs that run
        self._lost: set[int] = set()
        self._left: Counter[str] = Counter()  # jobs of each rule that are not finished
        self._times: dict[str, list[float]] = defaultdict(list)
        self._done = self._total = 0
        self._start = self._shown = time.monotonic()
        self._visible = False

    def expect(self, jobs: Mapping[str, int]) -> None:
        """The number of jobs of each rule of the call."""
        self._left = Counter({rule: count for rule, count in jobs.items() if rule != "total"})
        self._total = sum(self._left.values())

    def started(self, job: int, rule: str) -> None:
        self._rules[job], self._begun[job] = rule, time.monotonic()
        self._lost.discard(job)
        self._show()

    def finished(self, job: int) -> None:
        rule, begun = self._rules.get(job, ""), self._begun.pop(job, None)
        if begun is not None:
            self._times[rule].append(time.monotonic() - begun)
        self._left[rule] -= 1
        self._done += 1
        self._show()

    def failed(self, job: int) -> None:
        self._begun.pop(job, None)
        self._lost.add(job)

    def clear(self) -> None:
        """Remove the line from a terminal, so that something else can be written."""
        if self._visible:
            self._stream.write("\r\x1b[K")
            self._visible = False

    def close(self) -> None:
        """Leave the last state on the screen."""
        self.clear()
        if self._total:
            print(self._line(), file=self._stream, flush=True)
        self._total = 0

    def _show(self) -> None:
        now = time.monotonic()
        if not self._total or now - self._shown < (ON_A_TERMINAL if self._terminal else ELSEWHERE):
            return
        self._shown = now
        if self._terminal:
            self._stream.write(f"\r{self._line()}\x1b[K")
            self._visible = True
        else:
            self._stream.write(f"{self._line()}\n")
        self._stream.flush()

    def _line(self) -> str:
        parts = [f"{self._done} of {self._total} jobs done"]
        if self._begun:
            parts.append(f"{len(self._begun)} running")
        if self._lost:
            parts.append(f"{len(self._lost)} failed")
        left = self._seconds_left()
        if left is not None and self._done < self._total and self._begun:
            parts.append(f"about {_words(left)} left")
        if not self._begun:
            parts.append(f"after {_words(time.monotonic() - self._start)}")
        return ", ".join(parts)

    def _seconds_left(self) -> float | None:
        """The time so far, times the ratio of the work that is left to the work done.

        Jobs of one rule count as equally long. A rule of which no job is done counts with the mean
        of all jobs.
        """
        every = [seconds for times in self._times.values() for seconds in times]
        if not every or not sum(every):
            return None
        mean = sum(every) / len(every)
        work = sum(
            count * (sum(known) / len(known) if (known := self._times.get(rule)) else mean)
            for rule, count in self._left.items()
        )
        return (time.monotonic() - self._start) * work / sum(every)


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
