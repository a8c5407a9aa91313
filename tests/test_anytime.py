"""Inference that stays valid however often one looks, against integration and by simulation."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from optlab.results import anytime
from optlab.results.statistics import holm

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
LEVELS = (0.05, 0.05 / 13, 0.05 / 91)
RANDOM = np.random.default_rng(3)
SAMPLES = [RANDOM.normal(mean, 1, n) for n in (2, 3, 5, 8, 20) for mean in (0, 0.4, 2, -5)]


@pytest.fixture
def verdicts(monkeypatch):
    """The simulations of the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("verdicts")


# The formula


@pytest.mark.parametrize("values", [(0.7,), (1.0, 2.0), (0.5, -0.2, 0.4), (1.1, 0.9, 1.3, 0.2, 2)])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_e_is_the_ratio_of_the_likelihoods(values, shift):
    """Both integrated over log s (the prior 1/s), the first over mean / deviation ~ N(0, g) too."""
    x = np.array(values) - shift
    width = math.sqrt(anytime.PRIOR)
    log_s, effect = np.linspace(-6, 25, 2001)[:, None], np.linspace(-8 * width, 8 * width, 801)

    def likelihood(effect):
        squares = sum((value * np.exp(-log_s) - effect) ** 2 for value in x)
        return np.exp(-len(x) * log_s - squares / 2)

    mixed = likelihood(effect) * stats.norm.pdf(effect, scale=width)
    first = integrate.simpson(integrate.simpson(mixed, x=effect), x=log_s[:, 0])
    second = integrate.simpson(likelihood(0.0)[:, 0], x=log_s[:, 0])
    assert anytime.log_e(values, shift)[-1] == pytest.approx(math.log(first / second), abs=1e-6)


@pytest.mark.parametrize("seeds, t", [(3, math.inf), (5, 5.36), (10, 3.97), (20, 3.63)])
def test_critical_t_of_a_known_prior(seeds, t):
    found = math.sqrt(seeds - 1) * float(anytime.critical(seeds, 0.05, 4.0))
    assert found == pytest.approx(t, abs=0.005)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_e_is_fair(n):
    """Its mean is 1 where the mean is zero. With few seeds it is bounded, so that a mean exists."""
    values = np.random.default_rng(4).standard_normal((200_000, n))
    e = np.exp(anytime.evidence(n, n * values.mean(axis=1) ** 2, n * values.var(axis=1)))
    error = e.std() / math.sqrt(len(e))
    assert error < 0.02 and abs(e.mean() - 1) <= 4 * error + 1e-12


@pytest.mark.parametrize("values", SAMPLES, ids=lambda values: f"{len(values)}")
def test_scale_and_sign_make_no_difference(values):
    expected = anytime.log_e(values, 0.1, 0.01)
    assert anytime.log_e(-values, -0.1, 0.01) == pytest.approx(expected, rel=1e-12)
    for scale in (1e-300, 1e-6, 1e300):
        found = anytime.log_e(values * scale, 0.1 * scale, 0.01 * scale)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    mean, low, high = anytime.interval(values)
    expected = [-1e290 * value for value in (mean, high, low)]
    assert anytime.interval(-1e290 * values) == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_equal_differences():
    """E is k^((n-1)/2) at its largest; zeros say nothing; a grain leaves doubt."""
    n = np.arange(1, 9)
    limit = (n - 1) / 2 * np.log1p(n * anytime.PRIOR)
    for value in (0.1, -1e-300, 1e300):
        assert anytime.log_e([value] * 8) == pytest.approx(limit, rel=1e-12)
        assert anytime.interval([value] * 8) == (value, value, value)
    assert anytime.p_value([0.0] * 8) == 1 and not anytime.log_e([0.0] * 8).any()
    assert not anytime.log_e([0.1] * 8, 0.1).any()
    assert anytime.p_value([0.01] * 4) < anytime.p_value([0.01] * 4, grain=0.01) < 1
    _, low, high = anytime.interval([0.01] * 8, grain=0.01)
    assert low < 0.01 < high
    with_grain = anytime.log_e([0.01, 0.02, 0.04], grain=0.01)[-1]
    variance = np.var([1, 2, 4], ddof=1) + 1 / 6
    t = 7 / 3 * math.sqrt(3 / variance)
    k = 1 + 3 * anytime.PRIOR
    e = k**-0.5 * ((1 + t**2 / 2) / (1 + t**2 / 2 / k)) ** 1.5
    assert with_grain == pytest.approx(math.log(e))


