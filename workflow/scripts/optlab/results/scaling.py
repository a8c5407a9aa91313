"""The scaling table: each timed run against the run of one process with the same settings.

A speed-up is a ratio of training examples per second, which for strong scaling equals the ratio of
times. It is taken seed by seed, and only between runs on the same machine.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optlab.results import clocks, summary, timed
from optlab.results.scaling_laws import amdahl, karp_flatt, replayed_evaluations
from optlab.results.statistics import ENDS, cells, geometric, with_ends
from optlab.results.summary import PROBLEM
from optlab.study.kinds.scaling import REPLAYED, STRONG, Point, points

# Rows that agree in these columns are compared; they differ in `gpus` only.
COMPARED = [*PROBLEM, "scaling", "batch_size", "epochs", "device", "machines"]

# What was learnt: accuracies of classes, and losses.
LEARNT = ("val_accuracy", "test_accuracy", "val_loss", "test_loss")
_SUMMARY = ["device", "seeds", "diverged", "status", *with_ends(*LEARNT)]

# The columns of scaling.tsv.
COLUMNS = [
    *(*PROBLEM, "scaling", "batch_size", "epochs", "gpus", "device", "hardware"),
    *("oversubscribed", clocks.COLUMN),
    *("global_batch", "lr", "seeds", "diverged", "status"),
    *with_ends("seconds", "seconds_per_epoch", "samples_per_second", "speedup", "efficiency"),
    *with_ends("karp_flatt", "serial_share"),
    *("serial_fit_error", "evaluations", "gain_from_evaluation"),
    *with_ends("step_seconds"),
    *timed.SHARES,
    *("start_up_seconds", "evaluation_seconds", "seconds_per_evaluation", "wall_seconds"),
    *("peak_memory_mb", "gpu_peak_memory_mb"),
    *with_ends(*LEARNT),
    *("target_accuracy", "reached_target", *with_ends("seconds_to_target"), "path"),
]
# Further columns: those of `timed.read`, for pictures, and two by seed, for claims.
PICTURED = ["training_seconds", "clock", "hits", "examples", "times", "speedups"]

# The columns that a replayed row has in common with its run of one process.
_KEPT = [*PROBLEM, "batch_size", "epochs", "device", "machines", "hardware", "global_batch", "lr",
         "seeds", "diverged", "status", "examples", "clock", "seconds_per_evaluation",
         "target_accuracy", "path", clocks.COLUMN]  # fmt: skip


def frame(study: Mapping[str, Any]) -> pd.DataFrame:
    """The table scaling.tsv of all scaling exercises of the study; empty where there is none.

    Raises:
        UserError: a run has not been trained, or its files are damaged.
    """
    names = [name for name, one in study["exercises"].items() if one["kind"] == "scaling"]
    found = [rows(study, name) for name in names]
    return pd.concat(found, ignore_index=True)[COLUMNS] if found else pd.DataFrame(columns=COLUMNS)


def rows(study: Mapping[str, Any], exercise: str) -> pd.DataFrame:
    """The rows of one exercise, with `COLUMNS` and `PICTURED`: measured ones, then replayed ones.

    Raises:
        UserError: a run has not been trained, or its files are damaged.
    """
    settings = study["exercises"][exercise]
    own = [point for point in points(study, exercise) if point.run.skip_reason is None]
    measured = _measured(own, settings["target_accuracy"])
    table = pd.concat([measured, _replayed(measured, settings["gpus"])], ignore_index=True)
    return _compared(table).reindex(columns=[*COLUMNS, *PICTURED])


def _measured(own: Sequence[Point], target: float | None) -> pd.DataFrame:
    """A row for each point; points may share a run."""
    runs = {point.run.path: point.run for point in own}
    settings = [
        {
            **{name: getattr(point.run, name) for name in (*PROBLEM, "epochs", "gpus", "path")},
            "scaling": point.scaling,
            "batch_size": point.batch,
            "global_batch": point.run.batch_size,
            "lr": point.run.knobs.get("lr"),
        }
        for point in own
    ]
    summaries = summary.summarise(list(runs.values()))[_SUMMARY]
    times = pd.DataFrame([timed.read(run, target) for run in runs.values()], index=list(runs))
    times[clocks.COLUMN] = clocks.notes(runs.values(), summaries["device"])
    return pd.DataFrame(settings).join(summaries.join(times), on="path")


def _replayed(measured: pd.DataFrame, gpus: Sequence[int]) -> pd.DataFrame:
    """A row for each run of one process and each number of GPUs, unless that is 1 alone."""
    one = measured.loc[measured["gpus"] == 1, _KEPT].drop_duplicates("path")
    counts = pd.DataFrame({"gpus": gpus if len(gpus) > 1 else []}, dtype=int)
    found = one.merge(counts, how="cross")
    evaluations = replayed_evaluations(found["epochs"], found["gpus"])
    return found.assign(scaling=REPLAYED, evaluations=evaluations)


def _compared(table: pd.DataFrame) -> pd.DataFrame:
    """The table with times, rates and the comparison with one process on the same machine."""
    measured = table["scaling"] != REPLAYED
    several = table["gpus"] > 1
    seconds = _seconds(table, measured)
    rates = seconds.rdiv(table["epochs"] * table["examples"], axis="index")
    groups = [table[name] for name in COMPARED]
    of_one = rates.mask(several).groupby(groups).transform("first")
    ratios = rates / of_one
    speedup = _means("speedup", ratios)
    speedup.loc[~several, ["speedup_low", "speedup_high"]] = math.nan  # 1 by definition
    rate = _means("samples_per_second", rates[measured])
    table = table.join([_means("seconds", seconds), rate, speedup, _fits(table, seconds)])
    table = table.assign(times=_by_seed(seconds), speedups=_by_seed(ratios))
    # Karp and Flatt's share falls with the speed-up, so the ends of the interval change places.
    for end, opposite in zip(ENDS, ("", "_high", "_low"), strict=True):
        table["seconds_per_epoch" + end] = (table["seconds" + end] / table["epochs"])[measured]
        table["efficiency" + end] = table["speedup" + end] / table["gpus"]
        table["karp_flatt" + end] = karp_flatt(table["speedup" + opposite], table["gpus"]).where(
            several & (table["scaling"] == STRONG)
        )
    # Our clock excludes evaluation. A replayed row has the training time of one process.
    gain = (~measured).astype(float)
    return table.assign(gain_from_evaluation=gain.where(table["speedup"] > 1))


def _seconds(table: pd.DataFrame, measured: pd.Series) -> pd.DataFrame:
    """Seconds [rows, seeds] of training, in replayed rows of training and evaluations.

    Where a clock is not above zero, nothing follows from it.
    """
    clock = pd.DataFrame(list(table["clock"]), index=table.index, dtype=float)
    clock = clock.where((clock > 0) & (clock < math.inf))
    evaluating = table["seconds_per_evaluation"] * table["evaluations"]
    return clock.add(evaluating.mask(measured, 0.0), axis="index")


def _by_seed(values: pd.DataFrame) -> list[dict[int, float]]:
    """Each row of ``values`` [rows, seeds] as a mapping, without the seeds that have no value."""
    return [dict(row.dropna()) for _, row in values.iterrows()]


def _means(name: str, values: pd.DataFrame) -> pd.DataFrame:
    """Columns of the geometric mean of each row of ``values`` [rows, seeds] and its interval."""
    found = [cells(name, geometric(list(row.dropna()))) for _, row in values.iterrows()]
    return pd.DataFrame(found, index=values.index)


def _fits(table: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    """Columns of Amdahl's law, for the rows of strong scaling with several processes."""
    found: dict[Any, dict[str, Any]] = {}
    for _, group in table[table["scaling"] == STRONG].groupby(COMPARED):
        fit = amdahl(seconds.loc[group.index].set_axis(group["gpus"]).T)
        if fit:
            law = {**cells("serial_share", fit.share), "serial_fit_error": fit.error}
            found |= dict.fromkeys(group.index[group["gpus"] > 1], law)
    return pd.DataFrame.from_dict(found, orient="index")
