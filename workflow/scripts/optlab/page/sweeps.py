"""The cards of sweeps: which optimizer is first, and what is known of the others."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from optlab.catalogue.tasks import sign
from optlab.figures import words
from optlab.page.cards import (
    ASK,
    BAD,
    GOOD,
    PLAIN,
    SAME,
    Card,
    Line,
    Study,
    Tables,
    begin,
    evidence,
    rows_of,
)
from optlab.page.wording import difference, figure, listed, name_of
from optlab.results import pairs, summary
from optlab.study.run import Run


def cards(study: Study, exercise: str, tables: Tables, known: Mapping[str, Run]) -> Iterator[Card]:
    best = rows_of(tables, "best", exercise)
    ranked = rows_of(tables, "optimizers", exercise)
    for problem, chosen in best.groupby(summary.PROBLEM, sort=False):
        card = begin(study, *problem)
        mine = ranked
        for column, value in zip(summary.PROBLEM, problem, strict=True):
            mine = mine[mine[column] == value] if len(mine) else mine
        runs = [known[path] for path in chosen["path"]]
        if len(mine):
            _ranked(card, mine, known)
        else:
            _lowest(card, chosen, runs)
        yield card


def _ranked(card: Card, rows: pd.DataFrame, known: Mapping[str, Run]) -> None:
    """Fill a card from the rows of ``optimizers.tsv``, which are in the order of their rank."""
    first = rows.iloc[0]
    runs = [known[path] for path in rows["path"]]
    labels = words.labels(runs)
    column = first["judged_by"]
    card.answer, card.setting = labels[0], words.knobs(runs[0])
    card.verdict = _sentence(first["verdict"])
    card.kind = GOOD if first["verdict"].startswith("the best") else ASK
    if not isinstance(column, str) or math.isnan(first[column]):
        card.answer, card.setting, card.kind = "No answer", "", BAD
        card.verdict = "No seed of any optimizer came to its end."
    else:
        card.evidence = evidence(column, first, bool(runs[0].confirms or first["seeds"] > 1))
    others = list(zip(labels[1:], (row for _, row in rows.iloc[1:].iterrows()), strict=True))
    kinds = (
        (pairs.EQUIVALENT, SAME, "Equivalent"),
        (pairs.OPEN, ASK, "Open"),
        (pairs.WORSE, BAD, "Worse"),
        ("failed", BAD, "Failed"),
    )
    for verdict, kind, name in kinds:
        mine = [(label, row) for label, row in others if row["verdict"].startswith(verdict)]
        if mine:
            texts = [_other(label, row, column) for label, row in mine]
            card.lines.append(Line(kind, f"{name} ({len(mine)})", listed(texts)))
    card.warnings = warnings_of(labels, rows["warnings"])


def _sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def _other(label: str, row: pd.Series, column: str) -> str:
    """An optimizer that is not the first, in a list of those with the same verdict."""
    verdict = row["verdict"]
    if verdict.startswith(pairs.OPEN):
        return f"{label} ({verdict.removeprefix('open: ').replace('about ', '')})"
    if verdict == pairs.WORSE and not math.isnan(row["difference"]):
        return f"{label} ({difference(column, row['difference'])})"
    detail = verdict.partition(": ")[2]
    return f"{label} ({detail})" if detail else label


def warnings_of(labels: Sequence[str], texts: pd.Series) -> list[str]:
    """The warnings of a table, each once, with the optimizers that it is about."""
    about: dict[str, list[str]] = {}
    for label, text in zip(labels, texts, strict=True):
        for warning in text.split("; ") if isinstance(text, str) and text else ():
            about.setdefault(warning, []).append(label)
    return [f"{listed(names)}: {warning}" for warning, names in about.items()]


def _lowest(card: Card, rows: pd.DataFrame, runs: Sequence[Run]) -> None:
    """Fill a card of a problem on which nothing is compared: one optimizer, or no test data."""
    table = rows.assign(run=list(runs), label=words.labels(runs)).set_index("path", drop=False)
    column = table["chosen_on"].iloc[0]
    ordered = table.loc[_order(table, column)]
    first = ordered.iloc[0]
    if math.isnan(first[column]):
        card.kind = BAD
        card.verdict = "No seed of any setting came to its end."
        return
    equal = ordered[ordered[column] == first[column]]
    card.answer = listed(list(equal["label"]))
    card.setting = words.knobs(first["run"]) if len(equal) == 1 else ""
    what = "highest" if sign(column) < 0 else "lowest"
    several = len(ordered) > 1
    among = "optimizers" if several else f"{first['settings']} settings"
    card.verdict = f"The {what} {name_of(column)} of {among}."
    if several and not column.startswith("val"):
        card.verdict += " Without test data nothing more is compared."
    card.evidence = evidence(column, first, first["seeds"] > 1)
    rest = ordered[ordered[column] != first[column]]
    texts = [f"{row['label']} ({figure(column, row[column])})" for _, row in rest.iterrows()]
    if texts:
        card.lines.append(Line(PLAIN, "Then", listed(texts)))
    for _, row in equal.iterrows() if len(equal) > 1 else ():
        card.lines.append(Line(GOOD, row["label"], words.knobs(row["run"])))
    edges = ordered["lr_at_edge"].isin(["lowest", "highest"])
    card.warnings = [
        f"{row['label']}: its learning rate is the {row['lr_at_edge']} that was tried"
        for _, row in ordered[edges].iterrows()
    ]


def _order(table: pd.DataFrame, column: str) -> list[Any]:
    """The index of the rows from the best to the worst, those without a figure last."""
    values = sign(column) * table[column].astype(float)
    return list(values.sort_values(kind="stable", na_position="last").index)
