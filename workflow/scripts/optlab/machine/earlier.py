"""What earlier runs have taken, for the prediction of others like them.

Standard library only: this is imported at every parse. A few records of each kind are read, once.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """What runs have taken: seconds of an epoch of a seed, and memory."""

    seconds: float
    megabytes: float


@cache
def like(folder: str, batch_size: int | str) -> Measured | None:
    """The slowest of some runs in ``folder`` with this batch size; None where there is none."""
    found = []
    start = f"batch_size={batch_size}+"
    for knobs in _folders(folder):
        for plan in _folders(knobs):
            if os.path.basename(plan).startswith(start) and (one := _measured(plan)):
                found.append(one)
        if len(found) >= 3:
            break
    if not found:
        return None
    return Measured(max(one.seconds for one in found), max(one.megabytes for one in found))


def _folders(folder: str) -> list[str]:
    try:
        return sorted(entry.path for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []


def _measured(folder: str) -> Measured | None:
    with suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        record = json.loads(Path(folder, "run.json").read_text(encoding="utf-8"))
        wall, settings = record["wall"], record["settings"]
        # A run that was continued says the times of its last seeds only.
        seeds = max(1, min(settings["seeds"], len(record["seeds"])))
        seconds = (wall["training"] + wall["evaluation"]) / (seeds * settings["epochs"])
        return Measured(seconds, record["usage"]["peak_memory_mb"])
    return None
