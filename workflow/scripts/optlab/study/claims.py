"""Claims of a study: statements of its source, which the study's own runs confirm or refute.

A claim has a text and one of four keys: ``value`` (a published figure), ``best`` (settings that
beat all others of their optimizer), ``order`` (settings from the best to the worst) or
``diverges_from`` (the lowest learning rate that diverges). This module finds the runs that a claim
is about; `optlab.results.verdicts` judges it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optlab.errors import Key, Mistake, allowed, below, show
from optlab.study.run import AXES, Run

KINDS = ("value", "best", "order", "diverges_from")

Settings = Mapping[str, Any]  # an optimizer and some of its knobs and of the grid's axes
Claim = Mapping[str, Any]


def kind(claim: Claim) -> str:
    """The key in `KINDS` that the claim has."""
    return next(name for name in KINDS if name in claim)


def described(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs that these settings describe: one, or several of which the best counts."""
    return [run for run in runs if run.matches(settings)]


def rivals(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs of the same optimizer and axes whose knobs differ from these."""
    where = {name: settings[name] for name in ("optimizer", *AXES) if name in settings}
    own = described(settings, runs)
    return [run for run in described(where, runs) if run not in own]


def rates(settings: Settings, runs: Sequence[Run]) -> list[Run]:
    """The runs that differ from these settings only in the learning rate, the lowest first."""
    others = {name: value for name, value in settings.items() if name != "lr"}
    return sorted(described(others, runs), key=lambda run: run.knobs["lr"])


def misplaced(settings: Settings, known: Sequence[str], runs: Sequence[Run]) -> Iterator[Mistake]:
    """The mistake in these settings if they are not in the grid of an exercise."""
    optimizer = settings["optimizer"]
    if optimizer not in known:
        hint = allowed(optimizer, known)
        yield ("optimizer",), f"{show(optimizer)} is not in this exercise; {hint}"
    elif not described(settings, runs):
        yield (), f"{show(settings)} is not in the exercise's grid"


def mistakes(
    claims: Sequence[Claim], known: Sequence[str], runs: Sequence[Run]
) -> Iterator[Mistake]:
    """The mistakes in the claims of an exercise with these optimizers and runs."""
    for number, claim in enumerate(claims):
        kinds = [name for name in KINDS if name in claim]
        if len(kinds) != 1:
            yield (number,), f"a claim has one of the keys {', '.join(KINDS)}"
            continue
        found = [*_of_keys(claim, kinds[0]), *_of_settings(claim, kinds[0], known, runs)]
        found = found or [((kinds[0],), text) for text in _of_runs(claim, kinds[0], runs)]
        yield from below((number,), found)


def _of_keys(claim: Claim, kind: str) -> Iterator[Mistake]:
    """Keys of another kind of claim, and missing keys."""
    for key, kinds in _KEYS.items():
        if kind == "value" and key not in claim:
            yield (), f"the key '{key}' is missing: a value has both figure and published"
        if kind not in kinds and key in claim:
            yield (key,), f"only claims with the key {' or '.join(kinds)} have it"


_KEYS = {"figure": ("value", "best", "order"), "published": ("value",)}


def _of_settings(
    claim: Claim, kind: str, known: Sequence[str], runs: Sequence[Run]
) -> Iterator[Mistake]:
    """Settings that are not in the grid of the exercise."""
    several = kind == "order"
    for number, settings in enumerate(claim[kind] if several else [claim[kind]]):
        place: Key = (kind, number) if several else (kind,)
        yield from below(place, misplaced(settings, known, runs))
        if len({(run.dataset, run.model) for run in described(settings, runs)}) > 1:
            yield place, f"{show(settings)} is of several problems; add dataset or model"


def _of_runs(claim: Claim, kind: str, runs: Sequence[Run]) -> Iterator[str]:
    """Settings that no run can confirm or refute."""
    settings = claim[kind]
    if kind == "best" and not rivals(settings, runs):
        yield f"{show(settings)} is all that is tried of {settings['optimizer']}"
    if kind == "diverges_from":
        if "lr" not in settings:
            yield "the key 'lr' is missing: the lowest learning rate that diverges"
        elif len(described(settings, runs)) > 1:
            yield f"{show(settings)} describes several runs; add the knobs in which they differ"
