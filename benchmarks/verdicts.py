"""How often verdicts that are looked at after every seed are wrong, and how often they are missed.

Studies are simulated: the figure of an optimizer at a seed is its mean, plus an effect of the seed
that all share, plus noise. Verdicts are those of `optlab.results.anytime`.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from optlab.results import anytime

OPTIMIZERS, LOOKS, ALPHA, CHUNK = 14, 30, 0.05, 250
EFFECTS = (1.0, 1.5, 2.0, 3.0)  # true mean / deviation
Generator = np.random.Generator


def best_evidence(
    differences: NDArray, shift: float = 0.0, side: int = 0, prior: float = anytime.PRIOR
) -> NDArray:
    """The largest log E so far, at each look along the last axis.

    Side 1 or -1 counts only looks whose mean is above or below the shift.
    """
    values = differences - shift
    n = np.arange(1, values.shape[-1] + 1)
    mean = np.cumsum(values, axis=-1) / n
    within = np.maximum(np.cumsum(values**2, axis=-1) - n * mean**2, 0)
    within[..., 0] = 0  # of a single value; rounding would leave something
    found = anytime.evidence(n, n * mean**2, within, prior)
    if side:
        found = np.where(side * mean > 0, found, 0)
    return np.maximum.accumulate(np.maximum(found, 0), axis=-1)


def equivalence(differences: NDArray, margin: float) -> NDArray:
    """-log of `anytime.p_equivalent`, at each look."""
    below = best_evidence(differences, margin, -1)
    return np.minimum(below, best_evidence(differences, -margin, 1))


def scores(random: Generator, studies: int, means: NDArray) -> NDArray:
    """The figures of studies: an axis for studies, optimizers and seeds each."""
    seeds = random.standard_normal((studies, 1, LOOKS))
    noise = random.standard_normal((studies, len(means), LOOKS)) / np.sqrt(2)
    return means[:, None] + seeds + noise  # a difference of two has the deviation 1


def t_evidence(differences: NDArray, tests: int) -> NDArray:
    """Whether a t-test at Holm's first step shows a difference at each look, of 3 seeds or more."""
    n = np.arange(1, LOOKS + 1)
    mean = np.cumsum(differences, axis=-1) / n
    squares = np.maximum(np.cumsum(differences**2, axis=-1) - n * mean**2, 1e-300)
    level = stdtrit(np.maximum(n - 1, 1), 1 - ALPHA / tests / 2)
    return (n >= 3) & (np.abs(mean) * np.sqrt(n * (n - 1) / squares) >= level)


