"""Differences over seeds and test examples: crossed random effects."""

import json
from pathlib import Path

import numpy as np
import pytest
from handmade import CLASSES, resolved

from optlab import files
from optlab.results import examples, statistics
from optlab.runs import record
from optlab.study import table


def simulated(random, seeds, size, of_seeds, of_examples, rest, mean=0.0):
    rows = of_seeds * random.standard_normal((seeds, 1))
    columns = of_examples * random.standard_normal((1, size))
    return mean + rows + columns + rest * random.standard_normal((seeds, size))


@pytest.mark.parametrize(
    "parts", [(0.02, 0.3, 0.3), (0.0, 0.5, 0.1), (0.1, 0.0, 0.3), (0.0, 0.0, 0.3), (0.05, 0.2, 1)]
)
def test_the_interval_covers_the_mean_over_other_seeds_and_other_examples(parts):
    random = np.random.default_rng(1)
    found = [examples.crossed(simulated(random, 8, 100, *parts)) for _ in range(1000)]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.93 <= covered <= 1.0


def test_examples_alone_are_what_an_interval_over_seeds_leaves_out():
    random = np.random.default_rng(2)
    values = [simulated(random, 10, 100, 0.0, 0.4, 0.1) for _ in range(300)]
    over_seeds = [statistics.estimate(list(one.mean(axis=1))) for one in values]
    assert np.mean([one.low <= 0 <= one.high for one in over_seeds]) < 0.5
    assert np.mean([e.low <= 0 <= e.high for e in map(examples.crossed, values)]) > 0.92


def test_without_effects_of_examples_it_is_the_interval_over_seeds():
    values = np.repeat(np.array([[0.1], [0.3], [0.2]]), 50, axis=1)
    found, plain = examples.crossed(values), statistics.estimate([0.1, 0.3, 0.2])
    assert found == pytest.approx(plain)


def test_identical_values_have_no_interval():
    found = examples.crossed(np.zeros((3, 5)))
    assert found.mean == 0 and np.isnan(found.low)


def test_it_is_read_from_the_records_of_both_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = resolved({"fit": {**CLASSES, "optimizers": {"sgd": {"lr": [1]}, "adam": {"lr": [1]}}}})
    runs = table.runs(study)
    assert np.isnan(examples.difference(*map(examples.correct, runs)).mean)
    answers = [[[1, 1, 0, 1], [1, 1, 1, 1]], [[1, 0, 0, 1], [0, 1, 0, 1]]]
    for run, rows in zip(runs, answers, strict=True):
        seeds = [{"seed": n, "test_correct": record.pack(row)} for n, row in enumerate(rows)]
        seeds.append(
            {"seed": 3, "test_correct": record.pack([0] * 4)}
        )  # of more than are asked for
        files.write(Path(run.folder, "run.json"), json.dumps({"seeds": seeds}))
    found = examples.difference(*map(examples.correct, runs))
    assert found == examples.crossed(np.subtract(*answers))
    assert found.mean == pytest.approx(3 / 8)


def test_answers_survive_the_record():
    random = np.random.default_rng(3).random(10_000) < 0.97
    text = record.pack(random.tolist())
    assert len(text) < 2000
    assert np.frombuffer(record.unpack(text), np.int8).tolist() == random.astype(int).tolist()
