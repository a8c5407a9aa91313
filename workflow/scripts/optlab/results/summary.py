"""Runs summarised over their seeds, and the best setting of each optimizer, as DataFrames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optlab.catalogue import axes, tasks
from optlab.catalogue.knobs import SHOWN
from optlab.results import reading
from optlab.results.statistics import intervals, with_ends
from optlab.runs import failures, record
from optlab.study.run import Run

PROBLEM = ["exercise", "dataset", "model"]
CELLS = with_ends(*reading.FIGURES)
EPOCHS = "epochs_trained"  # of runs whose settings do not say it
AUTO = "auto"  # the metric of an exercise that names none


def summarise(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a run, indexed by its path, in the order of the runs.

    Columns: ``run``; its settings; ``device``; ``seeds`` and of these ``diverged``; ``status``,
    ``failed`` or ``diverged`` where any seed did; ``diverged_step``, the earliest; where runs end
    by the clock or may stop early, ``epochs_trained`` and ``stopped_early``, a number of seeds;
    and each figure's mean over the seeds that ended well, with the ends of its interval (``_low``,
    ``_high``).

    Raises:
        UserError: a run has no metrics, or lacks a seed.
    """
    last = reading.finals(runs)
    ends = _ends(runs, last)
    good, failed = last["status"] == "ok", last["status"] == failures.STATUS
    lost = ~good & ~failed
    by_run = last.groupby("path", sort=False)
    found = pd.DataFrame(
        {
            "device": by_run["device"].first(),
            "seeds": by_run.size(),
            "diverged": lost.groupby("path", sort=False).sum(),
            "diverged_step": last["step"].where(lost).groupby("path", sort=False).min(),
        }
    )
    found["status"] = np.where(found["diverged"] > 0, "diverged", "ok")
    found.loc[failed.groupby("path", sort=False).any(), "status"] = failures.STATUS
    for name, values in ends.items():
        found[name] = values
    names = reading.figures_in(last.columns)
    figures = last.loc[good, names].astype(float)
    table = settings(runs).join(found).join(intervals(figures, "path"))
    cells = with_ends(*names)
    return table[[*table.columns.drop(cells), *cells]]


def cells_in(table: pd.DataFrame) -> list[str]:
    """The columns of a table of runs that hold figures and the ends of their intervals."""
    return [*CELLS, *with_ends(*tasks.more_figures(table.columns))]


def _ends(runs: Sequence[Run], last: pd.DataFrame) -> dict[str, pd.Series]:
    """When seeds ended, of runs that do not say it: by the clock, or because they stopped early."""
    open_ended = [run.path for run in runs if run.patience or run.minutes]
    if not open_ended:
        return {}
    own = last.index.get_level_values("path").isin(open_ended)
    epochs = last["epoch"].where(own & (last["status"] == "ok")).astype(float)
    found = {EPOCHS: epochs.groupby("path", sort=False).mean()}
    if record.STOPPED in last:
        early = last[record.STOPPED].map(str).str.lower() == "true"
        waits = {run.path for run in runs if run.patience}
        counts = early.groupby("path", sort=False).sum()
        found[record.STOPPED] = counts.astype(float).where(counts.index.isin(waits))
    return found


def sound(table: pd.DataFrame) -> pd.DataFrame:
    """The runs that did not fail: only these are chosen, compared and drawn."""
    return table[table["status"] != failures.STATUS]


def settings(runs: Sequence[Run]) -> pd.DataFrame:
    """What identifies each run; a knob that its optimizer does not have is None.

    Besides ``lr`` and ``momentum``, a knob has a column where it is not at its default in any run,
    and so has each further axis of the grid (`optlab.catalogue.axes`). A run that ends by the clock
    has no ``epochs``.
    """
    others = sorted({knob for run in runs for knob in run.shown_knobs} - set(SHOWN))
    varied = [name for name in axes.AXES if any(name in run.changed for run in runs)]
    knobs = [*SHOWN, *others, *varied]
    rows = [
        {
            "path": run.path,
            "run": run,
            **{name: getattr(run, name) for name in (*PROBLEM, "optimizer")},
            **{knob: {**run.knobs, **run.axes}.get(knob) for knob in knobs},
            "batch_size": run.batch_size,
            "epochs": None if run.minutes else run.epochs,
            "gpus": run.gpus,
        }
        for run in runs
    ]
    return pd.DataFrame(rows, dtype=object).set_index("path")


