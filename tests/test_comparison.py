"""The optimizers of a problem: ranks, verdicts of pairs, and what is missing for the open ones."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from handmade import CLASSES, confirm, describe, finish, resolved, row, save, write
from scipy import stats
from statsmodels.stats.multitest import multipletests
from test_results import read

import tables
from optlab.results import anytime, comparison, examples, pairs, reading, statistics, summary
from optlab.results.tables import tables as tables_of
from optlab.runs import record
from optlab.study import table

OPTIMIZERS = {"sgd": {"lr": [0.1, 1]}, "adam": {"lr": [0.01, 0.1]}, "nadam": {"lr": [0.01, 0.1]}}
SGD = [0.90, 0.902, 0.895, 0.899, 0.901, 0.897, 0.9, 0.898]
LEVEL = [0.931, 0.932, 0.925, 0.93, 0.931, 0.927, 0.929, 0.928]
NEAR = [0.9305, 0.9315, 0.9255, 0.9285, 0.9315, 0.9265, 0.9305, 0.9275]
WILD = [0.99, 0.85, 0.97, 0.88, 0.99, 0.86, 0.95, 0.93]


pytestmark = pytest.mark.usefixtures("here")


def study_of(seeds=3, optimizers=OPTIMIZERS, **more):
    exercise = {**CLASSES, "optimizers": optimizers, **more}
    study = resolved({"fit": exercise}, seeds)
    return study, table.runs(study)


def end(run, accuracy, test=0.9, loss=0.5):
    """A finished run with this validation accuracy; test accuracies are one or one a seed."""
    tested = test if isinstance(test, list) else [test] * run.seeds
    n = len(tested)
    finish(run, [loss] * n, val_loss=[loss] * n, val_accuracy=[accuracy] * n, test_accuracy=tested,
           test_loss=[loss] * n)  # fmt: skip


def confirmed(*tested, **more):
    """A study whose optimizers were confirmed, each at its second rate, with these accuracies."""
    names = list(OPTIMIZERS)[: len(tested)]
    optimizers = {name: {"lr": [0.01, 0.1, 0.3]} for name in names}
    study, runs = study_of(optimizers=optimizers, confirm=8, **more)
    for number, run in enumerate(runs):
        end(run, 0.9 if number % 3 == 1 else 0.8)
    for number, values in enumerate(tested):
        confirm(study, runs[3 * number + 1], values)
    return study, runs


def contest(study):
    best = summary.best(summary.summarise(table.every(study)), {"fit": "auto"})
    (found,) = comparison.contests(study, best)
    return found


def ranked(study, **warnings):
    return comparison.rank(contest(study), None, warnings)


def names(found):
    return [one.run.optimizer for one in found.contestants]


def test_ranks_and_verdicts_are_of_confirmation_seeds_by_the_test_metric():
    study, runs = confirmed(SGD, LEVEL)
    end(runs[1], 0.99, 0.99)  # the tuning seeds say that SGD is far better
    found = contest(study)
    assert names(found) == ["adam", "sgd"]
    assert [one.run.seeds for one in found.contestants] == [8, 8]
    assert found.figure == "test_accuracy"
    (pair,) = found.pairs
    assert pair.verdict == "better"
    assert pair.difference.mean == pytest.approx(0.030125)
    table_ = ranked(study)
    assert table_["verdict"].tolist() == ["the best", "worse"]
    assert table_["difference"].tolist()[1] == pytest.approx(-0.030125)
    assert table_["test_accuracy"].tolist() == pytest.approx([np.mean(LEVEL), np.mean(SGD)])


def test_p_values_are_those_of_the_formula_adjusted_as_statsmodels_does():
    study, _ = confirmed(SGD, LEVEL, WILD)
    found = contest(study)
    data = dict(zip(OPTIMIZERS, (SGD, LEVEL, WILD), strict=True))

    def p(one, other):
        differences = np.subtract(data[one], data[other])
        evidence = [1.0]
        for n in range(2, 9):
            d, k = differences[:n], 1 + n * anytime.PRIOR
            y = n * d.mean() ** 2 / ((n - 1) * d.var(ddof=1))
            evidence.append(k**-0.5 * ((1 + y) / (1 + y / k)) ** (n / 2))
        return min(1.0, 1 / max(evidence))

    expected = [p(pair.one.run.optimizer, pair.other.run.optimizer) for pair in found.pairs]
    assert [pair.p for pair in found.pairs] == pytest.approx(expected)
    adjusted = multipletests(expected, method="holm")[1]
    assert [pair.p_holm for pair in found.pairs] == pytest.approx(list(adjusted))
    assert len(found.pairs) == 3


def test_equivalent_is_within_the_margin_and_needs_one():
    study, _ = confirmed(LEVEL, NEAR, margin={"accuracy": "0.5 points"})
    assert ranked(study)["verdict"].tolist() == [
        "the best, with equivalent ones",
        "equivalent (within 0.5 points)",
    ]
    study, _ = confirmed(LEVEL, NEAR)
    assert ranked(study)["verdict"].iloc[1] == "open: more than 1000 further seeds"


def test_a_shown_difference_within_the_margin_is_equivalent():
    study, _ = confirmed(SGD, LEVEL, margin={"accuracy": 0.1})
    (pair,) = contest(study).pairs
    assert pair.p_holm < 0.05
    assert pair.verdict == "equivalent"


def test_a_relative_margin_is_a_share_of_the_best_loss():
    assert pairs.margin({"loss": "2%"}, "test_loss", 0.5) == pytest.approx(0.01)
    assert pairs.margin({"loss": 0.02}, "test_loss", 0.5) == 0.02
    assert pairs.margin({"accuracy": "0.5 points"}, "test_accuracy", 0.9) == pytest.approx(0.005)
    assert pairs.margin({"accuracy": 0.005}, "test_loss", 0.5) is None


def test_an_open_verdict_says_what_would_settle_it():
    study, _ = confirmed(LEVEL, WILD, margin={"accuracy": 0.05})
    found = ranked(study)
    assert found["verdict"].iloc[0] == "first, with others not told apart yet"
    (pair,) = contest(study).pairs
    assert f"about {pair.more.seeds} more seeds" in found["verdict"].iloc[1]
    assert found["more_seeds"].iloc[1] == pair.more.seeds >= 10
    # Both have to be trained on them, a second each.
    assert found["more_minutes"].iloc[1] == pytest.approx(2 * pair.more.seeds / 60)


def test_the_grain_of_an_accuracy_is_one_example():
    study, runs = confirmed(SGD, LEVEL)
    for one in (runs[0], contest(study).contestants[0].run):
        sizes = {"train": 20_000, "test": 50, "validation": 10}
        describe(one, {**record.read(one.folder), "sizes": sizes})
    assert reading.grain(runs[0], "test_accuracy") == reading.grain(runs[0], "best_test_accuracy")
    assert reading.grain(runs[0], "test_accuracy") == 0.02
    assert reading.grain(runs[0], "val_accuracy") == 0.1
    assert reading.grain(runs[0], "train_accuracy") == 1e-4  # measured on a part of them
    assert reading.grain(runs[0], "test_loss") == 0.0
    (pair,) = contest(study).pairs
    assert pair.p == pytest.approx(anytime.p_value(np.subtract(LEVEL, SGD), 0.02))


def test_equal_accuracies_are_no_proof():
    study, _ = confirmed([0.9] * 4, [0.9] * 4)
    (pair,) = contest(study).pairs
    assert (pair.p, pair.verdict) == (1.0, "open")


def test_a_setting_that_diverges_on_a_seed_is_last():
    study, _ = confirmed([*LEVEL[:-1], None], SGD)
    found = ranked(study)
    assert found["optimizer"].tolist() == ["adam", "sgd"]
    assert found["verdict"].iloc[1] == "worse: 1 seed diverged"
    assert "1 of 8 seeds diverged" in found["warnings"].iloc[1]
    study, _ = confirmed([*LEVEL[:-1], None], [None, *SGD[1:]])
    assert ranked(study)["verdict"].iloc[1] == "open: seeds of both diverged"


def test_an_optimizer_that_always_diverges_is_last():
    study, runs = study_of(optimizers={"sgd": {"lr": [1]}, "adam": {"lr": [1]}})
    finish(runs[0], [None] * 3, val_accuracy=[0] * 3)
    end(runs[1], 0.9)
    found = ranked(study)
    assert found["optimizer"].tolist() == ["adam", "sgd"]
    assert found["verdict"].iloc[1] == "worse: 3 seeds diverged"
    assert found["diverged"].tolist() == [0, 3]


LOST = [None] * 3
FIRST_OF_LOST = "first, but no optimizer has a seed that did not diverge"


@pytest.mark.parametrize(
    ("losses", "metric", "verdicts"),
    [
        ({"nadam": LOST}, "loss", ["open: ", "worse: 3 seeds diverged"]),
        ({"sgd": LOST, "adam": LOST}, "auto", ["worse: 3 seeds", "worse: 3 seeds"]),
        # Seeds of all diverged, but of one no seed is left.
        ({"sgd": LOST, "adam": [None, 1, 1], "nadam": [1, None, 1]}, "auto", ["open", "worse"]),
        (dict.fromkeys(OPTIMIZERS, LOST), "auto", ["open: every seed of both"] * 2),
        (dict.fromkeys(OPTIMIZERS, LOST), "loss", ["open: every seed of both"] * 2),
    ],
)
def test_an_optimizer_without_a_seed_is_in_every_table_and_last(losses, metric, verdicts):
    study, runs = study_of(metric=metric)
    for run in runs:
        kind = losses.get(run.optimizer, [0.5] * 3)
        finish(run, kind, **{f"{part}_{name}": [0.9] * 3 for part in ("val", "test")
                             for name in ("loss", "accuracy")})  # fmt: skip
    found = tables_of(study)
    ranks = found["optimizers"]
    assert sorted(ranks["optimizer"]) == sorted(OPTIMIZERS)
    assert ranks["diverged"].tolist() == sorted(ranks["diverged"])
    for verdict, start in zip(ranks["verdict"][1:], verdicts, strict=True):
        assert verdict.startswith(start)
    assert (ranks["verdict"][0] == FIRST_OF_LOST) == (ranks["diverged"][0] == 3)
    assert len(found["pairs"]) == 3
    assert set(found["budget"]["optimizer"]) == set(OPTIMIZERS)
    figure = "accuracy" if metric == "auto" else "loss"
    assert set(ranks["judged_by"]) == {f"test_{figure}"}


def test_the_edge_of_the_grid_is_not_crowned():
    study, runs = confirmed(SGD, LEVEL)
    end(runs[5], 0.99)  # the highest rate of Adam
    confirm(study, runs[5], LEVEL, edge="highest")
    found = ranked(study)
    assert found["verdict"].iloc[0] == (
        "first, not crowned: its learning rate is the highest that was tried"
    )
    assert "the highest that was tried" in found["warnings"].iloc[0]


def test_seeds_added_to_some_are_compared_on_common_ones():
    study, runs = confirmed(SGD, LEVEL)
    study["exercises"]["fit"]["confirm"] = 12
    confirm(study, runs[4], [*LEVEL, 0.5, 0.5, 0.5, 0.5])
    found = contest(study)
    assert len(found.pairs[0].values) == 8
    # By the means of all their seeds SGD would be first, but it is shown to be worse.
    assert names(found) == ["adam", "sgd"]
    assert found.pairs[0].verdict == "better"


def test_without_confirmation_the_tuning_seeds_judge_and_the_row_says_so():
    study, runs = study_of(seeds=8)
    for run, tested in zip(runs, (SGD, SGD, SGD, LEVEL, SGD, SGD), strict=True):
        end(run, 0.95 if tested is LEVEL else 0.9, tested)
    found = ranked(study)
    assert found["optimizer"].iloc[0] == "adam"
    assert all("the seeds that chose" in warning for warning in found["warnings"])
    assert found["seeds"].tolist() == [8] * 3


def test_one_seed_says_nothing():
    study, runs = study_of(seeds=1)
    for number, run in enumerate(runs):
        end(run, 0.9, 0.9 + 0.01 * number)
    assert set(ranked(study)["verdict"][1:]) == {"open: one seed says nothing; use confirm"}


def test_settings_are_chosen_by_the_metric_and_ties_by_the_loss():
    _, runs = study_of(seeds=2, optimizers={"sgd": {"lr": [0.01, 0.1, 0.3]}})
    for run, accuracy, loss in zip(runs, (0.9, 0.95, 0.95), (0.1, 0.4, 0.3), strict=True):
        end(run, accuracy, loss=loss)
    every = summary.summarise(runs)
    by = {m: summary.best(every, {"fit": m})["lr"].iloc[0] for m in ("auto", "accuracy", "loss")}
    assert by == {"auto": 0.3, "accuracy": 0.3, "loss": 0.01}


def test_regression_is_compared_by_its_loss():
    study, runs = study_of(confirm=8, optimizers={"sgd": {"lr": [1]}, "adam": {"lr": [1]}})
    for run in runs:
        finish(run, [0.3] * 3, val_loss=[0.3] * 3, test_loss=[0.3] * 3)
    for run, loss in zip(runs, (SGD, LEVEL), strict=True):
        confirm(study, run, loss, figure="test_loss")
    found = contest(study)
    assert (found.figure, names(found)) == ("test_loss", ["sgd", "adam"])
    assert found.pairs[0].verdict == "better"


def test_warnings_of_others_and_of_unequal_budgets():
    grids = {"sgd": {"lr": [0.1, 0.3, 1, 3]}, "adam": {"lr": [0.01, 0.1]}}
    study, runs = study_of(optimizers=grids)
    for run in runs:
        end(run, 0.9)
    found = ranked(study, adam=["something else"]).set_index("optimizer")["warnings"]
    assert "tuned with 2 settings, another one with 4; something else" in found["adam"]
    assert "tuned" not in found["sgd"]


def test_optimizers_of_one_problem_have_the_same_seeds():
    grids = {"sgd": {"lr": [0.1, 1]}, "lbfgs": {"lr": [0.1, 1]}}
    study, _ = study_of(optimizers=grids, confirm=8, batch_sizes=["full", 100])
    units = {unit.runs[0].optimizer: unit for unit in table.units(study)}
    assert all(run.is_deterministic for run in units["lbfgs"].runs)
    assert {name: unit.confirm for name, unit in units.items()} == {"sgd": 8, "lbfgs": 8}
    study, _ = study_of(optimizers=grids, confirm=8, batch_sizes=["full"])
    assert table.units(study) == []


@pytest.mark.parametrize("margin", [{}, {"accuracy": 0.005}])
def test_where_nothing_is_random_one_seed_says_all(margin):
    names = {name: {"lr": [1]} for name in ("sgd", "adam", "nadam", "radam")}
    study, runs = study_of(1, names, batch_sizes=["full"], margin=margin)
    for run, tested in zip(runs, (0.9, 0.9, 0.897, 0.8), strict=True):
        end(run, 0.9, tested)
    equal = "equivalent (within 0.5 points)" if margin else "equivalent (exactly equal)"
    near = "equivalent (within 0.5 points)" if margin else "worse"
    found = ranked(study)
    assert found["verdict"].tolist() == ["the best, with equivalent ones", equal, near, "worse"]
    assert found["p"].tolist()[1:] == [1, 0, 0]
    assert math.isnan(found["difference_low"].iloc[3])


def test_intervals_over_examples_are_of_the_seeds_and_the_figure_of_the_difference():
    study, _ = confirmed(LEVEL, SGD)
    answers = {"sgd": [1, 1, 1, 0], "adam": [1, 0, 0, 0]}
    for one in contest(study).contestants:
        file = Path(one.run.folder, "run.json")
        record_ = json.loads(file.read_text())
        for number, seed in enumerate(record_["seeds"]):
            row_ = [
                bit ^ (number % 2 and n == 0) for n, bit in enumerate(answers[one.run.optimizer])
            ]
            seed |= {"seed": 100_000 + number, "test_correct": record.pack(row_)}
        more = {**record_["seeds"][0], "seed": 100_900, "test_correct": record.pack([0] * 4)}
        describe(one.run, {"seeds": [*record_["seeds"], more]})
    (pair,) = contest(study).pairs
    assert 100_900 not in examples.correct(pair.one.run) and 100_900 not in pair.one.correct
    assert pair.over_examples.mean == pytest.approx(0.5)
    assert math.isnan(replace(pair, figure="test_loss").over_examples.mean)


def test_no_one_is_ranked_behind_one_that_it_is_shown_to_be_better_than():
    def one(name):
        return SimpleNamespace(run=SimpleNamespace(path=name))

    a, b, c = map(one, "abc")
    shown = [(a, b, "open"), (a, c, "worse"), (b, c, "better")]
    tested = [SimpleNamespace(one=x, other=y, verdict=v) for x, y, v in shown]
    assert comparison._ranked([a, b, c], tested) == [b, c, a]


def test_settings_of_a_later_problem_have_their_columns():
    plain = {**CLASSES, "optimizers": {"sgd": {"lr": [1]}, "adam": {"lr": [1]}}}
    other = {
        **plain,
        "optimizers": {"sgd": {"lr": [1], "weight_decay": [0.1]}, "adam": {"lr": [1]}},
    }
    study = resolved({"fit": plain, "again": {**other, "schedules": ["cosine"]}})
    for run in table.runs(study):
        end(run, 0.9)
    found = tables_of(study)["optimizers"]
    columns = list(found.columns)
    assert columns.index("lr") < columns.index("weight_decay") < columns.index("schedule")
    assert columns.index("schedule") < columns.index("batch_size") < columns.index("rank")
    assert set(found["schedule"]) == {"constant", "cosine"}


def test_every_pair_has_a_row():
    study, _ = confirmed(SGD, LEVEL, WILD)
    found = comparison.frame(contest(study))
    assert list(found.columns) == comparison.PAIRS
    assert found[["optimizer", "other"]].to_numpy().tolist() == [
        ["adam", "nadam"], ["adam", "sgd"], ["nadam", "sgd"],
    ]  # fmt: skip
    assert found["verdict"].tolist()[1] == "better"


def test_holm_is_that_of_the_paper():
    adjusted = statistics.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0] and statistics.holm([]) == []


def curves_of(run):
    def curve(seed, *accuracies):
        return [row(run, seed, n, 1.0, val_accuracy=a) for n, a in enumerate(accuracies)]

    write(run, [*curve(0, 0.1, 0.8, 0.9), *curve(1, 0.1, 0.2, 0.8), *curve(2, 0.1, 0.9, 0.7)])
    return reading.curves(run)


def test_time_to_target_is_that_of_the_first_evaluation_that_reaches_it():
    _, (run, *_) = study_of()
    reached, epochs, seconds = comparison.to_target(curves_of(run), 0.8)
    assert (reached, epochs.mean) == (3, pytest.approx((1 * 2 * 1) ** (1 / 3)))
    assert seconds.mean == pytest.approx(0.5 * epochs.mean)  # half a second an epoch
    low, high = stats.t.interval(0.95, 2, math.log(2) / 3, stats.sem([0, math.log(2), 0]))
    assert (epochs.low, epochs.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_time_to_target_is_over_the_seeds_that_reach_it_beside_how_many_do():
    _, (run, *_) = study_of()
    curves = curves_of(run)
    reached, epochs, seconds = comparison.to_target(curves, 0.85)
    half = pytest.approx(2**0.5), pytest.approx(2**-0.5)
    assert (reached, epochs.mean, seconds.mean) == (2, *half)
    reached, epochs, seconds = comparison.to_target(curves, 0.95)
    assert (reached, epochs.mean, seconds.mean) == (0, math.inf, math.inf)
    assert math.isnan(seconds.low)


def test_table():
    study, runs = study_of(target_accuracy=0.9, schedules=["constant", "cosine"])
    for number, run in enumerate(runs):
        end(run, 0.9 + 0.001 * number, [0.9 + 0.01 * number, 0.91, 0.93])
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    rows = read("out/optimizers.tsv")
    assert [(r["rank"], r["optimizer"], r["schedule"]) for r in rows] == [
        ("1", "nadam", "cosine"),
        ("2", "adam", "cosine"),
        ("3", "sgd", "cosine"),
    ]
    first, *_, last = rows
    assert (first["target_accuracy"], first["reached_target"]) == ("0.9", "3")
    assert (last["settings"], last["lr_at_edge"]) == ("4", "highest")
    assert len(read("out/pairs.tsv")) == 3
    schedules = [r["schedule"] for r in read("out/runs.tsv")[:4]]
    assert schedules == ["constant", "constant", "cosine", "cosine"]


def test_a_study_without_schedules_or_target_has_neither():
    study, runs = study_of()
    for run in runs:
        end(run, 0.5)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    row_ = read("out/optimizers.tsv")[0]
    assert "schedule" not in row_ and row_["target_accuracy"] == row_["epochs_to_target"] == ""


def test_a_study_with_nothing_to_compare_has_an_empty_table():
    study, runs = study_of(optimizers={"sgd": {"lr": [1]}})
    end(runs[0], 0.5)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    assert read("out/optimizers.tsv") == read("out/pairs.tsv") == []
