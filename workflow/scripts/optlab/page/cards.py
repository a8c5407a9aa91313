"""A card of the answer page: the answer to one problem, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from optlab.figures import words
from optlab.page.wording import figure, interval, name_of
from optlab.results import summary
from optlab.values import counted

Study = Mapping[str, Any]
Tables = Mapping[str, pd.DataFrame]
PLAIN, GOOD, SAME, BAD, ASK = "plain", "best", "equivalent", "worse", "open"  # kinds of a line


@dataclass(frozen=True)
class Line:
    """A line of a card; ``kind`` gives its mark and colour."""

    kind: str
    name: str
    text: str


@dataclass
class Card:
    """The answer to one problem.

    Attributes:
        problem: its key in the page's links.
        title, subject: of the exercise; network and data set.
        answer, setting: the optimizer that is first, and its hyperparameters.
        kind, verdict: whether it is the best.
        evidence: the figure that decides, with its interval.
        lines: what is known of the others.
        warnings: what to know before believing it.
    """

    problem: str
    title: str
    subject: str
    answer: str
    setting: str = ""
    kind: str = PLAIN
    verdict: str = ""
    evidence: str = ""
    lines: list[Line] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def key(*problem: str) -> str:
    """The key of a problem in links."""
    return "/".join(problem)


def title(study: Study, exercise: str) -> str:
    """The title of an exercise."""
    return words.plain(study["exercises"][exercise].get("title", exercise))


def subject(model: str, dataset: str) -> str:
    """A network and a data set in words."""
    return words.plain(f"{model} on {dataset}")


def begin(study: Study, exercise: str, dataset: str, model: str) -> Card:
    """A card without an answer yet."""
    place = key(exercise, dataset, model)
    return Card(place, title(study, exercise), subject(model, dataset), "No answer")


def rows_of(tables: Tables, name: str, exercise: str) -> pd.DataFrame:
    """The rows of an exercise in a table, which may be missing."""
    table = tables.get(name)
    if table is None or "exercise" not in table:
        return pd.DataFrame(columns=summary.PROBLEM)
    return table[table["exercise"] == exercise]


def evidence(column: str, row: pd.Series, random: bool = True) -> str:
    """A figure with its interval and the number of seeds."""
    ends = interval(column, row[f"{column}_low"], row[f"{column}_high"])
    value = f"{name_of(column)} {figure(column, row[column])}"
    parts = [f"{value} {ends}".strip(), counted(int(row["seeds"]), "seed") if random else ""]
    return ", ".join(filter(None, parts))
