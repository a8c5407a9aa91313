"""The table of optimizers: ranks, targets, and what the paired tests allow to be said."""

import math

import pytest
from handmade import CLASSES, finish, resolved, row, save, write
from scipy import stats
from test_results import read

import tables
from optlab.results import comparison, reading, statistics, summary
from optlab.study import table

OPTIMIZERS = {"sgd": {"lr": [0.1, 1]}, "adam": {"lr": [0.01]}, "nadam": {"lr": [0.01]}}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study_of(seeds=3, **more):
    exercise = {**CLASSES, "optimizers": OPTIMIZERS, **more}
    study = resolved({"optimizers": exercise}, seeds)
    return study, table.runs(study)


def end(run, loss, test, **more):
    """A finished run with these test accuracies, one a seed."""
    n = len(test)
    finish(run, [loss] * n, val_loss=[loss] * n, val_accuracy=[0.9] * n, test_accuracy=test, **more)


def ranked(runs, targets=None):
    return comparison.rank(summary.best(summary.summarise(runs), {}), targets or {})


def test_rank_is_by_validation_loss_and_the_test_is_paired():
    _, (slow, fast, adam, nadam) = study_of()
    first, second, third = [0.90, 0.94, 0.92], [0.80, 0.83, 0.825], [0.91, 0.93, 0.925]
    end(slow, 0.9, [0.99] * 3)
    end(fast, 0.3, second)
    end(adam, 0.2, first)
    end(nadam, 0.5, third)
    found = ranked([slow, fast, adam, nadam])
    assert found["run"].tolist() == [adam, fast, nadam]
    assert found["rank"].tolist() == [1, 2, 3]
    p = [stats.ttest_rel(other, first).pvalue for other in (second, third)]
    assert found["p"].tolist()[1:] == pytest.approx(p)
    assert found["p_holm"].tolist()[1:] == pytest.approx([2 * p[0], max(2 * p[0], p[1])])
    assert p[0] < 0.05 / 2 < p[1]
    assert found["verdict"].tolist() == [
        "the best on validation data",
        "worse",
        "no difference shown",
    ]


def test_two_seeds_are_too_few_and_diverged_settings_come_last():
    _, runs = study_of(seeds=2)
    for run, loss in zip(runs, (0.9, 0.3, 0.2, 0.1), strict=True):
        end(run, loss, [0.9, 0.8])
    finish(runs[-1], [0.1, None], val_loss=[0.1, None], test_accuracy=[0.99, None])
    found = ranked(runs)
    assert found["optimizer"].tolist() == ["adam", "sgd", "nadam"]
    assert set(found["verdict"][1:]) == {"not enough seeds to say"}


def test_holm_is_that_of_the_paper():
    adjusted = statistics.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0] and statistics.holm([]) == []


def test_time_to_target_is_that_of_the_first_evaluation_that_reaches_it():
    _, (run, *_) = study_of()

    def curve(seed, *accuracies):
        return [row(run, seed, n, 1.0, val_accuracy=a) for n, a in enumerate(accuracies)]

    write(run, [*curve(0, 0.1, 0.8, 0.9), *curve(1, 0.1, 0.2, 0.8), *curve(2, 0.1, 0.9, 0.7)])
    curves = reading.curves(run)
    reached, epochs, seconds = comparison.to_target(curves, 0.8)
    assert (reached, epochs.mean) == (3, pytest.approx((1 * 2 * 1) ** (1 / 3)))
    assert seconds.mean == pytest.approx(0.5 * epochs.mean)  # half a second an epoch
    low, high = stats.t.interval(0.95, 2, math.log(2) / 3, stats.sem([0, math.log(2), 0]))
    assert (epochs.low, epochs.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_time_to_target_is_over_the_seeds_that_reach_it_beside_how_many_do():
    _, (run, *_) = study_of()

    def curve(seed, *accuracies):
        return [row(run, seed, n, 1.0, val_accuracy=a) for n, a in enumerate(accuracies)]

    write(run, [*curve(0, 0.1, 0.8, 0.9), *curve(1, 0.1, 0.2, 0.8), *curve(2, 0.1, 0.9, 0.7)])
    curves = reading.curves(run)
    reached, epochs, seconds = comparison.to_target(curves, 0.85)
    assert (reached, epochs.mean, seconds.mean) == (
        2,
        pytest.approx(2**0.5),
        pytest.approx(2**-0.5),
    )
    reached, epochs, seconds = comparison.to_target(curves, 0.95)
    assert (reached, epochs.mean, seconds.mean) == (0, math.inf, math.inf)
    assert math.isnan(seconds.low)


def test_table(capsys):
    study, runs = study_of(target_accuracy=0.9, schedules=["constant", "cosine"])
    for number, run in enumerate(runs):
        end(run, 0.9 - 0.1 * number, [0.9, 0.91, 0.93], train_accuracy=[1.0] * 3)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    rows = read("out/optimizers.tsv")
    assert [(r["rank"], r["optimizer"], r["schedule"]) for r in rows] == [
        ("1", "nadam", "cosine"),
        ("2", "adam", "cosine"),
        ("3", "sgd", "cosine"),
    ]
    first, _, last = rows
    assert (first["target_accuracy"], first["reached_target"]) == ("0.9", "3")
    assert (first["epochs_to_target"], first["seconds_to_target"]) == ("0", "0")
    assert (last["settings"], last["lr_at_edge"], first["lr_at_edge"]) == ("4", "highest", "only")
    assert (last["test_difference"], last["p"], last["verdict"]) == (
        "0",
        "1",
        "no difference shown",
    )
    schedules = [r["schedule"] for r in read("out/runs.tsv")[:4]]
    assert schedules == ["constant", "constant", "cosine", "cosine"]


def test_a_study_without_schedules_or_target_has_neither():
    study, runs = study_of()
    for run in runs:
        end(run, 0.5, [0.9] * 3)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    row_ = read("out/optimizers.tsv")[0]
    assert "schedule" not in row_ and row_["target_accuracy"] == row_["epochs_to_target"] == ""


def test_a_study_with_nothing_to_compare_has_an_empty_table():
    study, runs = study_of(optimizers={"sgd": {"lr": [1]}})
    end(runs[0], 0.5, [0.9] * 3)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    assert read("out/optimizers.tsv") == []
