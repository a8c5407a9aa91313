"""The tables of a study, read back from their files and checked."""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from optlab.catalogue import tasks
from optlab.errors import DamagedError, UserError
from optlab.page.cards import Tables
from optlab.results import comparison, pairs, summary, tables
from optlab.results.statistics import with_ends
from optlab.study import kinds
from optlab.study.run import Run

TEXTS = (
    *(*summary.PROBLEM, "optimizer", "other", "batch_size", "path", "verdict", "warnings"),
    *("judged_by", "chosen_on", "status", "reason", "other_work", "lr_at_edge", "scaling"),
    *("claim", "figure", "published", "measured", "network", "metric", "best_parameters"),
    *("retrained_on", "state", "hardware", "device", "schedule", "oversubscribed"),
)
# Columns that the page needs, by table; those that are no texts hold numbers.
NEEDED: Mapping[str, Sequence[str]] = {
    "runs": ("optimizer", "status", *summary.CELLS, "path"),
    "best": ("optimizer", "chosen_on", "seeds", "settings", "lr_at_edge", *summary.CELLS, "path"),
    "optimizers": (
        *("optimizer", "rank", "verdict", "warnings", "judged_by", "seeds", "difference", "path"),
        *with_ends("test_accuracy", "test_loss"),
    ),
    "pairs": tuple(comparison.PAIRS),
    "scaling": (
        *("scaling", "batch_size", "gpus", "device", "seconds", "oversubscribed"),
        *with_ends("speedup", "efficiency"),
    ),
    "search": (
        *("network", "metric", "finished", "complete", "pruned", "diverged", "failed"),
        *("best_trial", "best_parameters", "best_value", "seeds", "retrained_diverged"),
        *with_ends("retrained_test_accuracy", "retrained_test_loss"),
    ),
    "trials": ("number", "state", "metric", "value", "status"),
    "claims": ("claim", "figure", "measured", "verdict"),
}
CHOICES = {
    ("pairs", "verdict"): {pairs.BETTER, pairs.WORSE, pairs.EQUIVALENT, pairs.OPEN},
}
FIGURES = (("pairs", "judged_by"), ("best", "chosen_on"))  # columns that name a figure


def read(folder: Path, runs: Sequence[Run], names: Collection[str] = ()) -> dict[str, pd.DataFrame]:
    """The tables in a folder, by name.

    Args:
        runs: those of the table ``runs``, in its order.
        names: of the tables that must be there.

    Raises:
        UserError: one of these is not.
        DamagedError: a table is not what was written.
    """
    for name in names:
        if not (folder / f"{name}.tsv").is_file():
            raise UserError(f"{folder}/{name}.tsv: there is no such table; tables.py writes it")
    found = {}
    for name in sorted({name for kind in kinds.KINDS.values() for name in kind.TABLES}):
        file = folder / f"{name}.tsv"
        if file.is_file():
            frame = _read(file)
            if problem := _problem(name, frame, [run.path for run in runs]):
                raise DamagedError(f"{file}: damaged: {problem}", [file])
            found[name] = frame
    return found


def _read(file: Path) -> pd.DataFrame:
    options = {"dtype": dict.fromkeys(TEXTS, str), "keep_default_na": False, "na_values": [""]}
    try:
        return pd.read_csv(file, sep="\t", low_memory=False, **options)
    except ValueError as error:  # cut off, no text, or other cells
        raise DamagedError(f"{file}: damaged: not a table", [file]) from error


def _problem(name: str, frame: pd.DataFrame, paths: list[str]) -> str:
    """What is wrong with a table; nothing if it is sound."""
    for column in NEEDED.get(name, ()) if len(frame) else ():
        if column not in frame:
            return f"it has no column '{column}'"
        cells = frame[column]
        if column not in TEXTS and not pd.api.types.is_numeric_dtype(cells):
            return f"'{column}' holds other than numbers"
        choices, words = CHOICES.get((name, column)), set(cells.dropna())
        figures = (name, column) not in FIGURES or all(map(tasks.measured_in, words))
        if not figures or (choices and not words <= choices):
            return f"'{column}' holds other words"
    if name == "runs" and list(frame["path"]) != paths:
        return "it has other runs than the study"
    if "path" in frame and name in ("best", "optimizers") and not set(frame["path"]) <= set(paths):
        return "it has a run that the study does not have"
    return ""


def as_written(found: Tables, runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Tables with the digits and types that they have when they are read from their files."""
    with tempfile.TemporaryDirectory() as folder:
        tables.write_all(Path(folder), found)
        return read(Path(folder), runs)
