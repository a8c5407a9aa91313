"""Evidence that stays valid however often one looks: p-values that hold at every number of seeds.

The differences are Gaussian with an unknown deviation; the evidence against a mean of zero is the
mixture over the effect size whose prior variance is `RATIO` (arXiv:2310.03722).
"""

import math
from collections.abc import Sequence

import numpy as np

RATIO = 4.0  # prior variance of the standardised difference


def p_value(differences: Sequence[float], grain: float = 0.0) -> float:
    """The anytime-valid p of paired differences, in the order of their seeds.

    p = min(1, 1 / max E_m) over the first m differences, with k = 1 + m RATIO, t the paired t and
    y = t^2 / (m - 1): E_m = k^(-1/2) ((1 + y) / (1 + y / k))^(m / 2).

    Args:
        differences: one a seed.
        grain: the smallest step of a difference; their deviation is at least half of it.
    """
    values = np.asarray(differences, dtype=float)
    found = [_log_evidence(values[:m], grain) for m in range(2, len(values) + 1)]
    return math.exp(-max([0.0, *found]))


def _log_evidence(values: np.ndarray, grain: float) -> float:
    m, mean = len(values), float(values.mean())
    if mean == 0:
        return -0.5 * math.log(1 + m * RATIO)
    k, deviation = 1 + m * RATIO, max(float(values.std(ddof=1)), grain / 2)
    y = m * mean**2 / deviation**2 / (m - 1) if deviation else math.inf
    gain = math.log(k) if math.isinf(y) else math.log1p(y) - math.log1p(y / k)
    return 0.5 * (m * gain - math.log(k))
