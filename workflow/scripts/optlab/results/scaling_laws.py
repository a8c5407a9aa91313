"""The arithmetic of scaling: ratios of times, Amdahl's law, the figure of Karp and Flatt.

p is the number of processes, T(p) a time with p of them, S = T(1) / T(p) the speed-up. Every
interval is one of 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from optlab.results.statistics import Estimate, estimate, geometric, quantile

FEWEST_COUNTS = 3  # process counts, one among them: two would give a fit nothing to disagree with

Times = Mapping[int, float]  # seed -> seconds


@dataclass(frozen=True)
class Amdahl:
    """A fit of Amdahl's law.

    Attributes:
        share: the serial share of the time of one process. It is not cut to [0, 1]: below 0 more
            processes gain more than their number, above 1 they lose time.
        error: the largest relative deviation of a measured T(p) / T(1) from the fit.
    """

    share: Estimate
    error: float

    def speedup(self, p: float) -> float:
        """The fitted speed-up of p processes."""
        return 1 / amdahl_time(self.share.mean, p)


def paired_ratio(above: Times, below: Times) -> Estimate | None:
    """The geometric mean of above / below over the seeds that both have, with its interval.

    Ratios are multiplicative, so the t interval is one of their logarithms; none of a single
    seed. None where there is no common seed.
    """
    seeds = sorted(above.keys() & below.keys())
    return geometric([above[seed] / below[seed] for seed in seeds])


def amdahl_time(share: float, p: float) -> float:
    """T(p) / T(1) = s + (1 - s) / p, for the same work and a serial share s.

    Source: G. M. Amdahl, "Validity of the single processor approach to achieving large scale
    computing capabilities", AFIPS Conference Proceedings 30 (1967) 483-485.
    """
    return share + (1 - share) / p


def amdahl(times: Mapping[int, Times]) -> Amdahl | None:
    """Amdahl's law, fitted by least squares to T(p) / T(1) of the same work.

    The law is linear in s: T(p) / T(1) - 1/p = s (1 - 1/p). The fit is to the geometric mean of
    the ratios over the seeds. Its interval covers two: the t interval of the residuals, wide
    where the law does not describe what was measured, and that of a fit for each seed.

    Args:
        times: p -> seed -> seconds.

    Returns:
        None with fewer than three process counts, or without that of one.
    """
    base = times.get(1, {})
    ratios = {p: paired_ratio(found, base) for p, found in times.items() if p > 1}
    means = {p: ratio.mean for p, ratio in ratios.items() if ratio}
    if len(means) < FEWEST_COUNTS - 1:
        return None
    share = _least_squares(means)
    error = max(abs(mean / amdahl_time(share, p) - 1) for p, mean in means.items())
    intervals = [_residual_interval(means, share), _seed_interval(times)]
    ends = [end for found in intervals for end in (found.low, found.high) if end is not None]
    return Amdahl(Estimate(share, min(ends), max(ends)), error)


def _least_squares(ratios: Mapping[int, float]) -> float:
    """The s that is closest to T(p) / T(1) - 1/p = s (1 - 1/p) over all p."""
    above = sum((ratio - 1 / p) * (1 - 1 / p) for p, ratio in ratios.items())
    return above / sum((1 - 1 / p) ** 2 for p in ratios)


def _residual_interval(ratios: Mapping[int, float], share: float) -> Estimate:
    """The t interval of s from what the fit leaves, one degree of freedom less than ratios."""
    n = len(ratios)
    squares = sum((ratio - amdahl_time(share, p)) ** 2 for p, ratio in ratios.items())
    error = math.sqrt(squares / (n - 1) / sum((1 - 1 / p) ** 2 for p in ratios))
    half = quantile(0.975, n - 1) * error
    return Estimate(share, share - half, share + half)


def _seed_interval(times: Mapping[int, Times]) -> Estimate:
    """The t interval of s over the seeds that every process count has; empty for one seed."""
    seeds = sorted(set.intersection(*(set(found) for found in times.values() if found)))
    shares = [
        _least_squares({p: t[seed] / times[1][seed] for p, t in times.items() if p > 1 and t})
        for seed in seeds
    ]
    return estimate(shares) or Estimate(math.nan)


def karp_flatt(speedup: Estimate, p: int) -> Estimate | None:
    """The serial share that one measured speed-up amounts to, e = (1/S - 1/p) / (1 - 1/p).

    Where it grows with p, the processes lose time on something that Amdahl's law does not have,
    as communication. None for one process.

    Source: A. H. Karp, H. P. Flatt, "Measuring parallel processor performance", Communications of
    the ACM 33 (1990) 539-543.
    """
    return None if p == 1 else speedup.mapped(lambda s: (1 / s - 1 / p) / (1 - 1 / p))


def replayed_seconds(training: float, evaluation: float, epochs: int, p: int) -> float:
    """How long the original lab's program would take on p GPUs: T + e ceil(E / p) seconds.

    It divides the E epochs by the GPUs and lets every GPU repeat each batch, one GPU after the
    other, so as many steps are trained as with one GPU and T does not change. An evaluation of e
    seconds follows each epoch, and of these there are fewer.
    """
    return training + evaluation * -(-epochs // p)
