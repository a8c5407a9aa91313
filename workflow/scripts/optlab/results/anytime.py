"""Whether two settings differ, however often one looks and adds seeds.

d_1..d_n are the differences of two settings at the same seeds, normal with unknown mean and
deviation. E_n compares how likely they are if mean / deviation ~ N(0, g) with how likely they are
if the mean is zero, whatever the deviation (the improper prior 1/s on it). With k = 1 + n g,
t = mean sqrt(n) / s and y = t^2 / (n - 1)

    E_n = k^(-1/2) [(1 + y) / (1 + y / k)]^(n/2),    E_1 = 1.

If the mean is zero, E_1, E_2, ... is a martingale, so that by Ville's inequality it ever reaches
1/alpha with a probability of at most alpha. A t-test promises this for one n fixed beforehand.

Source: H. Wang and A. Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means
with unknown variance" (arXiv 2310.03722); M. F. Perez-Ortiz et al., "E-statistics, group
invariance and anytime-valid testing", Annals of Statistics 52 (2024).
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri

from .statistics import LEVEL, Estimate, holm

# g, the variance of mean / deviation that E expects. Of 0.25 to 100, 8 has the highest power at 5
# to 20 seeds and true mean / deviation of 1 to 3, averaged, at Holm's first step among 13
# comparisons, and is 0.1 points below the highest among 91 (`benchmarks/verdicts.py`). A smaller
# one cannot use few seeds: of 13 comparisons, one with 5 seeds is shown from |t| = 11.8 on with 8,
# from 18.3 on with 4, and with 2 never.
PRIOR = 8.0
MOST = 1000  # further seeds that are looked at
CONTINUATIONS = 1000  # of the seeds so far, to see how many more it takes
SETTLED = 0.8  # of the continuations, at the number of further seeds
BLOCKS = (0, 8, 32, 128, 512, MOST)  # few seeds first: most continuations are settled early


class More(NamedTuple):
    """Further seeds that settle a comparison; low and high: if the deviation is, too.

    None is more than MOST, or unknown.
    """

    seeds: int | None
    low: int | None
    high: int | None


class Family(NamedTuple):
    """Comparisons together: p-values adjusted by Holm, and the levels of those still open."""

    different: list[float]
    equivalent: list[float]
    alpha_difference: float
    alpha_equivalence: float


class Rule(NamedTuple):
    """What settles a comparison: see `more_seeds`."""

    margin: float | None
    alpha_difference: float
    alpha_equivalence: float
    grain: float = 0.0


def log_e(differences: ArrayLike, shift: float = 0.0, grain: float = 0.0) -> NDArray[np.float64]:
    """The logarithms of E_1..E_n against the hypothesis that the mean difference is ``shift``.

    Args:
        differences: one a seed, in the order in which the seeds were added.
        shift: the mean by the hypothesis.
        grain: the resolution of the two figures, 1 / examples for an accuracy. Rounding to it
            adds grain^2 / 6 to the variance, so that equal differences are no certainty.
    """
    return _looks(differences, shift, grain)[0]


def evidence(count: Any, between: Any, within: Any, prior: float = PRIOR) -> Any:
    """log E of ``count`` values whose t^2 / (n - 1) is ``between`` / ``within``, elementwise.

    ``between`` is n mean^2, ``within`` the sum of the squares around the mean: no quotient of the
    two, so that identical values (within = 0) have a limit. It is k^((n-1)/2), and 1 for zeros.
    """
    k = 1 + count * prior
    below = np.asarray(within + between / k)
    nothing = below == 0
    ratio = np.where(nothing, 0.0, between) * (1 - 1 / k) / np.where(nothing, 1.0, below)
    return np.where(nothing, 0.0, (count * np.log1p(ratio) - np.log(k)) / 2)


def p_value(differences: ArrayLike, grain: float = 0.0) -> float:
    """The two-sided p of "no difference": min(1, 1 / max E_m), valid at every look."""
    return _p(log_e(differences, 0.0, grain))


def p_equivalent(differences: ArrayLike, margin: float, grain: float = 0.0) -> float:
    """The p of "they differ by the margin or more", valid at every look.

    It is the larger one of the hypotheses "mean >= margin" and "mean <= -margin". Evidence against
    each counts only at looks whose mean lies on the other side: there a mean further out than the
    margin makes E smaller, so that the margin itself is the worst case.
    """
    if margin == 0:
        return 1.0
    below, above = _sides(differences, margin, grain)
    return max(_p(below), _p(above))


def interval(differences: ArrayLike, level: float = LEVEL, grain: float = 0.0) -> Estimate:
    """The mean and its interval, valid at every look: the shifts with E_n < 1 / (1 - level).

    With A = (k / alpha^2)^(1/n) it is mean +- se sqrt((n - 1) k (A - 1) / (k - A)), infinite where
    A >= k.
    """
    values, _, grain, scale = _scaled(differences, 0.0, grain)
    if not len(values):
        return Estimate(math.nan, -math.inf, math.inf)
    n, mean, within = (float(part[-1]) for part in _sums(values, grain))
    reach = float(critical(n, 1 - level))
    half = reach * math.sqrt(within / n) if reach < math.inf else math.inf
    return Estimate(mean * scale, (mean - half) * scale, (mean + half) * scale)


def critical(count: Any, alpha: float, prior: float = PRIOR) -> Any:
    """|t| / sqrt(n - 1) at which E is 1/alpha: infinite where no t is enough."""
    log_k = np.log1p(count * prior)
    log_a = (log_k - 2 * math.log(alpha)) / count
    reached = log_a < log_k
    most = np.where(reached, -np.expm1(np.where(reached, log_a - log_k, -1.0)), 1.0)
    return np.where(reached, np.sqrt(np.expm1(np.where(reached, log_a, 0.0)) / most), np.inf)


def fewest(alpha: float) -> int:
    """The smallest n at which E_n, at most k^((n-1)/2), can be 1/alpha at all."""
    return next(
        n for n in itertools.count(1) if (n - 1) / 2 * math.log1p(n * PRIOR) >= -math.log(alpha)
    )


def adjusted(
    different: Sequence[float], equivalent: Sequence[float], alpha: float = 1 - LEVEL
) -> Family:
    """The p-values of a family, adjusted by Holm.

    With the step of Holm's that a comparison is at that is still open: alpha divided by the number
    of comparisons not yet shown.
    """
    found = holm(different), holm(equivalent)
    left = [max(1, sum(p > alpha for p in one)) for one in found]
    return Family(*found, alpha / left[0], alpha / left[1])


def more_seeds(
    differences: ArrayLike,
    margin: float | None,
    alpha_difference: float,
    alpha_equivalence: float,
    grain: float = 0.0,
) -> More:
    """How many further seeds settle an open comparison with 80 % probability.

    Settled is "different", or "equivalent" within the margin (None: no such verdict), at any look.
    The seeds so far are continued as if the true mean and deviation were those estimated; the
    range is that of a deviation at the ends of its 80 % chi-square interval. Estimates from few
    seeds are rough: see benchmarks/README.md for how often the number was enough.

    Args:
        differences: those so far; of fewer than two the deviation is unknown.
        margin: the largest difference that does not matter.
        alpha_difference: the p at which a difference is shown, at the comparison's step of Holm's.
        alpha_equivalence: the same for an equivalence.
        grain: as in `log_e`.
    """
    values, margin_, grain, _ = _scaled(differences, margin or 0.0, grain)
    if len(values) < 2:
        return More(None, None, None)
    freedom = len(values) - 1
    rule = Rule(margin_ or None, alpha_difference, alpha_equivalence, grain)
    if np.mean(values) < 0:  # the same answer whichever setting comes first
        values = -values
    _, means, within = _sums(values, 0.0)
    # Below the grain, a deviation cannot be seen: equal differences do not say that it is zero.
    deviation = max(math.sqrt(within[-1] / freedom), grain / math.sqrt(6))
    small, large = (math.sqrt(freedom / chdtri(freedom, tail)) for tail in (0.1, 0.9))
    found: list[int | None] = []
    for factor in (small, 1.0, large):  # where a smaller deviation takes too many, so do the others
        unsettled = bool(found) and found[-1] is None
        found.append(None if unsettled else needed(values, means[-1], deviation * factor, rule))
    return More(found[1], found[0], found[2])


def needed(values: NDArray, mean: float, deviation: float, rule: Rule) -> int | None:
    """`more_seeds` for a true mean and deviation: None is more than MOST."""
    when = np.full((3, CONTINUATIONS), np.inf)  # different, below the margin, above minus it
    when[0] = _already(log_e(values, 0.0, rule.grain), rule.alpha_difference)
    if rule.margin is not None:
        below, above = _sides(values, rule.margin, rule.grain)
        when[1] = _already(below, rule.alpha_equivalence)
        when[2] = _already(above, rule.alpha_equivalence)
    for begin, end in itertools.pairwise(BLOCKS):
        rows = np.flatnonzero(_settled(when) == np.inf)
        shown = _continued(values, (mean, deviation), rule, rows, slice(begin, end))
        for i, hits in enumerate(shown):  # what was once shown stands: the first time counts
            first = np.where(hits.any(axis=1), begin + 1 + hits.argmax(axis=1), np.inf)
            when[i, rows] = np.minimum(when[i, rows], first)
        seeds = np.sort(_settled(when))[math.ceil(SETTLED * CONTINUATIONS) - 1]
        if seeds < np.inf:
            return int(seeds)
    return None


def _settled(when: NDArray) -> NDArray:
    """When each continuation is settled, by when each of the three things is shown."""
    return np.minimum(when[0], np.maximum(when[1], when[2]))


def _continued(
    values: NDArray, truth: tuple[float, float], rule: Rule, rows: NDArray, steps: slice
) -> list[NDArray]:
    """What is shown at these further seeds of these continuations, once a figure of `needed`."""
    mean, deviation = truth
    n = len(values) + np.arange(MOST)[steps] + 1
    first, second = (sums[rows, steps] for sums in _noise())
    off = (np.sum(values - mean) + deviation * first) / n  # of the mean, from the true one
    within = np.sum((values - mean) ** 2) + deviation**2 * second - n * off**2
    error = np.sqrt(np.maximum(within + (n - 1) * rule.grain**2 / 6, 0) / n)
    means = mean + off
    with np.errstate(invalid="ignore"):  # infinity times an error of zero: nothing is shown
        shown = [np.abs(means) > critical(n, rule.alpha_difference) * error]
        if rule.margin is not None:
            half = critical(n, rule.alpha_equivalence) * error
            shown += [means < rule.margin - half, means > half - rule.margin]
    return shown


@functools.lru_cache(1)
def _noise() -> tuple[NDArray, NDArray]:
    """The sums so far of standard normal values, a row a continuation, and of their squares."""
    noise = np.random.default_rng(0).standard_normal((CONTINUATIONS, MOST))
    return np.cumsum(noise, axis=1), np.cumsum(noise**2, axis=1)


def _already(evidence_so_far: NDArray, alpha: float) -> float:
    """0 further seeds where this is shown, else infinitely many."""
    return 0.0 if _p(evidence_so_far) <= alpha else math.inf


def _p(evidence_so_far: NDArray) -> float:
    return math.exp(-float(np.max(evidence_so_far, initial=0.0)))


def _sides(differences: ArrayLike, margin: float, grain: float) -> tuple[NDArray, NDArray]:
    """log E against "mean = margin" and against "mean = -margin": 0 where it speaks for more."""
    upper, from_upper = _looks(differences, margin, grain)
    lower, from_lower = _looks(differences, -margin, grain)
    return np.where(from_upper < 0, upper, 0.0), np.where(from_lower > 0, lower, 0.0)


def _looks(differences: ArrayLike, shift: float, grain: float) -> tuple[NDArray, NDArray]:
    """log E after every seed, and the sign of the mean so far minus the shift (as a number)."""
    values, shift, grain, _ = _scaled(differences, shift, grain)
    n, mean, within = _sums(values - shift, grain)
    return evidence(n, n * mean**2, within), mean


def _scaled(differences: ArrayLike, shift: float, grain: float) -> tuple[NDArray, Any, Any, float]:
    """All in a unit in which no square overflows and the largest does not vanish; and that unit.

    It is a power of two: later values change no digit of what earlier ones showed.
    """
    values = np.asarray(differences, dtype=float)
    largest = max(float(np.max(np.abs(values), initial=0.0)), abs(shift), grain)
    scale = math.ldexp(1.0, math.frexp(largest)[1] - 1)
    return values / scale, shift / scale, grain / scale, scale


def _sums(values: NDArray, grain: float) -> tuple[NDArray, NDArray, NDArray]:
    """1..n, the mean of so many values, and their sum of squares around it with the grain's.

    Values are taken from the first, so that equal ones have a sum of exactly zero.
    """
    n = np.arange(1, len(values) + 1)
    apart = values - values[:1]
    mean = np.cumsum(apart) / n
    before = np.concatenate([[0.0], mean])[:-1]
    within = np.cumsum((apart - before) ** 2 * (n - 1) / n) + (n - 1) * grain**2 / 6
    return n, values[:1] + mean, within
