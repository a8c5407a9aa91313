"""Claims of a study: statements of its source, each of which the study's own runs bear out or not.

A claim has a text and one of four keys: ``value`` (a published figure), ``best`` (settings that
beat all others of their optimizer), ``order`` (settings from the best to the worst) or
``diverges_from`` (the lowest learning rate that diverges). Here is which runs a claim is about;
`optlab.verdicts` judges it. Standard library only: this is imported at every parse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optlab.errors import Key, Mistake, allowed, show
from optlab.study.run import AXES, Run

KINDS = ("value", "best", "order", "diverges_from")

Settings = Mapping[str, Any]  # an optimizer and some of its knobs and of the grid's axes
Claim = Mapping[str, Any]


def kind(claim: Claim) -> str:
    """Which of `KINDS` a claim is."""
    return next(name for name in KINDS if name in claim)


def described(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs that these settings describe: one, or several to choose the best of."""
    return [run for run in runs if run.matches(settings)]


def rivals(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs of the same optimizer and axes whose knobs differ from these."""
    where = {name: settings[name] for name in ("optimizer", *AXES) if name in settings}
    own = described(settings, runs)
    return [run for run in described(where, runs) if run not in own]


def rates(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs that differ from these settings in the learning rate alone, the lowest first."""
    others = {name: value for name, value in settings.items() if name != "lr"}
    return sorted(described(others, runs), key=lambda run: run.knobs["lr"])


def misplaced(settings: Settings, known: Sequence[str], runs: Sequence[Run]) -> Mistake | None:
    """Where in these settings, and why, they are none of a grid's; None where they are."""
    optimizer = settings["optimizer"]
    if optimizer not in known:
        message = f"{show(optimizer)} is not in this exercise; {allowed(optimizer, known)}"
        return ("optimizer",), message
    if not described(settings, runs):
        return (), f"{show(settings)} is not in the exercise's grid"
    return None


def mistakes(
    claims: Sequence[Claim], known: Sequence[str], runs: Sequence[Run]
) -> Iterator[Mistake]:
    """What is wrong with the claims of an exercise that has these optimizers and runs.

    Yields:
        The place within ``claims`` and the message.
    """
    for number, claim in enumerate(claims):
        kinds = [name for name in KINDS if name in claim]
        if len(kinds) != 1:
            yield (number,), f"a claim has one of the keys {', '.join(KINDS)}"
            continue
        found = [*_of_keys(claim, kinds[0]), *_of_settings(claim, kinds[0], known, runs)]
        found = found or [((kinds[0],), text) for text in _of_runs(claim, kinds[0], runs)]
        yield from (((number, *place), message) for place, message in found)


def _of_keys(claim: Claim, kind: str) -> Iterator[Mistake]:
    """Keys that belong to claims of another kind, or are missing in this one."""
    for key, kinds in _KEYS.items():
        if kind == "value" and key not in claim:
            yield (), f"the key '{key}' is missing: a value has both figure and published"
        if kind not in kinds and key in claim:
            yield (key,), f"only claims with the key {' or '.join(kinds)} have it"


_KEYS = {"figure": ("value", "best", "order"), "published": ("value",)}


def _of_settings(
    claim: Claim, kind: str, known: Sequence[str], runs: Sequence[Run]
) -> Iterator[Mistake]:
    """Settings that the exercise's grid does not have."""
    several = kind == "order"
    for number, settings in enumerate(claim[kind] if several else [claim[kind]]):
        place: Key = (kind, number) if several else (kind,)
        if wrong := misplaced(settings, known, runs):
            yield (*place, *wrong[0]), wrong[1]
        elif len({(run.dataset, run.model) for run in described(settings, runs)}) > 1:
            yield place, f"{show(settings)} is of several problems; add dataset or model"


def _of_runs(claim: Claim, kind: str, runs: Sequence[Run]) -> Iterator[str]:
    """Runs that leave nothing to be judged."""
    settings = claim[kind]
    if kind == "best" and not rivals(settings, runs):
        yield f"{show(settings)} is all that is tried of {settings['optimizer']}"
    if kind == "diverges_from":
        if "lr" not in settings:
            yield "the key 'lr' is missing: the lowest learning rate that diverges"
        elif len(described(settings, runs)) > 1:
            yield f"{show(settings)} describes several runs; add the knobs in which they differ"
