"""The table of the scaling exercises of a study.

In:  the resolved study (--study), and metrics.tsv and run.json of the runs of its scaling
     exercises, below results/<study>/runs.
Out: scaling.tsv in --output-folder: a row per exercise, data set, network, kind of scaling, batch
     size, epochs and number of processes; and rows that replay the original lab's arithmetic.

Example:
  scaling_tables.py --study results/default/study.yaml --output-folder results/default/tables
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import command_line, metrics, scaling, scaling_plan, study, timed
from optlab.errors import UserError, in_one_line
from optlab.scaling import Row
from optlab.statistics import Estimate

Cells = dict[str, Any]


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    arguments = command_line.study_parser(__doc__, "where the tables go").parse_args(words)
    resolved = study.load(arguments.study)
    exercises = resolved["exercises"].items()
    found = {name: e for name, e in exercises if scaling_plan.is_scaling(e)}
    if not found:
        raise UserError(f"{arguments.study} has no exercise of the kind scaling")
    rows = [
        cells(row, exercise["target_accuracy"])
        for name, exercise in found.items()
        for row in scaling.rows(resolved, name)
    ]
    write(arguments.output_folder / "scaling.tsv", rows)
    return 0


def cells(row: Row, target: float | None) -> Cells:
    """A row of scaling.tsv; what a replayed row does not have is an empty cell."""
    fit = row.fit if row.gpus > 1 else None  # one process is what it is fitted against
    return {
        **settings(row),
        **estimated("seconds", scaling.mean(row.seconds)),
        **estimated("seconds_per_epoch", row.seconds_per_epoch),
        **estimated("samples_per_second", row.samples_per_second),
        **estimated("speedup", row.speedup),
        **estimated("efficiency", row.efficiency),
        **estimated("karp_flatt", row.karp_flatt),
        **estimated("serial_share", fit.share if fit else None),
        "serial_fit_error": fit.error if fit else None,
        "evaluations": row.evaluations,
        "gain_from_evaluation": row.gain_from_evaluation,
        **times(row),
        **outcome(row, target),
        "path": row.timed.run.path,
    }


def settings(row: Row) -> Cells:
    """What identifies a row, and on what it ran."""
    run, summary = row.timed.run, row.timed.summary
    return {
        **{name: getattr(run, name) for name in ("exercise", "dataset", "model")},
        "scaling": row.scaling,
        "batch_size": row.batch,
        "epochs": run.epochs,
        "gpus": row.gpus,
        "device": summary.device,
        "hardware": " and ".join(dict.fromkeys(row.timed.hardware)),
        "oversubscribed": row.timed.oversubscribed if row.measured else None,
        "global_batch": run.batch_size,
        "lr": run.knobs["lr"],
        "seeds": summary.seeds,
        "diverged": summary.diverged,
        "status": summary.status,
    }


def times(row: Row) -> Cells:
    """Where the time went: of a step in shares, of the whole job in seconds."""
    found, known = row.timed, row.measured
    step = found.step if known else None
    shares = found.shares if known else {}
    return {
        "step_seconds": step and step.median,
        "step_seconds_low": step and step.low,
        "step_seconds_high": step and step.high,
        **{f"{part}_share": shares.get(part) for part in (*timed.PARTS, timed.OTHER)},
        "start_up_seconds": found.wall["start_up"] if known else None,
        "evaluation_seconds": found.wall["evaluation"] if known else None,
        "seconds_per_evaluation": found.evaluation_seconds,
        "wall_seconds": found.wall["total"] if known else None,
        "peak_memory_mb": found.memory if known else None,
        "gpu_peak_memory_mb": found.gpu_memory if known else None,
    }


def outcome(row: Row, target: float | None) -> Cells:
    """What was learned; empty for replayed rows, since nobody trained them."""
    figures = row.timed.summary.figures if row.measured else {}
    wanted = target if row.measured else None
    reached, seconds = (None, None) if wanted is None else row.timed.target(wanted)
    return {
        **estimated("val_accuracy", figures.get("val_accuracy")),
        **estimated("test_accuracy", figures.get("test_accuracy")),
        "target_accuracy": target,
        "reached_target": reached,
        "seconds_to_target": seconds,
    }


def estimated(name: str, found: Estimate | None) -> Cells:
    """A figure and the ends of its interval."""
    ends = (found.mean, found.low, found.high) if found else (None, None, None)
    return {name + end: value for end, value in zip(("", "_low", "_high"), ends, strict=True)}


def write(path: Path, rows: Sequence[Cells]) -> None:
    """Write rows as TSV; all of them have the same columns."""
    lines = [list(rows[0]), *([text(value) for value in row.values()] for row in rows)]
    metrics.write_table(path, lines)


def text(value: Any) -> str:
    """A cell: six digits, true and false in words, empty where there is nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
