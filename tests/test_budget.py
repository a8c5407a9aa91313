"""Optimizers at equal numbers of settings, and optimizers that end above one that they contain."""

import itertools
import statistics

import pytest
from handmade import CLASSES, LINE, finish, resolved, row, save, write
from test_figures import drawn, names, texts
from test_results import read

import tables
from optlab.catalogue import optimizers
from optlab.results import anytime, budget, summary
from optlab.study import table

pytestmark = pytest.mark.usefixtures("here")


def finished(accuracies, seeds=2, losses=None, **more):
    """A study in which each optimizer's settings end at these accuracies; None diverges."""
    grid = {name: {"lr": [0.1 * (n + 1) for n in range(len(v))]} for name, v in accuracies.items()}
    study = resolved({"x": {**CLASSES, "optimizers": grid, **more}}, seeds)
    values = [value for own in accuracies.values() for value in own]
    ends = losses or [1 - (value or 0) for value in values]
    for run, value, loss in zip(table.runs(study), values, ends, strict=True):
        given = [None if value is None else loss] * seeds
        finish(run, given, val_loss=given, val_accuracy=[value] * seeds)
    return study


def frame(study, metric="accuracy"):
    return budget.frame(summary.summarise(table.runs(study)), {"x": metric})


def of(rows, optimizer, column):
    return rows.loc[rows["optimizer"] == optimizer, column].tolist()


# -- the expected best of k --------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0.3, 0.9, 0.5, 0.6], [0.5, 0.5, 0.9, 0.5], [-4.0, 0, -1, -2]])
def test_expected_best_is_the_mean_over_all_subsets(values):
    means = [
        statistics.mean(max(chosen) for chosen in itertools.combinations(values, k))
        for k in (1, 2, 3, 4)
    ]
    assert budget.expected(values) == pytest.approx(means, abs=1e-15)


def test_expected_best_by_hand():
    # Of 1, 2, 3, 4: three pairs have the maximum 4, two 3, one 2; three triples 4, one 3.
    assert budget.expected([4, 2, 1, 3]) == pytest.approx([2.5, 20 / 6, 15 / 4, 4])
    # Of 1 ... n it is k (n + 1) / (k + 1), the German tanks.
    assert budget.expected(range(1, 201)) == pytest.approx(
        [k * 201 / (k + 1) for k in range(1, 201)]
    )


def test_expected_best_of_one_value_and_of_equal_ones():
    assert budget.expected([0.7]) == [0.7]
    assert budget.expected([0.7] * 3) == pytest.approx([0.7] * 3)


def test_ranks_at_equal_numbers_of_settings_and_at_whole_grids():
    # One setting of SGD is better than one of Adam's on average; Adam has four chances.
    study = finished({"sgd": [0.8, 0.7], "adam": [0.1, 0.2, 0.3, 0.9]})
    rows = frame(study)
    assert of(rows, "sgd", "expected") == pytest.approx([0.75, 0.8])
    # The best of two: 0.9 in three of the six pairs, 0.3 in two, 0.2 in one.
    assert of(rows, "adam", "expected") == pytest.approx([0.375, 3.5 / 6, 0.75, 0.9])
    assert of(rows, "adam", "k") == [1, 2, 3, 4] and of(rows, "sgd", "k") == [1, 2]
    assert of(rows, "adam", "rank") == [2, 2, 1, 1] and of(rows, "sgd", "rank") == [1, 1]
    assert set(rows["common_k"]) == {2} and set(rows["chosen_on"]) == {"val_accuracy"}
    ranks = {"sgd": (1, 2), "adam": (2, 1)}
    for name, wanted in ranks.items():
        found = of(rows, name, "rank_at_common_k"), of(rows, name, "rank_at_full")
        assert [set(one) for one in found] == [{rank} for rank in wanted]
    assert rows["optimizer"].drop_duplicates().tolist() == ["adam", "sgd"]  # by whole grids


def test_the_common_number_of_settings_is_that_of_the_smallest_grid():
    rows = frame(finished({"sgd": [0.6, 0.6], "adam": [0.0, 0.8, 0.9], "nadam": [0.1] * 4}))
    assert set(rows["common_k"]) == {2}
    assert of(rows, "adam", "rank") == [2, 1, 1]
    assert set(of(rows, "adam", "rank_at_common_k")) == {1}
    assert set(of(rows, "sgd", "rank_at_common_k")) == {2}


