"""The claims of a sweep: which runs each is about, and what they say of it."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from optlab.catalogue import tasks
from optlab.results import summary, theory
from optlab.results.verdicts import differences, published, samples
from optlab.results.verdicts.differences import FAILS, HOLDS
from optlab.results.verdicts.samples import Sample
from optlab.study import claims, confirmation, table
from optlab.study.claims import Claim, Settings
from optlab.study.run import AXES, Run
from optlab.values import text

Row = dict[str, Any]

BRACKET = "open: the limit lies between {} and {}"
BELOW = "open: the limit lies below {}, and no lower rate was tried"
THEORY = "{verdict}: theory says {limit:.4g}"


class Sweep:
    """The finished runs of a sweep, and the settings that were chosen and confirmed."""

    def __init__(self, study: Mapping[str, Any], name: str):
        self._exercise = study["exercises"][name]
        self._sources = {key: one["source"] for key, one in study["datasets"].items()}
        self._table = summary.summarise(table.finished(study, name))
        self._confirmed = table.confirmed(study, name)

    @property
    def runs(self) -> list[Run]:
        """Its runs on the seeds that tune."""
        return list(self._table["run"])

    @property
    def sound(self) -> list[Run]:
        """Those of them that did not fail."""
        return list(summary.sound(self._table)["run"])

    def chosen(self, settings: Settings) -> Run:
        """The run that the settings describe; of several, the one chosen on validation data."""
        runs = claims.described(settings, self.runs)
        for found in (self._confirmed.get(run.unit) for run in runs):
            if found and found.chosen.path in {run.path for run in runs}:
                return found.chosen
        rows = self._table.loc[[run.path for run in runs]]
        return summary.ordered(rows, self._exercise["metric"])["run"].iloc[0]

    def fresh(self, run: Run) -> Run | None:
        """A chosen run on its confirmation seeds, which did not choose it; None without them."""
        found = self._confirmed.get(run.unit)
        known = found and found.seeds and found.chosen.path == run.path
        return found.run if found and known else None

    def figure(self, claim: Claim) -> str:
        """The figure that a claim is about."""
        default = claims.COUNTS[0] if "target" in claim else ""
        if figure := claim.get("figure") or default:
            return figure
        run = claims.described(claims.stated(claim)[0], self.runs)[0]
        here = self._table[["dataset", "model"]] == [run.dataset, run.model]
        return summary.chosen_on(self._table[here.all(axis=1)], self._exercise["metric"])

    def sample(self, claim: Claim, settings: Settings, run: Run) -> Sample:
        """The claim's figure of a run, at the epoch of the settings or until the target."""
        name, figure = samples.words(settings), self.figure(claim)
        if "target" in claim:
            return samples.to_target(name, run, figure, claim["target"])
        if "epoch" in settings:
            return samples.at_epoch(name, run, figure, settings["epoch"])
        return samples.at_end(name, run, figure)

    def stated(self, claim: Claim) -> list[Sample]:
        """The settings that a claim names.

        On confirmation seeds if all of them are chosen ones: only then are they paired.
        """
        runs = [self.chosen(settings) for settings in claims.stated(claim)]
        fresh = [self.fresh(run) for run in runs]
        used = [run for run in fresh if run] if all(fresh) else runs
        both = zip(claims.stated(claim), used, strict=True)
        return [self.sample(claim, settings, run) for settings, run in both]

    def margin(self, figure: str) -> differences.Margin:
        """The exercise's margin for a figure."""
        metric = tasks.measured_in(figure)
        return confirmation.margin(self._exercise["margin"], metric) if metric else None

    def summaries(self, runs: Iterable[Run]) -> list[pd.Series]:
        """The rows of `summary.summarise` of these runs."""
        return [self._table.loc[run.path] for run in runs]

    def limit(self, run: Run) -> float | None:
        """The learning rate above which a run diverges, where theory knows it."""
        known = theory.covers(run, self._sources[run.dataset])
        return theory.limit_of(run) if known else None


def judge(study: Mapping[str, Any], name: str) -> Callable[[Claim], Row]:
    """What gives the cells of claims.tsv for a claim of this exercise.

    Raises:
        UserError: a run has not finished, or its files are damaged.
    """
    sweep = Sweep(study, name)
    judges: Mapping[str, Callable[[Sweep, Claim], Row]] = {
        "value": _value,
        "best": _best,
        "order": _order,
        "ratio": _ratio,
        "equivalent": _equivalent,
        "reaches": _reaches,
        "diverges_from": _diverges_from,
    }

    def of(claim: Claim) -> Row:
        own = claims.kind(claim)
        figure = "" if own == "diverges_from" else sweep.figure(claim)
        if "target" in claim:
            ((measured, goal),) = claim["target"].items()
            figure += f" to {measured} {text(goal)}"
        return {"figure": figure, **judges[own](sweep, claim)}

    return of


