"""Timing things against each other in one process: interleaved, as ratios with their spread."""

import statistics
import time
from collections.abc import Callable

Measured = dict[str, list[float]]


def interleaved(candidates: dict[str, Callable[[], float | None]], rounds: int) -> Measured:
    """Seconds of each candidate in every round, after one round that is not counted.

    A candidate that returns a number has timed itself.
    """
    seconds: Measured = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            own = candidate()
            taken = time.perf_counter() - start if own is None else own
            if number:
                seconds[name].append(taken)
    return seconds


def ratios(seconds: Measured, name: str, other: str) -> list[float]:
    """How many times as long ``name`` took as ``other``, round by round."""
    return [a / b for a, b in zip(seconds[name], seconds[other], strict=True)]


def show(seconds: Measured, *pairs: tuple[str, str]) -> None:
    """Print the median seconds of each candidate, and the ratio of each pair with its spread."""
    for name, values in seconds.items():
        print(f"  {name:<42} {statistics.median(values):9.3f} s")
    for name, other in pairs:
        values = ratios(seconds, name, other)
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"  {name} / {other}: {middle:.2f} ({low:.2f} to {high:.2f})")
