"""One run of a scaling exercise: columns of the scaling table from its evaluations and record."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optlab import files
from optlab.errors import UserError
from optlab.results import reading
from optlab.results.comparison import first_hit, target_cells
from optlab.results.reading import Curve
from optlab.runs import failures
from optlab.study.run import Run

# The parts of a step, each timed separately; the remainder of the step is `other`.
PARTS = ("data", "forward_backward", "communication", "optimizer")
SHARES = [f"{part}_share" for part in (*PARTS, "other")]


def read(run: Run, target: float | None) -> dict[str, Any]:
    """The columns of the scaling table that the files of one run give.

    The job is the one that trained last; its times cover the seeds that it trained. Besides the
    columns of ``scaling.tsv``:

    - ``examples``: size of the training set
    - ``machines``: the GPU, or the processor, that trained each seed
    - ``training_seconds``: training in the job
    - ``clock``: seed -> training clock in seconds; diverged seeds are left out
    - ``hits``: seconds of training of each seed that reaches the target accuracy

    Of a run that failed, these and nothing else.

    Args:
        run: a finished run.
        target: validation accuracy to be reached, if any.

    Raises:
        UserError: the run has not been trained, or its files are damaged.
    """
    curves = reading.curves(run)
    if any(curve.status == failures.STATUS for curve in curves):
        return {"machines": "", "clock": {}, "hits": [], **target_cells((), None)}
    file = Path(run.folder, "run.json")
    record = _load(file)
    try:
        recorded = _recorded(record, curves)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: lacks {error}; remove it and train this run again") from error
    found = [first_hit(curve, target) for curve in curves] if target is not None else []
    return {
        **recorded,
        "evaluations": max(len(curve.epoch) for curve in curves),
        "clock": {curve.seed: float(curve.seconds[-1]) for curve in curves if not curve.diverged},
        "hits": [seconds for _, seconds in filter(None, found)],
        **target_cells(curves, target),
    }


def _recorded(record: Mapping[str, Any], curves: Sequence[Curve]) -> dict[str, Any]:
    entries = {entry["seed"]: entry for entry in record["seeds"]}
    seeds = [entries[curve.seed] for curve in curves]  # the record may have more than the study
    machines = [entry["hardware"] for entry in seeds]
    wall, hardware = record["wall"], record["hardware"]
    evaluating = sum(entry["evaluation_seconds"] for entry in seeds)
    return {
        "examples": record["sizes"]["train"],
        "machines": json.dumps(machines),
        "hardware": " and ".join(dict.fromkeys(machines)),
        "oversubscribed": bool(hardware.get("oversubscribed")),
        **_step(record.get("steps") or {}),
        "start_up_seconds": wall["start_up"],
        "training_seconds": wall["training"],
        "evaluation_seconds": wall["evaluation"],
        "seconds_per_evaluation": evaluating / sum(len(curve.epoch) for curve in curves),
        "wall_seconds": wall["total"],
        "peak_memory_mb": record["usage"].get("peak_memory_mb", math.nan),
        "gpu_peak_memory_mb": hardware.get("gpu_peak_memory_mb", math.nan),
    }


def _step(steps: Mapping[str, Any]) -> dict[str, float]:
    """Median and quartiles of a step in seconds, and the shares of its parts, which sum to 1.

    Communication is a difference of two measurements. Where its median is negative, it counts as
    zero. Where the parts sum to more than the step, they are divided by their sum.
    """
    step = steps.get("step")
    if not step:
        return {}
    parts = [max(0.0, steps[part]["median"]) for part in PARTS]
    parts.append(max(0.0, step["median"] - sum(parts)))
    whole = sum(parts) or 1.0
    return {
        "step_seconds": step["median"],
        "step_seconds_low": step["low"],
        "step_seconds_high": step["high"],
        **{name: seconds / whole for name, seconds in zip(SHARES, parts, strict=True)},
    }


def _load(file: Path) -> dict[str, Any]:
    try:
        found = files.read_json(file)
        if not isinstance(found, dict):
            raise ValueError("not a mapping")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; has this run been trained?") from error
    except ValueError as error:
        raise UserError(f"{file}: not a file of this program; remove it and run again") from error
    return found
