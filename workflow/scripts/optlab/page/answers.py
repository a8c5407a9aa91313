"""The answers of a study in words: a card for each problem of a sweep or of scaling, and a search.

Every figure is one of the tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optlab.page import scalings, searches, sweeps
from optlab.page.cards import ASK, BAD, GOOD, PLAIN, Card, Line, Study, Tables, key, rows_of, title
from optlab.study.run import Run
from optlab.values import counted

CARDS = {"sweep": sweeps.cards, "scaling": scalings.cards, "search": searches.cards}


def cards(
    study: Study, tables: Tables, runs: Sequence[Run], missing: Mapping[str, str]
) -> list[Card]:
    """A card for each answer, in the order of the study.

    Args:
        tables: of the study, or of what is finished of it.
        runs: those of the table ``runs``.
        missing: how much there is of the exercises that have not ended, in words.
    """
    known = {run.path: run for run in runs}
    found: list[Card] = []
    for name, exercise in study["exercises"].items():
        mine = list(CARDS[exercise["kind"]](study, name, tables, known))
        if name in missing:
            mine = mine or [Card(key(name), title(study, name), "", "Not yet")]
            for card in mine:
                _provisional(card, missing[name])
        for card in mine[:1]:
            card.lines += _claims(tables, name)
        found += mine
    return found


def _provisional(card: Card, ended: str) -> None:
    """Say that the exercise of a card goes on."""
    card.kind, card.warnings = PLAIN, []
    card.verdict = f"So far, {ended}. {card.verdict}".strip()


def _claims(tables: Tables, exercise: str) -> list[Line]:
    """How many claims about an exercise hold."""
    rows = rows_of(tables, "claims", exercise)
    if not len(rows):
        return []
    kinds = rows["verdict"].map(claim_kind).value_counts()
    one = {GOOD: "holds", BAD: "does not hold", ASK: "is open", PLAIN: "is not answered"}
    more = {GOOD: "hold", BAD: "do not hold", ASK: "are open", PLAIN: "are not answered"}
    parts = [f"{kinds[k]} {(one if kinds[k] == 1 else more)[k]}" for k in one if k in kinds]
    return [Line(PLAIN, counted(len(rows), "claim"), ", ".join(parts))]


def claim_kind(verdict: Any) -> str:
    """Whether a claim holds, does not, or is open."""
    text = str(verdict)
    if text.startswith(("holds", "agrees")):
        return GOOD
    if text.startswith(("does not", "differs")):
        return BAD
    return ASK if text.startswith("open") else PLAIN
