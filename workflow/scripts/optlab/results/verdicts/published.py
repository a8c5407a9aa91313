"""A published figure against ours.

It is the figure of one run, not a mean over many. So it agrees where a further run of ours could
have given it: in the prediction interval. In the interval of our mean it need not be: of runs from
the same distribution, more lie outside the more seeds there are.
"""

import math
from decimal import Decimal
from typing import Any

from optlab.results.statistics import Estimate
from optlab.results.verdicts.samples import Sample
from optlab.study.claims import Claim

AGREES, DIFFERS = "agrees", "differs"
ONE_SEED = "open: one seed; two or more say how much others differ"
UNKNOWN = "open: no such figure was measured"


def judge(claim: Claim, sample: Sample, alone: str = ONE_SEED) -> dict[str, Any]:
    """The cells of a claim on a published figure.

    Args:
        claim: with ``published`` and, if that is a mean, its number of ``runs``.
        sample: our values.
        alone: the verdict where a single random value does not round to what is published.
    """
    text = claim["published"]
    low, high = reach(text)
    ours = {"published": text, "measured": sample.shown(".6g")}
    if sample.missing or not sample.values:
        return {**ours, "verdict": DIFFERS if sample.missing else UNKNOWN}
    mean, expected = sample.mean, sample.predicted(claim.get("runs", 1))
    if sample.fixed:  # a further run would give the same
        expected = Estimate(expected.mean)
    single = math.isnan(expected.low)
    bottom, top = (mean.mean, mean.mean) if single else expected[1:]
    if bottom <= high and low <= top:
        verdict = AGREES
    else:
        verdict = alone if single and not sample.fixed else DIFFERS
    return {
        **ours,
        "measured_low": mean.low,
        "measured_high": mean.high,
        "predicted_low": expected.low,
        "predicted_high": expected.high,
        "verdict": verdict,
    }


def reach(text: str) -> tuple[float, float]:
    """The numbers that are rounded to what is written: 0.1495 to 0.1505 for 0.150."""
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "infinity and NaN are mistakes of the study"
    half = Decimal(5).scaleb(exponent - 1)
    return float(number - half), float(number + half)