def test_the_loss_is_lower_where_it_is_better():
    study = finished({"sgd": [0.8, 0.7], "adam": [0.1, 0.9]})
    rows = frame(study, "loss")
    assert of(rows, "sgd", "expected") == pytest.approx([0.25, 0.2])
    assert of(rows, "adam", "expected") == pytest.approx([0.5, 0.1])
    assert of(rows, "adam", "rank") == [2, 1] and set(rows["chosen_on"]) == {"val_loss"}


def test_equal_figures_share_a_rank_and_one_problem_is_not_mixed():
    # Sums of other lengths have other last digits: 0.9 is still 0.9.
    study = finished({"sgd": [0.9] * 7, "adam": [0.9] * 3, "nadam": [0.5]})
    rows = frame(study)
    assert set(rows.loc[rows["optimizer"] != "nadam", "rank"]) == {1}
    assert set(of(rows, "sgd", "rank_at_full")) == set(of(rows, "adam", "rank_at_full")) == {1}
    assert of(rows, "nadam", "rank") == of(rows, "nadam", "rank_at_full") == [3]
    assert rows["optimizer"].tolist() == ["sgd"] * 7 + ["adam"] * 3 + ["nadam"]


def test_a_setting_of_which_a_seed_diverges_has_the_worst_accuracy():
    study = finished({"sgd": [0.8, 0.6], "adam": [0.5, 0.5]})
    run = table.runs(study)[0]
    finish(run, [0.2, None], val_loss=[0.2, None], val_accuracy=[0.8, None])
    assert of(frame(study), "sgd", "expected") == pytest.approx([0.3, 0.6])


@pytest.mark.parametrize("worst, counts", [(0.5, 2.3), (7.0, 7.0)])
def test_a_diverged_setting_has_the_highest_loss_of_the_problem(worst, counts):
    """2.3 is the loss before the first step."""
    study = finished({"sgd": [None, 0.9], "adam": [0.5, 0.5]}, losses=[0, 0.1, worst, 0.4])
    assert of(frame(study, "loss"), "sgd", "expected") == pytest.approx([(counts + 0.1) / 2, 0.1])


def test_where_every_setting_diverges():
    study = finished({"sgd": [None], "adam": [None, None]})
    found = frame(study)
    assert set(found["chosen_on"]) == {"val_accuracy"} and set(found["expected"]) == {0.0}
    found = frame(study, "loss")
    assert set(found["chosen_on"]) == {"val_loss"} and set(found["expected"]) == {2.3}


def test_table_of_the_study(capsys):
    study = finished({"sgd": [0.8, 0.7], "adam": [0.1, 0.2, 0.3, 0.9]})
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    rows = read("out/budget.tsv")
    assert list(rows[0]) == budget.COLUMNS and len(rows) == 6
    first = [rows[0][name] for name in ("exercise", "dataset", "model", "optimizer", "settings")]
    assert first == ["x", "digits", "softmax", "adam", "4"]
    assert [r["expected"] for r in rows] == ["0.375", "0.583333", "0.75", "0.9", "0.75", "0.8"]


def test_one_optimizer_has_nothing_to_be_compared_with():
    study = finished({"sgd": [0.8, 0.7]})
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    assert read("out/budget.tsv") == [] and read("out/profiles.tsv") == []
    assert frame(study).columns.tolist() == budget.COLUMNS


# -- optimizers that contain others ------------------------------------------------------------


def trained(ends, seeds):
    """The summary of runs that end at these training losses, one a seed."""
    grid = {name: {"lr": [0.1 * (n + 1) for n in range(len(own))]} for name, own in ends.items()}
    study = resolved({"x": {**CLASSES, "optimizers": grid}}, seeds)
    every = [losses for own in ends.values() for losses in own]
    for run, losses in zip(table.runs(study), every, strict=True):
        finish(run, losses, val_loss=losses, val_accuracy=[0.5] * seeds)
    return summary.summarise(table.runs(study))


