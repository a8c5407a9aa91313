"""Intervals and tests over seeds. SciPy gives the t distribution; everything else is arithmetic.

Source: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25; formulas as in any
text, for example NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2 and 1.3.5.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

LEVEL = 0.95  # of every interval in tables and figures
FEWEST_PAIRS = 3  # with fewer, a test would say nothing and look as if it did


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its interval; the interval is empty (None) for a single seed."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A paired t-test: mean difference (first - second), its interval, and the two-sided p."""

    difference: Estimate
    t: float
    p: float
    pairs: int


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate | None:
    """Mean and t interval, mean +- t((1 + level) / 2; n - 1) s / sqrt(n), of one value a seed.

    s is the standard deviation with n - 1 in the denominator. None where there are no values.
    """
    n = len(values)
    if not n:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean)
    half = _quantile((1 + level) / 2, n - 1) * _deviation(values, mean) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half)


def paired_t_test(first: Sequence[float], second: Sequence[float]) -> Comparison | None:
    """Whether two settings differ over the same seeds: t = mean(d) sqrt(n) / s(d), d = a - b.

    Returns:
        None where there are fewer than three pairs: "not enough seeds to say".

    Raises:
        ValueError: the values are not pairs.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if n < FEWEST_PAIRS:
        return None
    found = estimate(differences)
    assert found is not None
    error = _deviation(differences, found.mean) / math.sqrt(n)
    if error == 0:  # seeds that make no difference at all
        t = math.copysign(math.inf, found.mean) if found.mean else 0.0
        return Comparison(found, t, 0.0 if found.mean else 1.0, n)
    from scipy.special import stdtr

    t = found.mean / error
    return Comparison(found, t, float(2 * stdtr(n - 1, -abs(t))), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, adjusted so that errors of the whole family are bounded.

    In ascending order p_(k) becomes the largest of (m - j + 1) p_(j) for j <= k, at most 1 (S.
    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979)).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def _deviation(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


@lru_cache
def _quantile(probability: float, freedom: int) -> float:
    # scipy.special has it too, without the second that scipy.stats takes to import.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))
