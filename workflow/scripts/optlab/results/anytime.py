"""Whether two settings differ, however often one looks and adds seeds.

With k = 1 + n g, t = mean sqrt(n) / s and y = t^2 / (n - 1), the evidence after n differences is
E_n = k^(-1/2) [(1 + y) / (1 + y / k)]^(n/2). Where the true difference is zero, it ever reaches
1/alpha with a probability of at most alpha (H. Wang and A. Ramdas, arXiv 2310.03722).
"""

import math
from collections.abc import Sequence

PRIOR = 4.0  # g


def p_value(differences: Sequence[float], grain: float = 0.0) -> float:
    """The two-sided p of "no difference": min(1, 1 / max E_m), valid at every look."""
    return min(1.0, *(1 / e for e in _evidence(differences, 0.0, grain)), 1.0)


def p_equivalent(differences: Sequence[float], margin: float, grain: float = 0.0) -> float:
    """The p of "they differ by the margin or more", valid at every look."""
    sides = []
    for shift in (margin, -margin):
        found = _evidence(differences, shift, grain)
        means = [sum(differences[:n]) / n for n in range(1, len(differences) + 1)]
        inner = [e for e, mean in zip(found, means, strict=True) if (mean - shift) * shift < 0]
        sides.append(min(1.0, *(1 / e for e in inner), 1.0))
    return max(sides)


def _evidence(differences: Sequence[float], shift: float, grain: float) -> list[float]:
    found = []
    for n in range(1, len(differences) + 1):
        values = [value - shift for value in differences[:n]]
        mean, k = sum(values) / n, 1 + n * PRIOR
        within = sum((value - mean) ** 2 for value in values) + (n - 1) * grain**2 / 6
        between = n * mean**2
        below = within + between / k
        ratio = 1.0 if below == 0 else (within + between) / below
        log = (n * math.log(ratio) - math.log(k)) / 2 if between or within else 0.0
        found.append(math.exp(min(log, 700.0)))
    return found