SEEDS = 8
LOW = [0.10 + 0.01 * (n % 3) for n in range(SEEDS)]
HIGH = [loss + 0.05 + 0.001 * (n % 2) for n, loss in enumerate(LOW)]


def test_a_violation_that_is_shown_is_a_warning():
    found = budget.under_tuned(trained({"sgd": [LOW], "adam": [HIGH]}, SEEDS))
    assert list(found) == ["adam"]
    assert found["adam"].startswith(
        "under-tuned: its training loss is higher than that of SGD, which it contains (p "
    )
    p = anytime.p_value([a - b for a, b in zip(HIGH, LOW, strict=True)])
    assert found["adam"].endswith(f"(p {p:.1g})")


def test_a_violation_that_is_not_shown_is_none():
    # With two seeds nothing can be shown, and with these differences nothing is.
    assert budget.under_tuned(trained({"sgd": [LOW[:2]], "adam": [HIGH[:2]]}, 2)) == {}
    noise = [loss + (0.05 if n % 2 else -0.04) for n, loss in enumerate(LOW)]
    assert budget.under_tuned(trained({"sgd": [LOW], "adam": [noise]}, SEEDS)) == {}


def test_a_lower_loss_of_the_general_one_is_what_is_expected():
    assert budget.under_tuned(trained({"sgd": [HIGH], "adam": [LOW]}, SEEDS)) == {}


def test_the_lowest_training_loss_of_each_grid_counts():
    grids = {"sgd": [HIGH, LOW], "adam": [[0.5] * SEEDS, LOW]}
    assert budget.under_tuned(trained(grids, SEEDS)) == {}
    grids = {"sgd": [HIGH, LOW], "adam": [[0.5] * SEEDS, HIGH]}
    assert list(budget.under_tuned(trained(grids, SEEDS))) == ["adam"]
    unstable = [*LOW[:-1], None]
    grids = {"sgd": [[0.3] * SEEDS, unstable], "adam": [HIGH]}  # SGD is stable at 0.3 only
    assert budget.under_tuned(trained(grids, SEEDS)) == {}


def test_holm_is_over_the_checks_of_the_problem(monkeypatch):
    monkeypatch.setattr(budget, "p_value", lambda differences: 0.03 if sum(differences) else 1.0)
    pair = {"sgd": [LOW], "adam": [HIGH]}
    assert budget.under_tuned(trained(pair, SEEDS))["adam"].endswith("(p 0.03)")
    # Nesterov contains SGD: among two checks 0.03 shows nothing.
    assert budget.under_tuned(trained({**pair, "nesterov": [LOW]}, SEEDS)) == {}
    unrelated = {"adagrad": [LOW], "adafactor": [LOW]}
    assert list(budget.under_tuned(trained({**pair, **unrelated}, SEEDS))) == ["adam"]


def test_a_warning_names_everything_that_is_better():
    found = budget.under_tuned(trained({"sgd": [LOW], "momentum": [LOW], "adam": [HIGH]}, SEEDS))
    assert "than that of Momentum and that of SGD, which" in found["adam"]


def test_where_nothing_is_random_nothing_is_shown():
    grid = {"sgd": {"lr": [0.1]}, "adam": {"lr": [0.1]}}
    study = resolved({"x": {**LINE, "optimizers": grid}}, seeds=5)
    for run, loss in zip(table.runs(study), (1e-14, 3e-14), strict=True):
        finish(run, [loss] * 5)
    assert budget.under_tuned(summary.summarise(table.runs(study))) == {}


def test_the_table_of_optimizers_warns_of_it():
    grid = {"sgd": {"lr": [0.1]}, "adam": {"lr": [0.1]}}
    study = resolved({name: {**CLASSES, "optimizers": grid} for name in ("a", "b")}, SEEDS)
    for run in table.runs(study):
        low = (run.optimizer == "sgd") == (run.exercise == "a")  # in b, Adam is tuned well
        losses, right = (LOW if low else HIGH), [0.5] * SEEDS
        finish(run, losses, val_loss=losses, val_accuracy=right, test_accuracy=right)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    rows = {(r["exercise"], r["optimizer"]): r["warnings"] for r in read("out/optimizers.tsv")}
    assert [key for key, words in rows.items() if "under-tuned" in words] == [("a", "adam")]
    assert "higher than that of SGD, which it contains" in rows["a", "adam"]


