"""Whether a difference holds on other test examples too, not only with other seeds.

The test examples are a sample as the seeds are. d[i, j] is 1 if at seed i the first of two settings
classifies example j correctly and the second does not, -1 the other way round, else 0. Both are
random effects, crossed without replication: with the mean squares of seeds, of examples and of the
rest, the variance of the mean of S seeds and N examples is (MS_s + MS_e - MS_r) / (S N). Source:
S. R. Searle, G. Casella and C. E. McCulloch, "Variance components" (1992), chapter 4; degrees of
freedom after F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110-114.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from optlab.results.statistics import Estimate, quantile
from optlab.runs import record
from optlab.study.run import Run

Correct = Mapping[int, NDArray[np.int8]]  # seed -> 1 for each example that is correct, else 0


def correct(run: Run) -> Correct:
    """Which test examples are classified correctly, by seed; empty where that is not recorded."""
    try:
        known = [entry for entry in record.seeds(run) if "test_correct" in entry]
        return {e["seed"]: np.frombuffer(record.unpack(e["test_correct"]), np.int8) for e in known}
    except (ValueError, KeyError, TypeError):
        return {}


def difference(first: Correct, second: Correct) -> Estimate:
    """The difference of their test accuracies, with an interval over seeds and examples.

    For the number of seeds that there is; unknown with fewer than two, or where it is not recorded.
    """
    common = sorted(first.keys() & second.keys())
    if len(common) < 2:
        return Estimate()
    return crossed(np.stack([first[seed] - second[seed] for seed in common]))


def crossed(values: NDArray) -> Estimate:
    """The mean of values [seeds, examples] and its interval, both being random effects."""
    values = values.astype(float)
    seeds, examples = values.shape
    mean = float(values.mean())
    by_seed, by_example = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - by_seed[:, None] - by_example
    freedom = (seeds - 1, examples - 1, (seeds - 1) * (examples - 1))
    if 0 in freedom:
        return Estimate(mean)
    squares = (
        examples * float(by_seed @ by_seed),
        seeds * float(by_example @ by_example),
        float((rest**2).sum()),
    )
    means = [total / degrees for total, degrees in zip(squares, freedom, strict=True)]
    of_seeds, of_examples, of_rest = means
    # No less than either alone: estimates of components can be negative, components cannot.
    total = max(of_seeds + of_examples - of_rest, of_seeds, of_examples)
    if not total:
        return Estimate(mean)
    parts = sum(m**2 / degrees for m, degrees in zip(means, freedom, strict=True))
    half = float(quantile(total**2 / parts)) * math.sqrt(total / (seeds * examples))
    return Estimate(mean, mean - half, mean + half)
