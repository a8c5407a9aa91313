"""What finished runs took, to predict the resources of similar runs.

Snakemake asks for this whenever it reads the workflow, so only a few records are read, and once.
"""

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Measured(NamedTuple):
    """What runs took: seconds per epoch and seed, and peak memory in megabytes."""

    seconds: float
    megabytes: float


@cache
def like(folder: str, batch_size: int | str) -> Measured | None:
    """The maxima over some runs in ``folder`` with this batch size; None if there are none.

    ``folder`` holds one folder for each setting of the knobs, and these the runs.
    """
    found: list[Measured] = []
    for knobs in sorted(Path(folder).glob("*")):
        records = knobs.glob(f"batch_size={batch_size}+*/run.json")
        found += filter(None, map(_measured, records))
        if len(found) >= 3:
            break
    if not found:
        return None
    return Measured(max(one.seconds for one in found), max(one.megabytes for one in found))


def _measured(file: Path) -> Measured | None:
    with suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        record = json.loads(file.read_text(encoding="utf-8"))
        wall, settings = record["wall"], record["settings"]
        # The record of a resumed run has the times of its last seeds only.
        seeds = max(1, min(settings["seeds"], len(record["seeds"])))
        seconds = (wall["training"] + wall["evaluation"]) / (seeds * settings["epochs"])
        return Measured(seconds, record["usage"]["peak_memory_mb"])
    return None
