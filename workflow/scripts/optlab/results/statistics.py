"""Intervals and tests over seeds. SciPy gives the t distribution; the rest is arithmetic.

Source: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25; formulas as in any
text, for example NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2 and 1.3.5.3.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from optlab.catalogue import tasks

LEVEL = 0.95  # of every interval in tables and figures
ENDS = ("", "_low", "_high")  # of the columns of a figure: its mean, and the ends of its interval
_POSITIVE = ("loss", "seconds", "epoch", "_to_target")  # endings of figures that are at least 0


class Estimate(NamedTuple):
    """A mean over seeds and its interval: NaN for a single seed; for none, so is the mean."""

    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan


def possible(name: str) -> tuple[float, float]:
    """The lowest and the highest value that a figure of this name can have."""
    if tasks.is_share(name):
        return 0.0, 1.0
    if metric := tasks.of_figure(name):
        return metric.least, metric.most
    return (0.0 if name.endswith(_POSITIVE) else -math.inf), math.inf


def with_ends(*names: str) -> list[str]:
    """The columns of these figures: each its mean and the ends of its interval."""
    return [name + end for name in names for end in ENDS]


def cells(name: str, found: Estimate) -> dict[str, float]:
    """The columns of a figure and of the ends of its interval.

    The interval is cut to what is possible: the true value lies there, so the coverage stays.
    """
    low, high = possible(name)
    # NaN, an interval that is unknown, is neither below nor above anything.
    bottom = low if found.low < low else found.low
    top = high if found.high > high else found.high
    return dict(zip(with_ends(name), (found.mean, bottom, top), strict=True))


@np.errstate(invalid="ignore", over="ignore")  # of infinite figures
def intervals(values: pd.DataFrame, by: str) -> pd.DataFrame:
    """`estimate` for each column and each group of rows: three columns a figure (`ENDS`).

    As in `cells`, intervals are cut to what is possible.
    """
    groups = values.groupby(by, sort=False)
    mean, count = groups.mean(), groups.count()
    half = quantile(count - 1) * groups.std() / np.sqrt(count)
    least, most = np.array([possible(name) for name in values.columns]).T
    low, high = (mean - half).clip(lower=least, axis=1), (mean + half).clip(upper=most, axis=1)
    ends = zip((mean, low, high), ENDS, strict=True)
    parts = pd.concat([part.add_suffix(end) for part, end in ends], axis=1)
    return parts[with_ends(*values.columns)]


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and t interval, mean +- t((1 + LEVEL) / 2; n - 1) s / sqrt(n), of one value a seed.

    s is the standard deviation with n - 1 in the denominator.
    """
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    if n < 2:
        return Estimate(mean)
    half = float(quantile(n - 1)) * _deviation(values, mean) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half)


def predicted(values: Sequence[float], runs: int = 1, grain: float = 0.0) -> Estimate:
    """Where the mean of further runs is expected: mean +- t s sqrt(1 / runs + 1 / n).

    It is the prediction interval of G. J. Hahn, "Factors for calculating two-sided prediction
    intervals for samples from a normal distribution", J. Am. Stat. Assoc. 64 (1969) 878-888.

    Args:
        values: of n runs, one a seed, from the same distribution.
        runs: number of further runs.
        grain: resolution of the values, which adds grain^2 / 12 to their variance.
    """
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    if n < 2:
        return Estimate(mean)
    deviation = math.hypot(_deviation(values, mean), grain / math.sqrt(12))
    half = float(quantile(n - 1)) * deviation * math.sqrt(1 / runs + 1 / n)
    return Estimate(mean, mean - half, mean + half)


def geometric(values: Sequence[float]) -> Estimate:
    """The geometric mean of positive values, one a seed, and the t interval of their logarithms.

    A value of zero makes the mean zero, without an interval.
    """
    if any(value == 0 for value in values):
        return Estimate(0.0)
    return Estimate(*map(exp, estimate([math.log(value) for value in values])))


def exp(value: float) -> float:
    """e to this power, infinite where that is too large."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, adjusted so that errors of the whole family are bounded.

    In ascending order p_(k) becomes the largest of (m - j + 1) p_(j) for j <= k, at most 1 (S.
    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979)).
    """
    p_values = [1.0 if math.isnan(p) else p for p in p_values]  # nothing is known: not shown
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def quantile(freedom: Any) -> Any:
    """The quantile t((1 + LEVEL) / 2) of Student's distribution with these degrees of freedom."""
    return stdtrit(freedom, (1 + LEVEL) / 2)


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
