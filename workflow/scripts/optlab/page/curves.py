"""The curves of runs as the browser gets them: float32, little endian, one run behind the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optlab.errors import UserError
from optlab.figures.reader import Reader
from optlab.runs import failures
from optlab.study.run import Run

POINTS = 24  # of a curve, at most
BANDED = 1000  # runs, up to which curves have bands


def of_runs(
    study: Mapping[str, Any], runs: Sequence[Run], status: pd.Series, names: Sequence[str]
) -> tuple[bytes, list[list[int]]]:
    """The curves, and for each run where they begin, how many points, and which figures they have.

    A block is the epochs, then of each figure the means over the seeds and, with bands, the lowest
    and the highest value of a seed.

    Args:
        status: of each run, by its table.
        names: the figures.
    """
    sound = [run for run, state in zip(runs, status, strict=True) if state != failures.STATUS]
    reader = Reader(study, sound) if sound else None
    blocks: list[np.ndarray] = []
    places, at = [], 0
    for run, state in zip(runs, status, strict=True):
        block, points, mask = _block(reader, run, len(runs) <= BANDED, state, names)
        places.append([at, points, mask])
        blocks.append(block)
        at += len(block)
    return np.concatenate(blocks or [np.empty(0)]).astype("<f4").tobytes(), places


@np.errstate(over="ignore", invalid="ignore")
def _block(
    reader: Reader | None, run: Run, bands: bool, state: str, names: Sequence[str]
) -> tuple[np.ndarray, int, int]:
    if reader is None or state == failures.STATUS:
        return np.empty(0), 0, 0
    try:
        curves = reader.curves(run)
    except UserError:
        return np.empty(0), 0, 0
    parts: list[np.ndarray] = []
    mask, rows = 0, np.empty(0, int)
    for bit, name in enumerate(names):
        if not any(np.isfinite(curve.of(name)).any() for curve in curves):
            continue
        (line,) = reader.lines([run], name)
        if not parts:
            rows = sampled(len(line.epoch))
            parts.append(line.epoch[rows])
        mask |= 1 << bit
        parts += [
            part[rows] for part in ((line.mean, line.low, line.high) if bands else (line.mean,))
        ]
    return (np.concatenate(parts) if parts else np.empty(0)), len(rows), mask


def sampled(number: int) -> np.ndarray:
    """The evaluations that are shown: all of a few, else some of the beginning and some of all."""
    if number <= POINTS:
        return np.arange(number)
    early, even = np.geomspace(1, number, POINTS // 2), np.linspace(1, number, POINTS // 2)
    return np.unique(np.concatenate([early, even]).round().astype(int)) - 1
