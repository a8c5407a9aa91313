"""The progress of a run: lines for a log, a bar for a terminal, a small file for `make status`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from optlab import files
from optlab.machine import alive

PAUSE = 1.0  # seconds between two updates, so that a run of many short epochs stays fast


class Progress:
    """Reports on one run; ``state`` is the file that `make status` reads."""

    def __init__(self, state: Path, seeds: range, epochs: int, done: int = 0, minutes: float = 0):
        self._state = state
        self._total = max(1, len(seeds) - done)
        self._seeds, self._epochs, self._minutes = seeds, epochs, minutes
        self._past: dict[int, float] = {}  # seed -> share of its training
        self._start = time.monotonic()
        self._next = 0.0
        self._bar = sys.stderr.isatty()
        self._facts: dict[str, Any] = {**alive.identity(), "started": time.time()}

    def update(self, seed: int, evaluation: Any) -> None:
        """Report an evaluation, unless another was reported within the last second."""
        now = time.monotonic()
        share_of_seed = evaluation.epoch / self._epochs
        if self._minutes:
            share_of_seed = evaluation.seconds / (60 * self._minutes)
        # A seed may stop early; the test set is measured at its end only.
        tested = getattr(evaluation, "test_loss", None) is not None
        last = share_of_seed >= 1 or evaluation.status != "ok" or tested
        self._past[seed] = 1 if last else share_of_seed
        if now < self._next and not last:
            return
        self._next = now + PAUSE
        share = min(1.0, sum(self._past.values()) / self._total)
        left = (now - self._start) * (1 - share) / share if share else None
        early = tested and not self._minutes and evaluation.epoch < self._epochs
        line = _line(seed, self._seeds, self._end, evaluation, left, early)
        self._print(line, share)
        self._write(status="running", share=round(share, 4))

    @property
    def _end(self) -> str:
        return "" if self._minutes else f"/{self._epochs}"

    def fail(self, message: str) -> None:
        """Record why the run ended without a result."""
        self._write(status="failed", message=message)

    def message(self) -> str:
        """Why a process of the run has ended it, as `fail` recorded it."""
        try:
            return str(files.read_json(self._state)["message"])
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown: see the log"

    def finish(self) -> None:
        """The run is complete: its progress is removed."""
        if self._bar:
            print(file=sys.stderr)
        files.remove(self._state)

    def _print(self, line: str, share: float) -> None:
        if self._bar:
            filled = round(20 * share)
            bar = "#" * filled + "." * (20 - filled)
            print(f"\r[{bar}] {line}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            print(line, flush=True)

    def _write(self, **facts: Any) -> None:
        try:
            content = json.dumps({**self._facts, "updated": time.time(), **facts})
            files.write(self._state, content, durable=False)
        except OSError as error:
            print(f"cannot write {self._state}: {error}", file=sys.stderr)


def _line(
    seed: int, seeds: range, end: str, evaluation: Any, left: float | None, early: bool
) -> str:
    epoch = f"epoch {evaluation.epoch:.5g}" if evaluation.epoch % 1 else f"epoch {evaluation.epoch}"
    parts = [f"seed {seeds.index(seed) + 1}/{len(seeds)}", f"{epoch}{end}"]
    for name in ("train_loss", "val_loss", "val_accuracy", "test_accuracy"):
        value = getattr(evaluation, name)
        if value is not None:
            parts.append(f"{name.replace('_', ' ')} {value:.4g}")
    parts.append(f"{evaluation.seconds:.2f} s")
    if evaluation.status != "ok":
        parts.append(f"{evaluation.status} at step {evaluation.step}")
    elif early:
        parts.append("stopped early")
    elif left is not None and left >= 1:
        parts.append(f"{duration(left)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in words that a person reads: 42 s, 3 min, 2 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
