"""Which of two settings is better, over the seeds that both have.

The evidence is anytime-valid (`optlab.results.anytime`), so seeds may be added until it is enough;
Holm's correction is over the pairs of a claim. Two rules need no test. A setting that diverges, or
does not reach its target, with some seed is worse than one that never does. And where nothing is
random, one seed says all.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from optlab.results import anytime
from optlab.results.statistics import LEVEL, holm
from optlab.results.verdicts.samples import Sample
from optlab.values import counted

HOLDS, FAILS = "holds", "does not hold"
EQUAL = "does not hold: exactly equal"
WITHIN = " (within the margin)"
NO_PAIRS = "open: no seed has both figures"
UNSHOWN = "open: not shown with {seeds} (p {p:.2g})"

Margin = tuple[float, bool] | None  # its amount, and whether it is relative to the better setting


class Test(NamedTuple):
    """One setting against another.

    gain: by how much the first is better; p: of no difference; pairs: number of common seeds;
    small: whether the difference is within the margin.
    """

    gain: float
    p: float
    pairs: int
    small: bool = False


def ordered(pairs: Sequence[tuple[Sample, Sample]], margin: Margin = None) -> str:
    """Whether the first of each pair is better: all are, as claimed, or one is not."""
    tests = [_better(one, other, margin) for one, other in pairs]
    shown = [p <= 1 - LEVEL for p in holm([test.p for test in tests])]
    done = [test for test, sure in zip(tests, shown, strict=True) if sure]
    if all(shown) or any(test.gain <= 0 for test in done):
        wrong = [test for test in done if test.gain <= 0]
        if wrong and all(test.gain == 0 for test in wrong):
            return EQUAL
        verdict = FAILS if wrong else HOLDS
        return verdict + (WITHIN if any(test.small for test in wrong or done) else "")
    return _open(tests)


def equivalent(samples: Sequence[Sample], margin: Margin) -> str:
    """Whether all of them are within the margin of one another, or two are further apart."""
    near, far = [], []
    for one, other in itertools.combinations(samples, 2):
        if (one.missing > 0) != (other.missing > 0):
            return FAILS
        differences, fixed = _paired(one, other)
        width, grain = _width(margin, one, other), max(one.grain, other.grain)
        near.append(_near(differences, width, grain, fixed))
        far.append(_far(differences, width, grain, fixed))
    if all(p <= 1 - LEVEL for p in holm([test.p for test in near])):
        return HOLDS
    return FAILS if any(p <= 1 - LEVEL for p in holm(far)) else _open(near)


def _open(tests: Sequence[Test]) -> str:
    """What is missing: the fewest seeds, and the largest p, of the pairs that are not shown."""
    adjusted = holm([test.p for test in tests])
    left = [(test.pairs, p) for test, p in zip(tests, adjusted, strict=True) if p > 1 - LEVEL]
    pairs, p = min(n for n, _ in left), max(p for _, p in left)
    return UNSHOWN.format(seeds=counted(pairs, "seed"), p=p) if pairs else NO_PAIRS


def _better(one: Sample, other: Sample, margin: Margin) -> Test:
    """How much better one setting is than another."""
    if (one.missing > 0) != (other.missing > 0):
        return Test(1.0 if other.missing else -1.0, 0.0, 1)
    differences, fixed = _paired(one, other)
    if not differences:
        return Test(0.0, 1.0, 0)
    gain = -one.sign * math.fsum(differences) / len(differences)
    p = 0.0 if fixed else anytime.p_value(differences, max(one.grain, other.grain))
    small = margin is not None and abs(gain) < _width(margin, one, other)
    return Test(gain, p, len(differences), small)


def _paired(one: Sample, other: Sample) -> tuple[list[float], bool]:
    """The differences over common seeds, in their order, and whether nothing in them is random."""
    seeds = sorted(one.values.keys() & other.values.keys())
    first, second = ([sample.values[seed] for seed in seeds] for sample in (one, other))
    if one.logarithmic and other.logarithmic and all(value > 0 for value in (*first, *second)):
        first, second = ([math.log(value) for value in values] for values in (first, second))
    return [a - b for a, b in zip(first, second, strict=True)], one.fixed and other.fixed


def _width(margin: Margin, one: Sample, other: Sample) -> float:
    """The margin as a difference of these two."""
    if margin is None:
        return 0.0
    amount, relative = margin
    return amount * (abs(min(one, other, key=lambda s: s.place).mean.mean) if relative else 1.0)


def _near(differences: Sequence[float], width: float, grain: float, fixed: bool) -> Test:
    """The p of "they differ by the margin or more"."""
    if not differences:
        return Test(0.0, 1.0, 0)
    if fixed:
        return Test(0.0, 0.0 if abs(differences[0]) < width else 1.0, len(differences))
    return Test(0.0, anytime.p_equivalent(differences, width, grain), len(differences))


def _far(differences: Sequence[float], width: float, grain: float, fixed: bool) -> float:
    """The p of "they differ by the margin or less"."""
    if not differences:
        return 1.0
    mean = math.fsum(differences) / len(differences)
    if abs(mean) <= width or fixed:
        return 0.0 if fixed and abs(mean) >= width else 1.0
    beyond = [value - math.copysign(width, mean) for value in differences]
    return anytime.p_value(beyond, grain)