@pytest.mark.filterwarnings("error")
def test_no_seed_and_one_seed():
    assert len(anytime.log_e([])) == 0 and anytime.p_value([]) == 1
    assert anytime.p_value([3.0]) == 1 and anytime.p_equivalent([0.0], 1.0) == 1
    assert anytime.p_equivalent([], 1.0) == 1
    mean, low, high = anytime.interval([])
    assert math.isnan(mean) and (low, high) == (-math.inf, math.inf)
    assert anytime.interval([3.0]) == (3, -math.inf, math.inf)
    assert anytime.more_seeds([1.0], None, 0.05, 0.05) == (None, None, None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values", [(1e-300, 2e-300, 1e-300), (1e300, -1e300, 1.7e308), (0, 1e-310)]
)
def test_extreme_differences(values):
    assert np.isfinite(anytime.log_e(values, 1e-300)).all()
    assert 0 <= anytime.p_value(values) <= 1
    assert 0 <= anytime.p_equivalent(values, 1e-5) <= 1
    anytime.more_seeds(values, 0.1, 0.05, 0.05)


# Intervals and p-values


@pytest.mark.parametrize("values", SAMPLES, ids=lambda values: f"{len(values)}")
@pytest.mark.parametrize("alpha", LEVELS)
@pytest.mark.parametrize("grain", [0.0, 0.3])
def test_the_interval_is_the_inversion_of_e(values, alpha, grain):
    mean, low, high = anytime.interval(values, 1 - alpha, grain)
    assert mean == pytest.approx(np.mean(values))
    finite = len(values) >= anytime.fewest(alpha)
    assert math.isfinite(low) == math.isfinite(high) == finite
    for end in (low, high) if finite else ():
        assert anytime.log_e(values, end, grain)[-1] == pytest.approx(-math.log(alpha), rel=1e-9)
    for shift in (-1e9, 1e9) if not finite else ():
        assert anytime.log_e(values, shift, grain)[-1] < -math.log(alpha)


@pytest.mark.parametrize("alpha", LEVELS)
def test_the_fewest_seeds(alpha):
    fewest = anytime.fewest(alpha)
    assert anytime.p_value([1.0] * fewest) <= alpha < anytime.p_value([1.0] * (fewest - 1))


@pytest.mark.parametrize("values", SAMPLES, ids=lambda values: f"{len(values)}")
def test_what_was_shown_stands(values):
    for p in (anytime.p_value, lambda seen: anytime.p_equivalent(seen, 1.0)):
        looks = [p(values[:n]) for n in range(len(values) + 1)]
        assert looks[0] == 1 and (np.diff(looks) <= 0).all()


@pytest.mark.parametrize("values", SAMPLES, ids=lambda values: f"{len(values)}")
def test_equivalence_follows_from_the_interval(values):
    margins = (0.0, 0.1, 0.5, 1.0, 3.0, 10.0)
    found = [anytime.p_equivalent(values, margin) for margin in margins]
    assert found[0] == 1 and (np.diff(found) <= 0).all()
    assert [anytime.p_equivalent(-values, margin) for margin in margins] == found
    for alpha in LEVELS:
        _, low, high = anytime.interval(values, 1 - alpha)
        inside = [-margin < low and high < margin for margin in margins]
        assert all(p <= alpha for p, is_inside in zip(found, inside, strict=True) if is_inside)


def test_a_difference_beyond_the_margin_is_no_equivalence():
    """E against the margin is large there too: evidence that the difference is larger still."""
    values = 10 + RANDOM.standard_normal(12)
    assert anytime.log_e(values, 1.0)[-1] > 5 and anytime.log_e(values, -1.0)[-1] > 5
    assert anytime.p_equivalent(values, 1.0) == anytime.p_equivalent(-values, 1.0) == 1
    assert anytime.p_equivalent(values - 10, 3.0) < 0.01


def test_a_family_is_adjusted_by_holm():
    pairs = [np.array(mean) + RANDOM.standard_normal(15) / 10 for mean in (0, 0, 0.03, 1, 5)]
    different = [anytime.p_value(pair) for pair in pairs]
    equivalent = [anytime.p_equivalent(pair, 0.5) for pair in pairs]
    found = anytime.adjusted(different, equivalent)
    assert (found.different, found.equivalent) == (holm(different), holm(equivalent))
    assert [p <= 0.05 for p in found.different] == [False, False, False, True, True]
    assert found.alpha_difference == pytest.approx(0.05 / 3)
    assert found.alpha_equivalence == pytest.approx(0.05 / 2)
    assert anytime.adjusted(different[3:], [1.0, 1.0]).alpha_difference == pytest.approx(0.05)


# How many more seeds


@pytest.mark.parametrize("margin, grain", [(None, 0.0), (0.8, 0.0), (0.8, 1.0)])
def test_further_seeds_settle_four_of_five(margin, grain):
    """Against continuations of our own, from the whole of the data, by the public functions."""
    values = np.array([0.9, 0.2, -0.4, 1.2, 0.6])
    alpha = 0.05 / 13
    found = anytime.more_seeds(values, margin, alpha, alpha, grain)
    random = np.random.default_rng(5)
    settled = np.zeros(2)
    for _ in range(600):
        more = random.normal(values.mean(), values.std(ddof=1), found.seeds)
        for i, end in enumerate((found.seeds, found.seeds - 2)):
            seen = np.concatenate([values, more[:end]])
            p = anytime.p_value(seen, grain)
            p = min(p, anytime.p_equivalent(seen, margin, grain)) if margin else p
            settled[i] += p <= alpha
    assert found.seeds > 9 and 0.76 < settled[0] / 600 < 0.86
    assert settled[1] < settled[0]
    assert found.low < found.seeds < found.high


