"""The tables of a study, each as a DataFrame with the columns of its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from optlab import files
from optlab.results import (
    budget,
    clocks,
    comparison,
    profiles,
    scaling,
    searches,
    summary,
    verdicts,
)
from optlab.results.comparison import Contest
from optlab.results.statistics import with_ends
from optlab.results.summary import PROBLEM
from optlab.runs import failures, record
from optlab.study import kinds, table
from optlab.study.kinds import search
from optlab.values import text

Study = Mapping[str, Any]

TRIED = ["settings", "diverged_settings", "failed_settings", "lr_at_edge"]
COMPARED = [
    *("rank", "verdict", "warnings", "judged_by"),
    *with_ends("test_accuracy", "test_loss"),
    *(*comparison.DIFFERENCE, *comparison.EFFORT),
    *with_ends("train_accuracy", "train_loss", "val_accuracy", "val_loss", "seconds"),
    *comparison.target_cells((), None),
    *("seeds", "diverged", "tuning_seeds", *TRIED),
]


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """Every table of the study, by name.

    Raises:
        UserError: a run or a search has not finished, or its files are damaged.
    """
    exercises = study["exercises"].values()
    wanted = {name for exercise in exercises for name in kinds.of(exercise).TABLES}
    found: dict[str, pd.DataFrame] = {}
    if "runs" in wanted:
        every = summary.summarise(table.every(study))
        found["runs"] = runs(every)
        if "best" in wanted:
            found |= _compared(study, every)
    if "scaling" in wanted:
        found["scaling"] = scaling.frame(study)
    if "claims" in wanted:
        found["claims"] = verdicts.frame(study)
    if "trials" in wanted:
        some = search.every(study)
        found |= {"trials": searches.trials(some), "search": searches.summaries(some)}
    return found


def runs(every: pd.DataFrame) -> pd.DataFrame:
    """A row a run; ``every`` is what `summary.summarise` gives."""
    told = clocks_told(failures_told(every))
    columns = ["seeds", "diverged", *_ends(told), "status", "reason", clocks.COLUMN]
    return _select(told, [*columns, *summary.cells_in(told)])


def _ends(told: pd.DataFrame) -> list[str]:
    """The columns that say when seeds ended, where some run does not say it by its settings."""
    return [name for name in (record.STOPPED, summary.EPOCHS) if name in told]


def clocks_told(every: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column ``other_work``: whether it made their seconds longer."""
    return every.assign(**{clocks.COLUMN: clocks.notes(every["run"], every["device"])})


def failures_told(every: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column ``reason``: why a run failed."""
    failed = every["status"] == failures.STATUS
    reasons = [
        failures.reason(run.folder) if lost else None
        for run, lost in zip(every["run"], failed, strict=True)
    ]
    return every.assign(reason=pd.Series(reasons, every.index, dtype=object))


def _compared(study: Study, every: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of sweeps: the best settings, and their ranks."""
    metrics = summary.metrics(study)
    grids = every[[not run.timed for run in every["run"]]]
    best = failures_told(summary.best(grids, metrics))
    found = comparison.contests(study, best)
    chosen = ["chosen_on", "seeds", "diverged", *_ends(best), "status", "reason", *TRIED]
    return {
        "best": _select(clocks_told(best), [*chosen, clocks.COLUMN, *summary.cells_in(best)]),
        "optimizers": _optimizers(study, found, best, grids),
        "pairs": _pairs(found),
        "budget": budget.frame(grids, metrics),
        "profiles": profiles.frame(study, best),
    }


def _pairs(found: Sequence[Contest]) -> pd.DataFrame:
    """Every pair of optimizers of every problem."""
    frames = [comparison.frame(one) for one in found]
    return pd.concat(frames) if frames else pd.DataFrame(columns=comparison.PAIRS)


def _optimizers(
    study: Study, found: Sequence[Contest], best: pd.DataFrame, grids: pd.DataFrame
) -> pd.DataFrame:
    """The optimizers of every problem by rank; those that failed are the last."""
    targets = {name: one.get("target_accuracy") for name, one in study["exercises"].items()}
    problems = dict(list(grids.groupby(PROBLEM, sort=False)))
    ranked = []
    for one in found:
        exercise, *place = one.best[PROBLEM].iloc[0]
        warnings = budget.under_tuned(problems[exercise, *place])
        notes = {name: [warning] for name, warning in warnings.items()}
        ranked.append(comparison.rank(one, targets[exercise], notes))
    ranks = {tuple(one.best[PROBLEM].iloc[0]): len(one.contestants) for one in found}
    for problem, group in best.groupby(PROBLEM, sort=False):
        lost = comparison.failed(group, ranks.get(problem, 0))
        ranked += [lost] if len(group) > 1 and len(lost) else []
    if not ranked:
        return pd.DataFrame(columns=[*PROBLEM, "optimizer"])
    frame = pd.concat(ranked)
    frame = frame.reindex(columns=list(dict.fromkeys([*frame.columns, *COMPARED])))
    # The settings as in the other tables: a knob that only a later problem has, an axis.
    settings = grids.columns[: grids.columns.get_loc("device")]
    rest = frame.columns.difference(settings, sort=False)
    more = [name for name in summary.cells_in(frame) if name not in (*COMPARED, *summary.CELLS)]
    return _select(grids.loc[frame.index, settings].join(frame[rest]), [*COMPARED, *more])


def _select(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """What identifies each run, then these columns, then its path."""
    identity = frame.columns[1 : frame.columns.get_loc("device") + 1]  # behind `run`
    return frame[[*identity, *columns]].assign(path=frame.index).reset_index(drop=True)


def write_all(folder: Path, found: Mapping[str, pd.DataFrame]) -> None:
    """Write the tables of a study as TSV, and remove those of kinds that it no longer has.

    Numbers have six digits, p-values three; a cell is empty where there is no value.
    """
    for name, frame in found.items():
        shown = {column: frame[column].map(_format(column, frame[column])) for column in frame}
        content = pd.DataFrame(shown).to_csv(sep="\t", index=False, lineterminator="\n")
        files.write(folder / f"{name}.tsv", content)
    for name in {name for kind in kinds.KINDS.values() for name in kind.TABLES} - found.keys():
        (folder / f"{name}.tsv").unlink(missing_ok=True)


def _format(column: str, values: pd.Series) -> Any:
    """How the cells of a column are written: settings as in a path, measured numbers shortened."""
    digits = ".3g" if column.startswith("p_") or column == "p" else ".6g"
    measured = values.dtype == float

    def cell(value: Any) -> str:
        if value is None or value != value:
            return ""
        return format(value, digits) if measured else text(value)

    return cell