def false_differences(
    random: Generator, studies: int, optimizers: int = OPTIMIZERS
) -> dict[str, tuple[float, float]]:
    """Shares of studies of equal optimizers with a verdict at any look: by E, by the t-test.

    While none is shown, Holm's procedure is at its first step: all that counts is the smallest p.
    """
    first, second = np.array(list(combinations(range(optimizers), 2))).T
    pairs, rest = len(first), optimizers - 1
    counts = {name: np.zeros(2) for name in ("fixed", "best", "best of all", "all")}
    for _ in range(studies // CHUNK):
        values = scores(random, CHUNK, np.zeros(optimizers))
        best = np.cumsum(values, axis=-1).argmax(axis=1)[:, None]
        with_best = (first[:, None] == best) | (second[:, None] == best)
        differences = values[:, first] - values[:, second]
        log_e = best_evidence(differences)
        for i, (few, many) in enumerate(
            (
                [log_e >= np.log(tests / ALPHA) for tests in (rest, pairs)],
                [t_evidence(differences, tests) for tests in (rest, pairs)],
            )
        ):
            counts["fixed"][i] += few[:, first == 0].any((1, 2)).sum()
            counts["best"][i] += (few & with_best).any((1, 2)).sum()
            counts["best of all"][i] += (many & with_best).any((1, 2)).sum()
            counts["all"][i] += many.any((1, 2)).sum()
    return {name: (both[0] / studies, both[1] / studies) for name, both in counts.items()}


def holm_shows(evidence: NDArray) -> NDArray:
    """Which tests, along the second axis, Holm's procedure shows: -log p is given."""
    tests = evidence.shape[1]
    order = np.argsort(-evidence, axis=1)
    steps = np.log(np.arange(tests, 0, -1) / ALPHA)
    passed = np.take_along_axis(evidence, order, axis=1) >= steps[:, None]
    shown = np.zeros_like(passed)
    np.put_along_axis(shown, order, np.logical_and.accumulate(passed, axis=1), axis=1)
    return shown


def false_equivalences(random: Generator, studies: int, margin: float, kind: str) -> float:
    """The share of studies in which optimizers just the margin apart are ever called equivalent.

    Args:
        random: the source of the studies.
        studies: how many.
        margin: in units of the deviation of a difference.
        kind: "single"; "fixed": 13 with a fixed first one, each a margin apart from it; "all": the
            91 pairs of 14, of which seven are a margin apart from the other seven.
    """
    groups = {"single": [0, 1], "fixed": [0] + [1] * 13, "all": [0] * 7 + [1] * 7}[kind]
    means = margin * np.array(groups, dtype=float)
    first, second = np.array(list(combinations(range(len(means)), 2))).T
    if kind == "fixed":
        first, second = np.zeros(13, dtype=int), np.arange(1, 14)
    apart = means[first] != means[second]
    wrong = 0
    for _ in range(studies // CHUNK):
        values = scores(random, CHUNK, means)
        evidence = equivalence(values[:, first] - values[:, second], margin)
        wrong += holm_shows(evidence)[:, apart].any((1, 2)).sum()
    return wrong / studies


def power(
    random: Generator, studies: int, effect: float, alpha: float, prior: float = anytime.PRIOR
) -> NDArray:
    """The share of pairs shown to differ by each look, at a true mean / deviation."""
    differences = effect + random.standard_normal((studies, LOOKS))
    return (best_evidence(differences, prior=prior) >= -np.log(alpha)).mean(axis=0)


def calibration(
    random: Generator, studies: int, seeds: int, mean: float, margin: float | None
) -> tuple[float, float, float]:
    """Open comparisons with a number of seeds, continued, at Holm's first step among 13.

    Returns:
        The share that is settled within the number of further seeds said, for the true mean and
        deviation; the same one seed earlier; and the mean number.
    """
    alpha = ALPHA / (OPTIMIZERS - 1)
    rule = anytime.Rule(margin, alpha, alpha)
    found: list[tuple[bool, bool, int]] = []
    while len(found) < studies:
        values = mean + random.standard_normal(seeds + anytime.MOST)
        more = anytime.needed(values[:seeds], mean, 1.0, rule)
        if more:
            by = when_settled(values[: seeds + more], rule) - seeds
            found.append((by <= more, by <= more - 1, more))
    within, earlier, number = np.mean(found, axis=0)
    return within, earlier, number


def estimated(
    random: Generator, studies: int, seeds: int, mean: float, margin: float | None
) -> tuple[float, float]:
    """Shares settled within `anytime.more_seeds` and within its upper end, from estimates alone."""
    alpha = ALPHA / (OPTIMIZERS - 1)
    rule = anytime.Rule(margin, alpha, alpha)
    found: list[list[bool]] = []
    while len(found) < studies:
        values = mean + random.standard_normal(seeds + anytime.MOST)
        more = anytime.more_seeds(values[:seeds], *rule)
        if more.seeds != 0:
            by = when_settled(values, rule) - seeds
            found.append([by <= (end or anytime.MOST) for end in (more.seeds, more.high)])
    within, within_high = np.mean(found, axis=0)
    return within, within_high


def when_settled(values: NDArray, rule: anytime.Rule) -> float:
    """The number of seeds at which a verdict is first shown; infinite where none is."""
    shown = best_evidence(values) >= -np.log(rule.alpha_difference)
    if rule.margin is not None:
        shown |= equivalence(values, rule.margin) >= -np.log(rule.alpha_equivalence)
    return 1.0 + shown.argmax() if shown.any() else np.inf


def show_false(random: Generator, studies: int) -> None:
    for optimizers in (OPTIMIZERS, 10, 7, 5, 4, 3):
        print(
            f"  {optimizers} equal optimizers, {studies:,} studies, 2 to {LOOKS} seeds: E, t-test"
        )
        for name, (ours, t_test) in false_differences(random, studies, optimizers).items():
            print(f"    {name:<12} {ours:7.2%} {t_test:7.2%}")
    for kind in ("single", "fixed", "all"):
        shares = [false_equivalences(random, studies, m, kind) for m in (0.5, 1.0, 2.0, 4.0)]
        print(f"  equivalent at margin/s 0.5, 1, 2, 4: {kind:<7}", *(f"{s:.2%}" for s in shares))


def show_power(random: Generator, studies: int) -> None:
    for tests in (1, 13, 91):
        for effect in EFFECTS:
            shares = power(random, studies, effect, ALPHA / tests)[[4, 9, 19]]
            cells = " ".join(f"{share:6.1%}" for share in shares)
            print(f"  power at 5, 10, 20 seeds: {tests:>2} tests, d/s {effect}: {cells}")
    for prior in (2.0, 4.0, 6.0, anytime.PRIOR, 12.0, 16.0):  # of 5, 6, 8, 10 and 20 seeds
        means = [
            np.mean(
                [power(random, studies, d, ALPHA / n, prior)[[4, 5, 7, 9, 19]] for d in EFFECTS]
            )
            for n in (13, 91)
        ]
        print(f"  mean power with prior {prior}: 13 tests {means[0]:.1%}, 91 {means[1]:.1%}")


def show_calibration(random: Generator, studies: int) -> None:
    for seeds in (5, 10):
        for mean, margin in ((0.5, None), (1.0, None), (0.0, 1.0), (0.0, 0.5), (0.5, 1.0)):
            within, earlier, more = calibration(random, studies, seeds, mean, margin)
            guess, upper = estimated(random, studies, seeds, mean, margin)
            print(f"  after {seeds} seeds, d/s {mean}, margin {margin}: {more:.1f} more settle"
                  f" {within:.1%} (one fewer {earlier:.1%});"
                  f" by estimates {guess:.1%}, upper end {upper:.1%}")  # fmt: skip


def main(studies: int = 20_000, continued: int = 1000) -> None:
    random = np.random.default_rng(1)
    show_false(random, studies)
    show_power(random, studies)
    show_calibration(random, continued)


if __name__ == "__main__":
    main()
