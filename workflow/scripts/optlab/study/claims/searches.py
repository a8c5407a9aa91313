"""Mistakes in the claims of a search."""

from collections.abc import Iterator, Mapping
from typing import Any

from optlab.errors import Mistake, allowed, below, show
from optlab.study import space
from optlab.study.claims import Claim, has_one_kind, kind, of_keys

KINDS = ("value", "best", "unanswered")
NEEDED = {"value": ("figure", "published")}
BELONGS = {"figure": ("value",), "published": ("value",), "runs": ("value",)}


def mistakes(exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """The mistakes in the claims of a search."""
    for number, claim in enumerate(exercise["claims"]):
        found = list(has_one_kind(claim, KINDS)) or list(of_keys(claim, NEEDED, BELONGS))
        if not found and "unanswered" not in claim:
            found = list(_of_settings(claim, exercise))
        yield from below((number,), found)


def _of_settings(claim: Claim, exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """An unknown data set, or parameters that no trial can have."""
    own = kind(claim)
    datasets = exercise["datasets"]
    dataset = claim[own].get("dataset")
    if dataset is None and len(datasets) > 1:
        yield (own,), f"there are several searches; add dataset, one of {', '.join(datasets)}"
    elif dataset is not None and dataset not in datasets:
        hint = allowed(dataset, datasets)
        yield (own, "dataset"), f"{show(dataset)} is not in this exercise; {hint}"
    given = {name: value for name, value in claim[own].items() if name != "dataset"}
    if own == "best" and not given:
        yield (own,), "names no parameter; add one, as in {optimizer: adam}"
    for name, value in given.items():
        entry = space.entry_of(exercise["space"], name)
        if entry not in exercise["space"]:
            hint = allowed(name, exercise["space"])
            yield (own, name), f"is not a parameter of the search; {hint}"
        elif not _can_be(value, exercise["space"][entry]):
            yield (own, name), f"{show(value)} is not in the space of the search"


def _can_be(value: Any, spec: Mapping[str, Any]) -> bool:
    """Whether a parameter can have this value."""
    if spec["type"] == "categorical":
        return value in [space.label(choice) for choice in spec["choices"]]
    return isinstance(value, int | float) and spec["low"] <= value <= spec["high"]