def loss_shown(table: pd.DataFrame) -> str:
    """The loss to look at: on validation data, else on training data."""
    return "val_loss" if _measured(table, "val_loss") else "train_loss"


def chosen_on(table: pd.DataFrame, metric: str = AUTO) -> str:
    """The figure that decides between runs: the metric on validation data, else a loss.

    Args:
        metric: accuracy, loss, another metric, or auto: accuracy where there are classes.
    """
    figure = f"val_{'accuracy' if metric == AUTO else tasks.column(metric)}"
    return figure if metric != "loss" and _measured(table, figure) else loss_shown(table)


def _measured(table: pd.DataFrame, figure: str) -> bool:
    """Whether the data have a figure; where every seed diverged, evaluations before that tell."""
    if figure not in table:
        return False
    if (table["diverged"] < table["seeds"]).any():
        return table[figure].notna().any()
    return any(
        not np.isnan(curve.of(figure)).all() for curve in reading.curves(table["run"].iloc[0])
    )


def ordered(table: pd.DataFrame, metric: str = AUTO) -> pd.DataFrame:
    """The runs from the best to the worst: fewest diverged seeds, then the metric, then the loss.

    Of runs with the same figures the first stays first. Runs that failed are the last.
    """
    figure = chosen_on(table, metric)
    keys = (
        tasks.sign(name) * table[name].fillna(np.inf * tasks.sign(name))
        for name in (loss_shown(table), figure)
    )
    return table.iloc[np.lexsort((*keys, table["diverged"], table["status"] == failures.STATUS))]


def metrics(study: Mapping[str, Any]) -> dict[str, str]:
    """The metric of each exercise that has one."""
    return {name: one["metric"] for name, one in study["exercises"].items() if "metric" in one}


def best(table: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """The best setting of each optimizer on each problem, in the study's order.

    ``metrics`` is the metric of each exercise. Further columns: ``chosen_on``; ``settings``, how
    many were tried; ``diverged_settings`` and ``failed_settings`` among them; ``lr_at_edge``,
    whether the learning rate is the ``lowest``, the ``highest`` or the ``only`` one that was tried,
    so that a better one may be outside the grid. An optimizer of which every setting failed has the
    first of them.
    """
    groups = [group for _, group in table.groupby([*PROBLEM, "optimizer"], sort=False)]
    known = [metrics.get(group["exercise"].iloc[0], AUTO) for group in groups]
    chosen = [ordered(group, one).iloc[0] for group, one in zip(groups, known, strict=True)]
    # One figure a problem, also for an optimizer of which every seed diverged.
    figures = {
        problem: chosen_on(group, metrics.get(problem[0], AUTO))
        for problem, group in table.groupby(PROBLEM, sort=False)
    }
    return table.loc[[row["run"].path for row in chosen]].assign(
        chosen_on=[figures[tuple(row[PROBLEM])] for row in chosen],
        settings=[len(group) for group in groups],
        diverged_settings=[int((group["status"] == "diverged").sum()) for group in groups],
        failed_settings=[len(group) - len(sound(group)) for group in groups],
        lr_at_edge=[
            _edge(row["run"], group["run"]) for row, group in zip(chosen, groups, strict=True)
        ],
    )


def _edge(chosen: Run, tried: Sequence[Run]) -> str:
    rates = sorted({run.knobs["lr"] for run in tried if "lr" in run.knobs})
    if len(rates) < 2:  # none, where the class has its own
        return "only" if rates else ""
    return {rates[0]: "lowest", rates[-1]: "highest"}.get(chosen.knobs["lr"], "")
