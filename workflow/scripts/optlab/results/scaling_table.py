"""The table of scaling exercises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from optlab.results import scaling, timed
from optlab.results.comparison import target_cells
from optlab.results.scaling import Row, mean
from optlab.results.statistics import ENDS, cells


def frame(study: Mapping[str, Any]) -> pd.DataFrame:
    """A row per kind of scaling, batch size, epochs and number of processes of each exercise."""
    return pd.DataFrame(
        [
            row_cells(row, exercise["target_accuracy"])
            for name, exercise in study["exercises"].items()
            if exercise["kind"] == "scaling"
            for row in scaling.rows(study, name)
        ]
    )


def row_cells(row: Row, target: float | None) -> dict[str, Any]:
    """A row of scaling.tsv; what a replayed row does not have is an empty cell."""
    fit = row.fit if row.gpus > 1 else None  # one process is what it is fitted against
    return {
        **settings(row),
        **cells("seconds", mean(row.seconds)),
        **cells("seconds_per_epoch", row.seconds_per_epoch),
        **cells("samples_per_second", row.samples_per_second),
        **cells("speedup", row.speedup),
        **cells("efficiency", row.efficiency),
        **cells("karp_flatt", row.karp_flatt),
        **cells("serial_share", fit.share if fit else None),
        "serial_fit_error": fit.error if fit else None,
        "evaluations": row.evaluations,
        "gain_from_evaluation": row.gain_from_evaluation,
        **times(row),
        **outcome(row, target),
        "path": row.timed.run.path,
    }


def settings(row: Row) -> dict[str, Any]:
    """What identifies a row, and on what it ran."""
    run, summary = row.timed.run, row.timed.summary
    return {
        **{name: getattr(run, name) for name in ("exercise", "dataset", "model")},
        "scaling": row.scaling,
        "batch_size": row.batch,
        "epochs": run.epochs,
        "gpus": row.gpus,
        "device": summary["device"],
        "hardware": " and ".join(dict.fromkeys(row.timed.hardware)),
        "oversubscribed": row.timed.oversubscribed if row.measured else None,
        "global_batch": run.batch_size,
        "lr": run.knobs["lr"],
        "seeds": summary["seeds"],
        "diverged": summary["diverged"],
        "status": summary["status"],
    }


def times(row: Row) -> dict[str, Any]:
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


def outcome(row: Row, target: float | None) -> dict[str, Any]:
    """What was learned; empty for replayed rows, since nobody trained them."""
    figures = ("val_accuracy", "test_accuracy")
    summary = row.timed.summary if row.measured else {}
    names = [name + end for name in figures for end in ENDS]
    curves = row.timed.curves if row.measured else ()
    reached = target_cells(curves, target if row.measured else None)
    return {**{name: summary.get(name) for name in names}, **reached, "target_accuracy": target}