def _named(claim: Claim) -> list[str]:
    """The settings that a claim names, in words."""
    return [samples.words(settings) for settings in claims.stated(claim)]


def _value(sweep: Sweep, claim: Claim) -> Row:
    """A published figure."""
    (sample,) = sweep.stated(claim)
    return published.judge(claim, sample)


def _ratio(sweep: Sweep, claim: Claim) -> Row:
    """A published ratio of two figures, seed by seed."""
    one, other = sweep.stated(claim)
    seeds = sorted(one.values.keys() & other.values.keys())
    both = Sample(
        words=f"{one.words} / {other.words}",
        figure="ratio",
        values={s: one.values[s] / other.values[s] for s in seeds if other.values[s]},
        missing=max(one.missing, other.missing),
        why=one.why,
        fixed=one.fixed and other.fixed,
        logarithmic=True,
    )
    return published.judge(claim, both)


def _best(sweep: Sweep, claim: Claim) -> Row:
    """Settings that beat all others of their optimizer, on the seeds that tune."""
    settings = claim["best"]
    where = {name: settings[name] for name in AXES if name in settings}
    own = sweep.sample(claim, settings, sweep.chosen(settings))
    rivals, others = claims.rivals(settings, sweep.runs), []
    sound = [run for run in rivals if run in sweep.sound]
    if rivals and not sound:
        raise samples.NotTrained(rivals[0])
    for run in sound:
        found = {"optimizer": run.optimizer, **run.shown_knobs, **where}
        others.append(sweep.sample(claim, found, run))
    winner = min([own, *others], key=lambda one: one.place)
    verdict = differences.ordered([(own, other) for other in others])
    return {"published": samples.words(settings), "measured": str(winner), "verdict": verdict}


def _order(sweep: Sweep, claim: Claim) -> Row:
    """Settings from the best to the worst, each better than the next."""
    found = sweep.stated(claim)
    margin = sweep.margin(sweep.figure(claim))
    return {
        "published": samples.in_order(_named(claim)),
        "measured": samples.in_order(sorted(found, key=lambda one: one.place)),
        "verdict": differences.ordered(list(itertools.pairwise(found)), margin),
    }


def _equivalent(sweep: Sweep, claim: Claim) -> Row:
    """Settings that differ by less than a margin."""
    found = sweep.stated(claim)
    metric = tasks.measured_in(claim["figure"]) or ""
    margin = confirmation.margin({metric: claim["within"]}, metric)
    return {
        "published": f"{' = '.join(_named(claim))} within {text(claim['within'])}",
        "measured": samples.in_order(sorted(found, key=lambda one: one.place)),
        "verdict": differences.equivalent(found, margin),
    }


def _reaches(sweep: Sweep, claim: Claim) -> Row:
    """Settings that reach a target, with every seed."""
    found = sweep.stated(claim)
    verdict = FAILS if any(sample.missing for sample in found) else HOLDS
    return {
        "published": ", ".join(_named(claim)),
        "measured": ", ".join(map(str, found)),
        "verdict": verdict,
    }


def _diverges_from(sweep: Sweep, claim: Claim) -> Row:
    """The lowest learning rate that diverges; all above it do, and none below."""
    settings = claim["diverges_from"]
    runs = claims.rates(settings, sweep.runs)
    tried = sweep.summaries(run for run in runs if run in sweep.sound)
    if not tried:
        raise samples.NotTrained(runs[0])
    good = [one["run"].knobs["lr"] for one in tried if not one["diverged"]]
    bad = [one["run"].knobs["lr"] for one in tried if one["diverged"]]
    parts = [f"converges up to lr={text(good[-1])}"] if good else []
    parts.append(f"diverges from lr={text(bad[0])}" if bad else "none diverges")
    limit = sweep.limit(tried[0]["run"])
    return {
        "published": samples.words(settings),
        "measured": ", ".join(parts),
        "verdict": _limit_verdict(settings["lr"], good, bad, limit),
    }


def _limit_verdict(
    claimed: float, good: Sequence[float], bad: Sequence[float], limit: float | None
) -> str:
    """Theory decides where it is known; else the rates, as sharply as their grid allows.

    The limit lies between the highest rate that converges and the claimed one. So the claim holds
    only if all of that bracket is rounded to the claimed rate.
    """
    low, high = published.reach(repr(claimed))
    if limit is not None:
        verdict = HOLDS if low <= limit <= high else FAILS
        return THEORY.format(verdict=verdict, limit=limit)
    if bad[:1] != [claimed] or any(rate > claimed for rate in good):
        return FAILS
    if not good:
        return BELOW.format(text(claimed))
    return HOLDS if good[-1] >= low else BRACKET.format(text(good[-1]), text(claimed))
