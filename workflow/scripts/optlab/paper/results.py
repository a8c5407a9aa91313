"""The results of each exercise: a reader's selection of the tables, and the pictures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from optlab.figures import plan, words
from optlab.figures.plan import KINDS
from optlab.page import sweeps
from optlab.page.cards import Study, Tables, rows_of, subject, title
from optlab.paper.document import Block, Heading, Picture, Table
from optlab.paper.numbers import figure, heading, of_row, signed
from optlab.results import summary
from optlab.runs import failures
from optlab.study import table
from optlab.study.run import Run
from optlab.values import text

SLOWED = "its seconds are too long"  # how the warning about other work on the machine begins


def blocks(study: Study, exercise: str, tables: Tables, known: Mapping[str, Run]) -> list[Block]:
    """The tables and the main pictures of an exercise; ``known`` are the runs by their paths."""
    found: list[Block] = [Heading(title(study, exercise), 2)]
    found += _sweeps(study, exercise, tables, known)
    found += _scalings(study, exercise, tables)
    found += _searches(study, exercise, tables)
    found += _claims(study, exercise, tables)
    return [*found, *(one for one in pictures(study, exercise) if not one.small)]


def pictures(study: Study, exercise: str | None) -> list[Picture]:
    """The pictures of an exercise, or of the whole study; those of single optimizers are small."""
    if exercise is None:
        every, folder = plan.of_study(study), PurePosixPath("figures")
    else:
        every = plan.pictures(study, exercise, _finished(study, exercise))
        folder = PurePosixPath("figures", exercise)
    return [Picture(folder / f"{one.name}.pdf", _caption(one), one.kind == "loss") for one in every]


def _finished(study: Study, exercise: str) -> list[Run] | None:
    is_sweep = study["exercises"][exercise]["kind"] == "sweep"
    return table.finished(study, exercise) if is_sweep else None


def _caption(one: plan.Picture) -> str:
    """Its title; those of searches do not say what is shown."""
    return f"{one.title}: {KINDS[one.kind]}." if one.kind.startswith("search-") else f"{one.title}."


# -- sweeps ------------------------------------------------------------------------------------


def _sweeps(
    study: Study, exercise: str, tables: Tables, known: Mapping[str, Run]
) -> Iterator[Table]:
    ranked = rows_of(tables, "optimizers", exercise)
    best = rows_of(tables, "best", exercise)
    for number, (problem, chosen) in enumerate(best.groupby(summary.PROBLEM, sort=False), 1):
        mine = ranked
        for column, value in zip(summary.PROBLEM, problem, strict=True):
            mine = mine[mine[column] == value] if len(mine) else mine
        rows = mine if len(mine) else chosen
        runs = [known[path] for path in rows["path"]]
        make = _ranked if len(mine) else _chosen
        place = f"{title(study, exercise)}, {subject(problem[2], problem[1])}"
        yield make(f"{exercise}-{number}", place, rows, [setting(study, run) for run in runs], runs)


def setting(study: Study, run: Run) -> str:
    """The settings of a run, with those of its batches, epochs and processes that vary."""
    exercise = study["exercises"][run.exercise]
    axes = {"batch_sizes": "batch_size", "epochs": "epochs", "gpus": "gpus"}
    varied = [axis for key, axis in axes.items() if len(exercise[key]) > 1]
    names = {"batch_size": "batch", "gpus": "processes"}
    more = [f"{names.get(axis, axis)} {getattr(run, axis)}" for axis in varied]
    return ", ".join(filter(None, (words.knobs(run), *more)))


def _ranked(
    name: str, place: str, rows: pd.DataFrame, settings: Sequence[str], runs: Sequence[Run]
) -> Table:
    """The optimizers of a problem by rank."""
    column = rows["judged_by"].iloc[0]
    column = column if isinstance(column, str) else "test_accuracy"  # of failures alone
    labels = words.labels(runs)
    cells = [
        (
            str(int(row["rank"])),
            label,
            chosen,
            of_row(row, column),
            _difference(row, column),
            row["verdict"],
            seeds(row),
        )
        for label, chosen, (_, row) in zip(labels, settings, rows.iterrows(), strict=True)
    ]
    head = ("rank", "optimizer", "setting", heading(column), heading(column, True))
    caption = (
        f"{place}: the optimizers by rank. Means over seeds with 95 % intervals; differences "
        "from the first in rank, over common seeds, with intervals that are valid at every look."
    )
    # The times are not in this table.
    notes = [one for one in sweeps.warnings_of(labels, rows["warnings"]) if SLOWED not in one]
    return Table(name, caption, (*head, "verdict", "seeds"), cells, notes)


def _difference(row: pd.Series, column: str) -> str:
    return "" if math.isnan(row["difference"]) else of_row(row, "difference", column)


def seeds(row: pd.Series) -> str:
    """The number of seeds of a row, and how many of them diverged."""
    if math.isnan(row["seeds"]):
        return "–"
    lost = int(row["diverged"]) if not math.isnan(row["diverged"]) else 0
    return f"{int(row['seeds'])}" + (f" ({lost} diverged)" if lost else "")


def _chosen(
    name: str, place: str, rows: pd.DataFrame, settings: Sequence[str], runs: Sequence[Run]
) -> Table:
    """The best setting of each optimizer of a problem on which no ranks are given."""
    column = rows["chosen_on"].iloc[0]
    own = column.replace("val_", "test_")
    known = [one for one in (own, "test_accuracy", "test_loss") if one in rows]
    tests = [one for one in known if rows[one].notna().any()][:1]
    figures = list(dict.fromkeys([column, *tests]))
    cells = [
        (label, chosen, *(of_row(row, one) for one in figures), _tried(row), seeds(row))
        for label, chosen, (_, row) in zip(
            words.labels(runs), settings, rows.iterrows(), strict=True
        )
    ]
    head = ("optimizer", "setting", *map(heading, figures), "settings tried", "seeds")
    caption = (
        f"{place}: the best setting of each optimizer, chosen by {heading(column).split(',')[0]}."
        " Means over seeds with 95 % intervals."
    )
    failed = [
        f"{label}: failed: {row['reason']}"
        for label, (_, row) in zip(words.labels(runs), rows.iterrows(), strict=True)
        if row["status"] == failures.STATUS
    ]
    return Table(name, caption, head, cells, failed)


def _tried(row: pd.Series) -> str:
    lost = [f"{int(row[f'{what}_settings'])} {what}" for what in ("diverged", "failed")
            if row[f"{what}_settings"] > 0]  # fmt: skip
    return str(int(row["settings"])) + (f" ({', '.join(lost)})" if lost else "")


# -- scaling, searches, claims -----------------------------------------------------------------


def _scalings(study: Study, exercise: str, tables: Tables) -> Iterator[Table]:
    every = rows_of(tables, "scaling", exercise)
    for number, (place, rows) in enumerate(every.groupby(["dataset", "model"], sort=False), 1):
        several = rows["epochs"].nunique() > 1
        test = "test_accuracy" if rows["test_accuracy"].notna().any() else "test_loss"
        figures = ("seconds", "speedup", "efficiency", test)
        cells = [
            (
                row["scaling"],
                str(row["batch_size"]),
                *([text(row["epochs"])] if several else []),
                text(row["gpus"]),
                *(of_row(row, one) for one in figures),
            )
            for _, row in rows.iterrows()
        ]
        epochs = ["epochs"] if several else []
        head = ("scaling", "batch", *epochs, "processes", "training time, s", "speed-up")
        dataset, model = place
        caption = (
            f"{title(study, exercise)}, {subject(model, dataset)}: gain from more processes, with "
            "95 % intervals. Replayed rows insert the times of one process into the formula of "
            "the original lab."
        )
        head = (*head, "efficiency", heading(test))
        yield Table(f"{exercise}-{number}", caption, head, cells)


def _searches(study: Study, exercise: str, tables: Tables) -> Iterator[Table]:
    rows = rows_of(tables, "search", exercise)
    if not len(rows):
        return
    metric = rows["metric"].iloc[0]
    test = "test_accuracy" if rows["retrained_test_accuracy"].notna().any() else "test_loss"
    cells = [
        (
            subject(row["network"], row["dataset"]),
            " / ".join(text(row[one]) for one in ("complete", "pruned", "diverged", "failed")),
            _parameters(row["best_parameters"]),
            figure(metric, row["best_value"]),
            of_row(row, f"retrained_{test}", test),
            "–" if math.isnan(row["seeds"]) else text(int(row["seeds"])),
        )
        for _, row in rows.iterrows()
    ]
    counts = "complete / pruned / diverged / failed"
    figures = (f"best trial: {heading(metric)}", f"retrained: {heading(test)}")
    head = ("search", counts, "best setting", *figures, "seeds")
    caption = (
        f"{title(study, exercise)}: the best trial of each search, whose figure is the best of "
        "many and so optimistic, and its setting trained again with other seeds."
    )
    yield Table(f"{exercise}-search", caption, head, cells)


def _parameters(given: Any) -> str:
    """The parameters of a trial, numbers with four digits."""
    if not isinstance(given, str):
        return "–"
    found = []
    for part in given.split(", "):
        name, _, value = part.partition("=")
        try:
            value = figure("", float(value))
        except ValueError:
            value = words.plain(value)
        found.append(f"{name} {value}")
    return ", ".join(found)


def _claims(study: Study, exercise: str, tables: Tables) -> Iterator[Table]:
    rows = rows_of(tables, "claims", exercise)
    if len(rows):
        cells = [
            (row["claim"], _cell(row["published"]), _measured(row), row["verdict"])
            for _, row in rows.iterrows()
        ]
        caption = f"{title(study, exercise)}: claims of the study's sources, and what was measured."
        head = ("claim", "published", "measured", "verdict")
        yield Table(f"{exercise}-claims", caption, head, cells)


def _cell(value: Any) -> str:
    return signed(value) if isinstance(value, str) else ""


def _measured(row: pd.Series) -> str:
    """What was measured, with the digits of the table."""
    ends = [row.get(f"measured{end}", math.nan) for end in ("_low", "_high")]
    if any(math.isnan(end) for end in ends):
        return _cell(row["measured"])
    low, high = (signed(f"{end:.6g}") for end in ends)
    return f"{_cell(row['measured'])} ({low}{' to ' if ends[0] < 0 else '–'}{high})"