def test_what_contains_what():
    for name, entry in optimizers.OPTIMIZERS.items():
        assert set(entry.contains) <= optimizers.OPTIMIZERS.keys() - {name}
    assert budget.contained("adam") == ["momentum", "sgd"]
    assert budget.contained("nadam") == ["nesterov", "sgd"]
    assert budget.contained("sgd") == budget.contained("my/own.py:Sign") == []
    adam, momentum = set(budget.contained("adamw")), set(budget.contained("momentum"))
    assert adam > momentum == {"sgd"}


# -- the picture -------------------------------------------------------------------------------


def line_of(axes, look):
    (found,) = (line for line in axes.get_lines() if line.get_color() == look[0])
    return found


def test_picture_shows_the_table():
    study = finished({"sgd": [0.8, 0.7], "adam": [0.1, 0.2, 0.3, 0.9]})
    figure, svg = drawn(study, "budget")
    (axes,) = figure.axes
    adam = line_of(axes, optimizers.of("adam").look)
    assert list(adam.get_xdata()) == [1, 2, 3, 4]
    assert 1 - adam.get_ydata() == pytest.approx([0.375, 3.5 / 6, 0.75, 0.9])
    assert axes.yaxis_inverted()  # errors: the best is at the top
    found = texts(svg)
    assert "Adam, 4 settings, rank 2 → 1" in found and "SGD, 2 settings, rank 1 → 2" in found
    assert "smallest grid: 2 settings" in found
    (limit,) = (x for x in axes.get_lines() if str(x.get_label()).startswith("smallest"))
    assert list(limit.get_xdata()) == [2, 2]
    assert "expected validation accuracy" in found


def test_picture_of_losses_down_to_zero():
    study = resolved({"x": {**LINE, "optimizers": {"sgd": {"lr": [0.1, 0.2]}, "adam": {}}}}, 1)
    for number, run in enumerate(table.runs(study)):
        finish(run, [0.5**number - 0.5**6])
    figure, svg = drawn(study, "budget")
    (axes,) = figure.axes
    adam = line_of(axes, optimizers.of("adam").look)
    assert adam.get_ydata()[-1] == axes.get_ylim()[0] > 0
    assert "expected training loss (sum of squares)" in texts(svg)


def test_many_optimizers_have_a_panel_each():
    few = [name for name in optimizers.OPTIMIZERS if name not in ("muon", "lbfgs")]
    study = finished({name: [0.9 + 0.001 * n, 0.8] for n, name in enumerate(few)})
    figure, svg = drawn(study, "budget")
    assert len([axes for axes in figure.axes if axes.axison]) == len(few) == 13
    assert figure.axes[0].get_title(loc="left") == optimizers.of(few[-1]).label
    assert figure.axes[0].get_title(loc="right") == "rank 1 → 1"
    assert {"smallest grid: 2 settings", "the others"} <= set(texts(svg))


@pytest.mark.parametrize("settings, there", [((2, 2), True), ((1, 4), False), ((4,), False)])
def test_picture_needs_two_optimizers_with_several_settings(settings, there):
    grid = dict(zip(("sgd", "adam"), ({"lr": [*range(1, n + 1)]} for n in settings), strict=False))
    assert ("budget" in names(resolved({"x": {**CLASSES, "optimizers": grid}}), "x")) is there


def test_picture_of_a_problem_has_all_of_its_settings():
    grid = {"sgd": {"lr": [1, 2]}, "adam": {"lr": [1, 2]}}
    more = {"batch_sizes": [50, 100], "models": ["softmax", "mlp"]}
    study = resolved({"x": {**CLASSES, "optimizers": grid, **more}}, seeds=1)
    for run in table.runs(study):
        write(run, [row(run, 0, 2, 0.1, val_loss=0.1, val_accuracy=0.9)])
    found = [name for name in names(study, "x") if name.endswith("budget")]
    assert found == ["softmax-budget", "mlp-budget"]
    _, svg = drawn(study, "mlp-budget")
    assert "Adam, 4 settings, rank 1 → 1" in texts(svg)
