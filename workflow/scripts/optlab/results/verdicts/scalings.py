"""The claims of a scaling exercise, about rows of its table."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from optlab.results import scaling
from optlab.results.verdicts import differences, published, samples
from optlab.results.verdicts.samples import Sample
from optlab.runs import failures
from optlab.study import claims
from optlab.study.claims import Claim, Settings
from optlab.study.claims.scalings import SINGLE, matches
from optlab.study.kinds.scaling import REPLAYED, points

Row = dict[str, Any]

ONE_FIGURE = "open: one figure, which no other seed gives"


def judge(study: Mapping[str, Any], name: str) -> Callable[[Claim], Row]:
    """What gives the cells of claims.tsv for a claim of this exercise.

    Raises:
        UserError: a run has not been trained, or its files are damaged.
    """
    table = scaling.rows(study, name)
    runs = {point.run.path: point.run for point in points(study, name)}

    def sample(settings: Settings, figure: str) -> Sample:
        named = samples.words(settings)
        (row,) = (row for _, row in table.iterrows() if matches(settings, row))
        if figure in scaling.LEARNT and row["scaling"] != REPLAYED:
            return samples.at_end(named, runs[row["path"]], figure)
        if row["status"] == failures.STATUS:
            raise samples.NotTrained(runs[row["path"]])
        return of_row(named, row, figure)

    def of(claim: Claim) -> Row:
        figure = claim["figure"]
        found = [sample(settings, figure) for settings in claims.stated(claim)]
        if claims.kind(claim) == "value":
            alone = ONE_FIGURE if figure in SINGLE else published.ONE_SEED
            return {"figure": figure, **published.judge(claim, found[0], alone)}
        return {
            "figure": figure,
            "published": samples.in_order(map(samples.words, claims.stated(claim))),
            "measured": samples.in_order(sorted(found, key=lambda one: one.place)),
            "verdict": differences.ordered(list(itertools.pairwise(found))),
        }

    return of


def of_row(named: str, row: pd.Series, figure: str) -> Sample:
    """A figure of a row of the table: its values of each seed, else its only one."""
    known = math.isfinite(float(row[figure]))  # NaN in a replayed row, or on another machine
    if figure in SINGLE:
        return Sample(words=named, figure=figure, values={0: float(row[figure])} if known else {})
    times, speedups, p = row["times"], row["speedups"], row["gpus"]
    trained = row["epochs"] * row["examples"]
    values: dict[str, dict[int, float]] = {
        "seconds": times,
        "seconds_per_epoch": {seed: time / row["epochs"] for seed, time in times.items()},
        "samples_per_second": {seed: trained / time for seed, time in times.items()},
        "speedup": speedups,
        "efficiency": {seed: speedup / p for seed, speedup in speedups.items()},
    }
    return Sample(
        words=named,
        figure=figure,
        values=values.get(figure, {}) if known else {},
        missing=int(row["diverged"]),
        fixed=figure in ("speedup", "efficiency") and p == 1,  # 1 by definition
        logarithmic=True,
    )
