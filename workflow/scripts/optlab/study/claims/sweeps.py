"""Mistakes in the claims of a sweep."""

from collections.abc import Iterator, Sequence

from optlab.catalogue import tasks
from optlab.errors import Key, Mistake, allowed, below, show
from optlab.study import confirmation
from optlab.study.claims import (
    COUNTS,
    KINDS,
    Claim,
    Settings,
    described,
    has_one_kind,
    kind,
    of_keys,
    rivals,
    stated,
)
from optlab.study.run import Run

NEEDED = {
    "value": ("published",),
    "ratio": ("published",),
    "equivalent": ("figure", "within"),
    "reaches": ("target",),
}
_DIFFERENCES = ("best", "order")
BELONGS = {
    "figure": ("value", *_DIFFERENCES, "ratio", "equivalent"),
    "target": ("value", *_DIFFERENCES, "ratio", "reaches"),
    "published": ("value", "ratio"),
    "runs": ("value", "ratio"),
    "within": ("equivalent",),
}
AT_AN_EPOCH = ("value", "order", "ratio", "equivalent")  # kinds whose settings may have an epoch
IN_CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds")
FIGURES = (
    *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
    *("best_epoch", "best_test_loss", "best_test_accuracy", "seconds", "steps", "epochs"),
)


def mistakes(
    claims: Sequence[Claim], known: Sequence[str], runs: Sequence[Run]
) -> Iterator[Mistake]:
    """The mistakes in the claims of a sweep with these optimizers and runs."""
    for number, claim in enumerate(claims):
        found = list(has_one_kind(claim, KINDS))
        found = found or [*of_keys(claim, NEEDED, BELONGS), *_of_figure(claim), *_of_within(claim)]
        if not found and "unanswered" not in claim:
            found = list(_of_settings(claim, known, runs)) or list(_of_runs(claim, runs))
        yield from below((number,), found)


def misplaced(settings: Settings, known: Sequence[str], runs: Sequence[Run]) -> Iterator[Mistake]:
    """The mistake in these settings if they are not in the grid of an exercise."""
    optimizer = settings["optimizer"]
    if optimizer not in known:
        hint = allowed(optimizer, known)
        yield ("optimizer",), f"{show(optimizer)} is not in this exercise; {hint}"
    elif not described(settings, runs):
        yield (), f"{show(settings)} is not in the exercise's grid"


def _of_figure(claim: Claim) -> Iterator[Mistake]:
    """Figures that do not go with the target, or with its absence."""
    own, figure, target = kind(claim), claim.get("figure"), claim.get("target")
    if figure is not None and figure not in FIGURES and not tasks.of_figure(figure):
        yield ("figure",), f"{show(figure)} is not known; {allowed(figure, FIGURES)}"
        return
    if target is None:
        if figure in ("steps", "epochs"):
            yield ("figure",), f"{figure} until what? Add a target, as in {{val_accuracy: 0.9}}"
        elif figure is None and own in ("value", "ratio"):
            yield (), f"the key 'figure' is missing: the one that is compared with {own}"
        return
    if figure not in (None, *COUNTS):
        yield ("figure",), f"until a target is reached, {', '.join(COUNTS)} are counted"
    if len(target) > 1:
        yield ("target",), f"{show(target)} are several figures; a target has one"
    for name, value in target.items():
        if tasks.measured_in(name) is None or not name.startswith(("train_", "val_")):
            yield ("target", name), f"unknown key; {allowed(name, IN_CURVES[:-1])}"
        elif not 0 < value <= (1 if tasks.is_share(name) else float("inf")):
            most = " up to 1" if tasks.is_share(name) else ""
            yield ("target", name), f"{show(value)} is never reached, or always; above 0{most}"


def _in_curves(figure: str) -> bool:
    """Whether a figure is measured at every evaluation."""
    more = tasks.of_figure(figure) and figure.startswith(("train_", "val_"))
    return figure in IN_CURVES or bool(more)


def _of_within(claim: Claim) -> Iterator[Mistake]:
    """A margin that is none."""
    if "within" not in claim:
        return
    metric = tasks.measured_in(str(claim.get("figure")))
    if metric is None:
        yield ("figure",), "only losses and metrics have a margin"
        return
    for _, message in confirmation.margin_mistakes({metric: claim["within"]}):
        yield ("within",), message


def _of_settings(claim: Claim, known: Sequence[str], runs: Sequence[Run]) -> Iterator[Mistake]:
    """Settings that are not in the grid of the exercise, or at no epoch of it."""
    own = kind(claim)
    for number, settings in enumerate(stated(claim)):
        place: Key = (own, number) if isinstance(claim[own], list) else (own,)
        yield from below(place, misplaced(settings, known, runs))
        found = described(settings, runs)
        if len({(run.dataset, run.model) for run in found}) > 1:
            yield place, f"{show(settings)} is of several problems; add dataset or model"
        elif "epoch" in settings and found:
            yield from below((*place, "epoch"), _of_epoch(claim, settings["epoch"], found))


def _of_epoch(claim: Claim, epoch: object, runs: Sequence[Run]) -> Iterator[Mistake]:
    """An epoch after which nothing is measured, or not what the claim is about."""
    last, every = min(run.epochs for run in runs), runs[0].evaluate_every
    if kind(claim) not in AT_AN_EPOCH:
        yield (), f"only claims with the key {' or '.join(AT_AN_EPOCH)} have it"
    elif "target" in claim:
        yield (), "a target says when; leave one of the two"
    elif not _in_curves(claim.get("figure", "val_loss")):
        yield (), f"{claim['figure']} is known at the end only; use {', '.join(IN_CURVES)}"
    elif not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 <= epoch <= last:
        yield (), f"{show(epoch)} is not an epoch; a whole number from 0 to {last}"
    elif epoch % every and epoch != last:
        yield (), f"nothing is measured after epoch {epoch}; see evaluate_every: {every}"


def _of_runs(claim: Claim, runs: Sequence[Run]) -> Iterator[Mistake]:
    """Settings that no run can confirm or refute."""
    own = kind(claim)
    if own == "best" and not rivals(claim[own], runs):
        settings = claim[own]
        yield (own,), f"{show(settings)} is all that is tried of {settings['optimizer']}"
    if own == "diverges_from":
        if "lr" not in claim[own]:
            yield (own,), "the key 'lr' is missing: the lowest learning rate that diverges"
        elif len(described(claim[own], runs)) > 1:
            words = "describes several runs; add the knobs in which they differ"
            yield (own,), f"{show(claim[own])} {words}"
