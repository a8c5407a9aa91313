"""The tables of a study, each as a DataFrame with the columns of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from optlab import files
from optlab.results import comparison, scaling, searches, summary, verdicts
from optlab.results.summary import CELLS, PROBLEM
from optlab.study import kinds, table
from optlab.study.kinds import search as search_kind
from optlab.values import text

IDENTITY = [*PROBLEM, "optimizer"]
_FIGURES = [c for c in CELLS if c.startswith(("train_accuracy", "val_accuracy", "test_accuracy"))]

# The columns of a table without rows; the others always have some.
EMPTY = {"optimizers": IDENTITY, "best": IDENTITY, "claims": list(verdicts.COLUMNS)}


def tables(study: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Every table of the study, by name.

    Raises:
        UserError: a run or a search has not finished, or its files are damaged.
    """
    exercises = study["exercises"].values()
    wanted = {name: None for exercise in exercises for name in kinds.of(exercise).TABLES}
    found: dict[str, pd.DataFrame] = {}
    if "runs" in wanted:
        found |= _of_runs(study)
    if "scaling" in wanted:
        found["scaling"] = scaling.frame(study)
    if "trials" in wanted:
        every = search_kind.every(study)
        found |= {"trials": searches.trials(every), "search": searches.summaries(every)}
    return {name: found[name] for name in wanted}


def _of_runs(study: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables that are made from the metrics of runs."""
    runs = summary.summarise(table.runs(study)).reset_index()
    runs.index = pd.Index(runs["path"])
    found = {"runs": _select(runs, ["seeds", "diverged", "status", *CELLS])}
    untimed = runs[[not run.timed for run in runs["run"]]]
    if untimed.empty:
        return found
    best = summary.best(untimed)
    ranked = comparison.rank(best, comparison.targets_of(study))
    tried = ["settings", "diverged_settings", "lr_at_edge"]
    target = list(comparison.target_cells((), None))
    tested = [c for c in ranked.columns if c.startswith("test_difference")]
    found["best"] = _select(best, ["chosen_on", "seeds", "diverged", "status", *tried, *CELLS])
    found["optimizers"] = _select(
        ranked.assign(**{p: ranked[p].map(_p) for p in ("p", "p_holm") if p in ranked}),
        ["rank", "verdict", *_FIGURES, *[c for c in CELLS if c.startswith("seconds")],
         *target, "seeds", "diverged", *tried, *tested, "p", "p_holm"],
    )  # fmt: skip
    found["claims"] = claims(study, runs)
    return found


def _select(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """What identifies each run, then these columns, then its path."""
    if frame.empty:
        return frame
    end = frame.columns.get_loc("device") + 1
    own = [name for name in frame.columns[:end] if name not in ("path", "run")]
    return frame[[*own, *columns, "path"]]


def _p(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}"


def claims(study: Mapping[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each statement of the study's sources."""
    rows = [
        {"exercise": name, **verdicts.judge(claim, runs[runs["exercise"] == name])}
        for name, exercise in study["exercises"].items()
        for claim in exercise.get("claims", ())
    ]
    return pd.DataFrame(rows, columns=list(verdicts.COLUMNS))


def write(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write a table as TSV: six digits, empty cells for what is missing."""
    if frame.empty:
        frame = pd.DataFrame(columns=EMPTY[name])
    shown = frame.copy()
    for column in shown.columns:
        if shown[column].dtype == object or shown[column].dtype == bool:
            shown[column] = shown[column].map(_cell)
    content = shown.to_csv(sep="\t", index=False, float_format="%.6g", lineterminator="\n")
    files.write(folder / f"{name}.tsv", content)


def _cell(value: Any) -> Any:
    """A setting as `values.text` writes it; other numbers are formatted by pandas."""
    if isinstance(value, bool | list | tuple | float):
        return "" if value is None or value != value else text(value)
    return value
