"""Claims of a study: statements of its source, which the study's own results confirm or refute.

A claim has a text and one of the keys in `KINDS`, which says what decides it:

    value           a published figure
    best            settings that beat all others of their optimizer
    order           settings from the best to the worst
    ratio           a published ratio of the figures of two settings
    equivalent      settings whose figures differ by less than a margin
    reaches         settings that reach a target
    diverges_from   the lowest learning rate that diverges
    unanswered      why no run of the study can decide it

This package finds out what a claim is about, and what is wrong with it: `sweeps`, `scalings` and
`searches` for the kinds of exercise. `optlab.results.verdicts` judges it.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from optlab.errors import Mistake, show
from optlab.study.run import AXES, Run

KINDS = (
    *("value", "best", "order", "ratio", "equivalent", "reaches", "diverges_from"),
    "unanswered",
)
COUNTS = ("steps", "epochs", "seconds")  # figures of a claim with a target

Settings = Mapping[str, Any]  # an optimizer, some of its knobs and of the grid's axes, an epoch
Claim = Mapping[str, Any]


def kind(claim: Claim) -> str:
    """The key in `KINDS` that the claim has."""
    return next(name for name in KINDS if name in claim)


def stated(claim: Claim) -> list[Settings]:
    """The settings that the claim names."""
    found = claim[kind(claim)]
    return found if isinstance(found, list) else [found]


def lasting(settings: Settings) -> dict[str, Any]:
    """The settings without the epoch, which is a moment of a run and no setting of it."""
    return {name: value for name, value in settings.items() if name != "epoch"}


def described(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs that these settings describe: one, or several of which the best counts."""
    return [run for run in runs if run.matches(lasting(settings))]


def rivals(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs of the same optimizer and axes whose knobs differ from these."""
    where = {name: settings[name] for name in ("optimizer", *AXES) if name in settings}
    own = described(settings, runs)
    return [run for run in described(where, runs) if run not in own]


def rates(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs that differ from these settings only in the learning rate, the lowest first."""
    others = {name: value for name, value in settings.items() if name != "lr"}
    return sorted(described(others, runs), key=lambda run: run.knobs["lr"])


# -- mistakes of claims of any kind of exercise ------------------------------------------------


def has_one_kind(claim: Claim, kinds: Sequence[str]) -> Iterator[Mistake]:
    """A claim has exactly one of the keys that its kind of exercise allows."""
    if sum(name in claim for name in kinds) != 1:
        yield (), f"a claim has one of the keys {', '.join(kinds)}"


def of_keys(
    claim: Claim, needed: Mapping[str, Sequence[str]], belongs: Mapping[str, Sequence[str]]
) -> Iterator[Mistake]:
    """Missing keys, keys of another kind of claim, and a published figure that is no number.

    Args:
        needed: kind of claim -> the keys that it needs.
        belongs: key -> the kinds of claim that may have it.
    """
    own = kind(claim)
    for key in needed.get(own, ()):
        if key not in claim:
            both = " and ".join(needed[own])
            yield (), f"the key '{key}' is missing: a claim with the key {own} has {both}"
    for key, kinds in belongs.items():
        if key in claim and own not in kinds:
            yield (key,), f"only claims with the key {' or '.join(kinds)} have it"
    if "published" in claim and not is_number(claim["published"]):
        yield ("published",), f"{show(claim['published'])} is not allowed; a number"


def is_number(text: str) -> bool:
    """Whether a published figure is one: a finite number."""
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False
