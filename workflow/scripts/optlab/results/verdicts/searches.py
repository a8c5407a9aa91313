"""The claims of a search."""

from collections.abc import Callable, Mapping
from typing import Any

from optlab.results import searches
from optlab.results.verdicts import published, samples
from optlab.results.verdicts.differences import HOLDS
from optlab.results.verdicts.samples import Sample
from optlab.study import claims
from optlab.study.claims import Claim
from optlab.study.kinds import search
from optlab.study.kinds.search import Search

Row = dict[str, Any]

ONE_SEARCH = "open: one search, and another seed gives other trials"

_RETRAINED = "retrained_"


def judge(study: Mapping[str, Any], name: str) -> Callable[[Claim], Row]:
    """What gives the cells of claims.tsv for a claim of this exercise.

    Raises:
        UserError: a search has not finished.
    """
    found = {one.dataset: one for one in search.searches(study, name)}

    def of(claim: Claim) -> Row:
        settings = claim[claims.kind(claim)]
        one = found[settings.get("dataset", next(iter(found)))]
        return _value(claim, one) if "value" in claim else _best(claim, one)

    return of


def _value(claim: Claim, one: Search) -> Row:
    """A published figure: of the retraining it has seeds, of the search itself only one value."""
    figure = claim["figure"]
    if figure.startswith(_RETRAINED):
        return {"figure": figure, **published.judge(claim, _retrained(one, figure))}
    (summary,) = searches.summaries([one]).to_dict("records")
    value = summary[figure]
    known = {} if value is None or value != value else {0: float(value)}
    # The number of trials is a setting of the study.
    sample = Sample(words=one.dataset, figure=figure, values=known, fixed=figure == "finished")
    return {"figure": figure, **published.judge(claim, sample, ONE_SEARCH)}


def _retrained(one: Search, figure: str) -> Sample:
    """A figure of the best setting, trained again with every seed."""
    name = figure.removeprefix(_RETRAINED)
    last = searches.retrained(one)
    good = {seed: row for seed, row in last.items() if row["status"] == "ok"}
    values = {seed: float(row[name]) for seed, row in good.items() if row[name]}
    return Sample(words=one.dataset, figure=name, values=values, missing=len(last) - len(good))


def _best(claim: Claim, one: Search) -> Row:
    """Parameters of the best trial."""
    given = {name: value for name, value in claim["best"].items() if name != "dataset"}
    best = searches.best_trial(search.finished(one))
    if best is None:
        row = {"figure": one.metric, "published": _pairs(given), "measured": ""}
        return {**row, "verdict": "open: no trial reached its end"}
    parameters = best["parameters"]
    holds = all(parameters.get(name) == value for name, value in given.items())
    return {
        "figure": one.metric,
        "published": _pairs(given),
        "measured": f"{_pairs(parameters)} ({best['value']:.4g})",
        "verdict": HOLDS if holds else ONE_SEARCH,
    }


def _pairs(parameters: Mapping[str, Any]) -> str:
    short = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in parameters.items()}
    return samples.words(short)
