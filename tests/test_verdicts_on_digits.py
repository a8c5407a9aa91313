"""Verdicts on real training: one optimizer under two names, and a difference that is known."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from handmade import settings

from optlab.data import prepare
from optlab.results import pairs, reading
from optlab.results.pairs import Contestant
from optlab.training import loop
from optlab.training.datasets import load

STUDIES, SEEDS, LOOKS = 40, 20, range(2, 21)
MARGIN = 0.02  # two points; the deviation between seeds is about a third of it


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory):
    """Test accuracies of SGD at two rates, each [studies, seeds], and of the first again."""
    path = tmp_path_factory.mktemp("data") / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    torch.set_num_threads(1)
    data = load(path)

    def trained(rate, first, count):
        run = settings("softmax", "sgd", {"lr": rate}, epochs=10, evaluate_every=10)
        found = []
        for start in range(first, first + count, 100):
            outcomes = loop.train(run, data, range(start, start + 100))
            found += [outcome.evaluations[-1].test_accuracy for outcome in outcomes]
        return np.array(found).reshape(-1, SEEDS)

    many = STUDIES * SEEDS
    return trained(1.0, 0, many), trained(1.0, many, many), trained(0.1, 0, 5 * SEEDS)


def verdicts(one, other, monkeypatch):
    """What is said at each look."""
    monkeypatch.setattr(reading, "grain", lambda run, figure: 1 / 360)
    run = SimpleNamespace(path="", seeds=SEEDS, is_deterministic=False)
    found = []
    for n in LOOKS:
        both = [Contestant(run, pd.Series(values[:n]), 0, 1.0) for values in (one, other)]
        (pair,) = pairs.compare(both, "test_accuracy", MARGIN)
        found.append(pair.verdict)
    return found


@pytest.mark.slow
def test_an_optimizer_is_equivalent_to_itself_and_never_better_or_worse(accuracies, monkeypatch):
    first, second, _ = accuracies
    said = [verdicts(a, b, monkeypatch) for a, b in zip(first, second, strict=True)]
    assert not {"better", "worse"} & {verdict for study in said for verdict in study}
    assert Counter(study[-1] for study in said)["equivalent"] > STUDIES / 2


@pytest.mark.slow
def test_a_known_difference_is_found_and_stands(accuracies, monkeypatch):
    fast, _, slow = accuracies
    assert fast.mean() - slow.mean() > 2 * MARGIN
    for a, b in zip(fast, slow, strict=False):
        said = verdicts(a, b, monkeypatch)
        assert said[-1] == "better"
        first = said.index("better")
        assert set(said[:first]) <= {"open"} and set(said[first:]) == {"better"}
