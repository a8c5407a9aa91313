"""Claims of a scaling exercise: the rows of its table that they are about, and their mistakes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optlab.errors import Key, Mistake, allowed, below, show
from optlab.study.claims import Claim, Settings, has_one_kind, kind, of_keys, stated

KINDS = ("value", "order", "unanswered")
AXES = ("dataset", "model", "scaling", "batch_size", "epochs", "gpus")  # columns that name a row
SINGLE = ("serial_share", "communication_share", "gain_from_evaluation")  # not of a seed
NEEDED = {"value": ("figure", "published"), "order": ("figure",)}
BELONGS = {"figure": ("value", "order"), "published": ("value",), "runs": ("value",)}


def mistakes(claims: Sequence[Claim], rows: Sequence[Mapping[str, Any]]) -> Iterator[Mistake]:
    """The mistakes in the claims of a scaling exercise, whose table has these rows."""
    for number, claim in enumerate(claims):
        found = list(has_one_kind(claim, KINDS)) or list(of_keys(claim, NEEDED, BELONGS))
        if not found and "unanswered" not in claim:
            found = [*_of_order(claim), *_of_rows(claim, rows)]
        yield from below((number,), found)


def matches(settings: Settings, row: Mapping[str, Any]) -> bool:
    """Whether the settings describe this row of the scaling table."""
    return all(row[name] == value for name, value in settings.items())


def _of_order(claim: Claim) -> Iterator[Mistake]:
    """An order by a figure that has one value for all seeds."""
    if kind(claim) == "order" and claim["figure"] in SINGLE:
        words = "is no figure of a seed, so no order is tested by it"
        yield ("figure",), f"{claim['figure']} {words}"


def _of_rows(claim: Claim, rows: Sequence[Mapping[str, Any]]) -> Iterator[Mistake]:
    """Settings that describe no row of the table, or several."""
    own = kind(claim)
    for number, settings in enumerate(stated(claim)):
        place: Key = (own, number) if isinstance(claim[own], list) else (own,)
        wrong = False
        for name, value in settings.items():
            values = list(dict.fromkeys(row[name] for row in rows))
            if value not in values:
                wrong = True
                hint = allowed(value, values)
                yield (*place, name), f"{show(value)} is not in this exercise; {hint}"
        found = [row for row in rows if matches(settings, row)]
        if not found and not wrong:
            yield place, f"{show(settings)} is not in the exercise's table"
        open_ = [name for name in AXES if len({row[name] for row in found}) > 1]
        if open_:
            yield place, f"{show(settings)} describes several rows; add {' and '.join(open_)}"
