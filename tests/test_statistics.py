"""Intervals and tests, against SciPy and against textbook numbers."""

import math

import pytest
from scipy import stats

from optlab.results import statistics

SAMPLES = [(1.0, 2.0), (0.91, 0.92, 0.905), tuple(math.sin(n) for n in range(17)), (5.0, 5.0, 5.0)]


@pytest.mark.parametrize("values", SAMPLES)
def test_interval_equals_scipys(values):
    found = statistics.estimate(values)
    assert found.mean == pytest.approx(sum(values) / len(values), rel=1e-15)
    error = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, found.mean, error) if error else (5.0, 5.0)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_interval_of_a_known_sample():
    """t(0.975; 2) = 4.302653: the interval of 1, 2, 3 is 2 +- 4.302653 / sqrt(3)."""
    found = statistics.estimate([1, 2, 3])
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_one_seed_has_a_mean_and_no_interval():
    mean, *ends = statistics.estimate([0.25])
    assert mean == 0.25 and all(map(math.isnan, ends))


def test_no_seed_has_no_mean():
    assert all(map(math.isnan, statistics.estimate([])))


def test_interval_of_paired_differences_is_scipys():
    first, second = [0.91, 0.93, 0.92, 0.95], [0.90, 0.90, 0.91, 0.91]
    found = statistics.estimate([a - b for a, b in zip(first, second, strict=True)])
    interval = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.low == pytest.approx(interval.low, rel=1e-9)
    assert found.high == pytest.approx(interval.high, rel=1e-9)


def test_interval_of_a_single_seed_is_none_also_where_it_would_be_cut():
    for name in ("val_accuracy", "val_loss", "speedup"):
        mean, *ends = statistics.cells(name, statistics.estimate([0.9])).values()
        assert mean == 0.9 and all(map(math.isnan, ends))
    cut = statistics.cells("val_accuracy", statistics.Estimate(0.9, 0.7, 1.1))
    assert list(cut.values()) == [0.9, 0.7, 1.0]


def test_an_unknown_p_value_is_not_shown_and_changes_no_other():
    assert statistics.holm([0.04, math.nan, 0.001]) == pytest.approx([0.08, 1.0, 0.003])
