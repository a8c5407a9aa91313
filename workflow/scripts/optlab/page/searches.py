"""The cards of searches: the best trial, trained again."""

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from optlab.figures import words
from optlab.page.cards import BAD, GOOD, PLAIN, Card, Line, Study, Tables, begin, evidence, rows_of
from optlab.page.wording import figure, name_of, number
from optlab.results.statistics import ENDS
from optlab.study.run import Run


def cards(study: Study, exercise: str, tables: Tables, known: Mapping[str, Run]) -> Iterator[Card]:
    for _, row in rows_of(tables, "search", exercise).iterrows():
        card = begin(study, exercise, row["dataset"], row["network"])
        card.verdict, card.kind = "No trial came to its end.", BAD
        if not math.isnan(row["best_value"]):
            _best_trial(card, row)
        counts = [f"{int(row['complete'])} complete", f"{int(row['pruned'])} pruned"]
        counts += [f"{int(row[name])} {name}" for name in ("diverged", "failed") if row[name]]
        card.lines.append(Line(PLAIN, f"{int(row['finished'])} trials", ", ".join(counts)))
        yield card


def _best_trial(card: Card, row: pd.Series) -> None:
    given = dict(part.partition("=")[::2] for part in str(row["best_parameters"]).split(", "))
    name = given.pop("optimizer", None)
    card.answer = words.optimizer(name) if name else f"Trial {int(row['best_trial'])}"
    card.setting = ", ".join(f"{words.plain(k)} {_short(v)}" for k, v in given.items())
    metric, kept = row["metric"], row["seeds"] - row["retrained_diverged"]
    card.kind = GOOD if kept else BAD
    card.verdict = f"The best of its {int(row['finished'])} trials, trained again on new seeds."
    column = "test_accuracy" if not math.isnan(row["retrained_test_accuracy"]) else "test_loss"
    again = {f"{column}{end}": row[f"retrained_{column}{end}"] for end in ENDS}
    card.evidence = evidence(column, pd.Series({**again, "seeds": row["seeds"]}))
    value = figure(metric, row["best_value"])
    card.lines.append(Line(PLAIN, "In the search", f"{name_of(metric)} {value}"))
    if row["retrained_diverged"]:
        card.warnings.append(f"{int(row['retrained_diverged'])} of these seeds diverged")


def _short(value: str) -> str:
    try:
        return number(float(value))
    except ValueError:
        return words.plain(value)