def test_what_the_seeds_so_far_show_counts_later():
    """They show that the mean is below the margin; the true mean is the margin itself."""
    values = np.array([-5.0, -5.1, -4.9, -5.2])
    found = anytime.needed(values, 1.0, 1.0, anytime.Rule(1.0, 1e-300, 0.05))
    random = np.random.default_rng(5)
    more = 1 + random.standard_normal((600, found))
    ps = [anytime.p_equivalent(np.concatenate([values, row]), 1.0) for row in more]
    assert found > 9 and 0.76 < np.mean(np.array(ps) <= 0.05) < 0.86


def test_the_range_is_that_of_the_deviation():
    """s sqrt(4 / chi2), chi2 = 7.779 and 1.064 at 90 and 10 % for four degrees of freedom."""
    values = np.array([0.9, 0.2, -0.4, 1.2, 0.6])
    found = anytime.more_seeds(values, None, 0.05, 0.05)
    rule = anytime.Rule(None, 0.05, 0.05)
    for end, quantile in ((found.low, 7.779), (found.high, 1.064)):
        deviation = values.std(ddof=1) * math.sqrt(4 / quantile)
        assert end == pytest.approx(anytime.needed(values, values.mean(), deviation, rule), abs=1)


def test_further_seeds_at_the_ends():
    values = RANDOM.standard_normal(20)
    assert anytime.more_seeds(values + 9, None, 0.05, 0.05) == (0, 0, 0)
    assert anytime.more_seeds(values - values.mean(), 9.0, 0.05, 0.05) == (0, 0, 0)
    assert anytime.more_seeds(values - values.mean(), None, 0.05, 0.05) == (None, None, None)
    assert anytime.more_seeds([0.0, 0.0, 0.0], None, 0.05, 0.05) == (None, None, None)
    assert anytime.more_seeds(values - values.mean(), 1e-3, 0.05, 0.05).seeds is None
    fewest = anytime.fewest(0.05 / 13)
    assert anytime.more_seeds([0.1, 0.1], None, 0.05 / 13, 0.05) == (fewest - 2,) * 3
    # At the grain, two equal differences do not say that all will be equal.
    with_grain = anytime.more_seeds([0.01, 0.01], None, 0.05 / 13, 0.05, grain=0.01)
    assert with_grain.seeds > fewest - 2 and with_grain.high > with_grain.low


def test_further_seeds_are_the_same_in_all_units():
    values = RANDOM.normal(0.6, 1, 6)
    expected = anytime.more_seeds(values, 0.9, 0.01, 0.02, 0.1)
    for scale in (-1.0, 1e-300, 1e300):
        found = anytime.more_seeds(values * scale, abs(0.9 * scale), 0.01, 0.02, abs(0.1 * scale))
        assert found == expected


# Simulations: benchmarks/verdicts.py has more of them


def test_the_simulations_compute_the_same(verdicts):
    values = RANDOM.normal(0.3, 1, (3, 30))
    for row, found in zip(values, np.exp(-verdicts.best_evidence(values)), strict=True):
        assert found == pytest.approx([anytime.p_value(row[:n]) for n in range(1, 31)])
    for row, found in zip(values, np.exp(-verdicts.equivalence(values, 1.0)), strict=True):
        assert found == pytest.approx([anytime.p_equivalent(row[:n], 1.0) for n in range(1, 31)])
    evidence = RANDOM.exponential(5, (2, 6, 4))
    for study, shown in zip(evidence, verdicts.holm_shows(evidence), strict=True):
        for look in range(4):
            adjusted = np.array(holm(list(np.exp(-study[:, look]))))
            assert (shown[:, look] == (adjusted <= 0.05)).all()


def test_few_equal_optimizers_are_ever_called_different(verdicts):
    """A reference chosen by the data is one of all pairs: Holm over those with it is too few."""
    found = verdicts.false_differences(np.random.default_rng(6), 2000)
    assert 0.005 < found["fixed"][0] < 0.05 and 0.005 < found["all"][0] < 0.05
    assert found["best of all"][0] <= found["all"][0]
    assert found["best"][0] > 0.07
    assert all(t_test > 0.2 for _, t_test in found.values())


@pytest.mark.parametrize("kind", ["single", "fixed", "all"])
def test_few_optimizers_the_margin_apart_are_ever_equivalent(verdicts, kind):
    found = verdicts.false_equivalences(np.random.default_rng(7), 2000, 2.0, kind)
    assert 0.001 < found < 0.03


@pytest.mark.parametrize("seeds, mean, margin", [(5, 1.0, None), (10, 0.5, 1.0)])
def test_the_number_of_further_seeds_is_calibrated(verdicts, seeds, mean, margin):
    random = np.random.default_rng(8)
    within, earlier, _ = verdicts.calibration(random, 400, seeds, mean, margin)
    assert 0.75 < within < 0.85 and earlier < within
