"""Laws of scaling: Amdahl's law, the metric of Karp and Flatt, and the original lab's arithmetic.

p is the number of processes, T(p) the time with p processes, S = T(1) / T(p) the speed-up.
Intervals are 95 % intervals.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optlab.results.statistics import Estimate, estimate, quantile

FEWEST_COUNTS = 3  # with two process counts a fit of one parameter would be exact


@dataclass(frozen=True)
class Amdahl:
    """A fit of Amdahl's law.

    Attributes:
        share: serial share of the time of one process. It is not clipped to [0, 1]: below 0 the
            speed-up exceeds p, above 1 more processes take longer.
        error: largest relative deviation of a measured T(p) / T(1) from the fit.
    """

    share: Estimate
    error: float


def amdahl_time(share: float, p: Any) -> Any:
    """T(p) / T(1) = s + (1 - s) / p, for the same work and a serial share s.

    Source: G. M. Amdahl, "Validity of the single processor approach to achieving large scale
    computing capabilities", AFIPS Conference Proceedings 30 (1967) 483-485.
    """
    return share + (1 - share) / p


def amdahl(times: pd.DataFrame) -> Amdahl | None:
    """Fit Amdahl's law to the geometric means of T(p) / T(1) over the seeds, by least squares.

    The interval of the share contains two: the t interval from the residuals, which is wide where
    the law does not describe the measurements, and the t interval over the fits of each seed.

    Args:
        times: seconds [seeds, p] for the same work; NaN where a seed has no time.

    Returns:
        None for fewer than three process counts, or without p = 1.
    """
    times = times.dropna(axis="columns", how="all")
    if 1 not in times:
        return None
    ratios = times.drop(columns=1).div(times[1], axis="index")
    means = np.exp(np.log(ratios).mean()).dropna()
    n, p = len(means), means.index.to_numpy(float)
    if n < FEWEST_COUNTS - 1:
        return None
    share = float(_least_squares(means))
    fitted = amdahl_time(share, p)
    variance = ((means - fitted) ** 2).sum() / (n - 1) / ((1 - 1 / p) ** 2).sum()
    half = quantile(n - 1) * math.sqrt(variance)
    ends = [share - half, share + half]
    seeds = estimate(list(_least_squares(ratios.dropna())))
    if not math.isnan(seeds.low):
        ends += [seeds.low, seeds.high]
    return Amdahl(Estimate(share, min(ends), max(ends)), float(abs(means / fitted - 1).max()))


def _least_squares(ratios: Any) -> Any:
    """The least squares solution s of T(p) / T(1) - 1/p = s (1 - 1/p).

    Args:
        ratios: T(p) / T(1), a Series [p] or a DataFrame [seeds, p].
    """
    p = ratios.axes[-1].to_numpy(float)
    x = 1 - 1 / p
    return (ratios - 1 / p) @ x / (x @ x)


def karp_flatt(speedup: Any, p: Any) -> Any:
    """The serial share e = (1/S - 1/p) / (1 - 1/p) that one speed-up S with p > 1 amounts to.

    An e that grows with p indicates a loss that Amdahl's law does not contain, for example
    communication.

    Source: A. H. Karp, H. P. Flatt, "Measuring parallel processor performance", Communications of
    the ACM 33 (1990) 539-543.
    """
    return (1 / speedup - 1 / p) / (1 - 1 / p)


def replayed_evaluations(epochs: Any, p: Any) -> Any:
    """ceil(E / p): the evaluations that the original lab's program makes on p GPUs.

    It divides the E epochs by p and lets each of the p GPUs repeat every batch, one GPU after the
    other. The number of steps, and so the training time T, is that of one GPU. An evaluation of e
    seconds follows each epoch on its clock, so it reports T + e ceil(E / p) seconds.
    """
    return -(-epochs // p)
