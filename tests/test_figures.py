"""Pictures: which ones each exercise has, and what they show."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handmade import CLASSES, LINE, descend, finish, resolved, row, save, write

import figures as program
from optlab.catalogue import optimizers
from optlab.figures import draw, looks, plan, rates, words
from optlab.figures.axes import thin
from optlab.figures.reader import Reader
from optlab.results import theory
from optlab.study import table

SCRIPTS = Path(program.__file__).parent
GRID = {"sgd": {"lr": [0.01, 0.05]}, "momentum": {"lr": [0.01], "momentum": [0.2, 0.8]}}
RATES = {("sgd", 0.01): 0.97, ("sgd", 0.05): 1.3, ("momentum", 0.01): 0.93}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def linear(**changes):
    """A finished exercise 1: SGD at 0.05 diverges at step 27, everything else converges."""
    study = resolved({"linear": {**LINE, "optimizers": GRID, **changes}}, seeds=1)
    for run in table.runs(study):
        descend(run, RATES[run.optimizer, run.knobs["lr"]])
    return study


def softmax(**changes):
    """A finished classification exercise of three seeds."""
    exercise = {**CLASSES, "optimizers": {"sgd": {"lr": [0.1, 1]}, "adam": {"lr": [0.01]}}}
    study = resolved({"softmax": {**exercise, **changes}})
    for run in table.runs(study):
        losses = [0.3, 0.4, 0.5]
        accuracies = [0.91, 0.92, 0.93]
        more = {f"{part}_accuracy": accuracies for part in ("train", "val", "test")}
        finish(run, losses, val_loss=losses, test_loss=losses, **more)
    return study


def names(study, exercise):
    return [picture.name for picture in plan.pictures(study, exercise)]


def drawn(study, name):
    """Matplotlib's figure of a picture, and its SVG."""
    (exercise,) = study["exercises"]
    (picture,) = (p for p in plan.pictures(study, exercise) if p.name == name)
    figure = draw.DRAWN[picture.kind](picture, Reader(study, table.runs(study)))
    return figure, looks.svg(figure)


def texts(svg):
    """The texts of an SVG."""
    return [re.sub(r"<[^>]*>", "", t).strip() for t in re.findall(r"<text.*?</text>", svg, re.S)]


# -- which pictures there are -----------------------------------------------------------------


def test_pictures_of_exercise_1():
    study = linear(compare=[{"optimizer": "sgd", "lr": 0.01}])
    assert names(study, "linear") == [
        "loss-sgd",
        "loss-momentum-0.2",
        "loss-momentum-0.8",
        "final-loss",
        "comparison-best",
        "comparison-lab",
        "budget",
    ]


def test_pictures_of_a_single_setting():
    one = {**CLASSES, "optimizers": {"adam": {"lr": [1e-4]}}}
    assert names(resolved({"cnn": one}), "cnn") == ["loss-adam", "curves-softmax"]


def test_several_data_sets_models_and_batch_sizes_are_apart():
    grid_ = {"datasets": ["digits", "line"], "models": ["softmax", "mlp"], "batch_sizes": [2, 4]}
    study = resolved({"x": {**grid_, "optimizers": {"sgd": {"lr": [1]}}}})
    found = plan.pictures(study, "x")
    assert [p.name for p in found][:3] == [
        "digits-softmax-batch_size-2-loss-sgd",
        "digits-batch_size-2-curves-softmax",
        "digits-softmax-batch_size-4-loss-sgd",
    ]
    assert found[0].labels["batch size"] == "2"
    assert not any(p.kind == "curves" and p.name.startswith("line") for p in found)
    for picture in found:
        runs = [run for group in picture.groups for run in group]
        assert len({(r.dataset, r.model, r.batch_size) for r in runs}) == 1


def test_other_knobs_with_several_values_are_named():
    knobs = {"lr": [1], "weight_decay": [0, 0.1], "betas": [[0.9, 0.999], [0.8, 0.9]]}
    found = names(resolved({"x": {**CLASSES, "optimizers": {"adam": knobs}}}), "x")
    assert "loss-adam-betas-0.8_0.9-weight_decay-0.1" in found
    assert len(found) == len(set(found)) == 5


def test_names_are_safe_and_distinct():
    own = {"my/a.py:Sign": {"lr": [1]}, "my/b.py:Sign": {"lr": [1]}}
    for file in "ab":
        Path("my").mkdir(exist_ok=True)
        Path(f"my/{file}.py").write_text("")
    found = names(resolved({"x": {**CLASSES, "optimizers": own}}), "x")
    assert found[:2] == ["loss-Sign", "loss-Sign-2"]


def test_every_kind_has_a_caption_and_a_function():
    assert draw.DRAWN.keys() == plan.KINDS.keys()
    for kind in plan.KINDS:
        assert (SCRIPTS.parent / "report" / f"{kind}.rst").is_file()


def test_every_kind_of_a_sweep_is_planned_with_equal_label_keys():
    study = softmax(compare=[{"optimizer": "adam"}], batch_sizes=["full", 100])
    found = plan.pictures(study, "softmax")
    others = ("scaling-", "search-", "profiles")
    assert {p.kind for p in found} == {k for k in plan.KINDS if not k.startswith(others)}
    assert len({tuple(p.labels) for p in found}) == 1
    assert len({tuple(p.labels.values()) for p in found}) == len(found)


def test_naming_pictures_imports_nothing_heavy():
    code = (
        "import sys; from optlab.figures import plan;"
        "bad = {'numpy', 'matplotlib', 'scipy', 'torch', 'pandas'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True)


# -- what can be seen -------------------------------------------------------------------------


def test_legend_names_the_diverged_run_and_its_step():
    figure, svg = drawn(linear(), "loss-sgd")
    assert "0.05 (diverges, step 27)" in texts(svg)
    assert "0.01" in texts(svg)
    axes = figure.axes[-1]
    (line,) = (x for x in axes.get_lines() if "diverges" in str(x.get_label()))
    assert line.get_linestyle() == "--"
    assert max(line.get_ydata()) > 10 * axes.get_ylim()[1]  # leaves
    assert axes.get_ylim()[1] < 10 * 23.66  # and does not stretch the picture


def test_early_divergence_is_enlarged():
    study = linear(epochs=[2000])
    figure, _ = drawn(study, "loss-sgd")
    start, full = figure.axes
    assert start.get_xlim()[1] < 60 < 1900 < full.get_xlim()[1]
    assert start.get_ylim()[1] > 50 * 23.66
    assert len(drawn(study, "loss-momentum-0.8")[0].axes) == 1


def test_divergence_is_drawn_at_its_step():
    """Noticed at the evaluation after epoch 2, it happened at step 27 of 20 an epoch."""
    study = softmax(optimizers={"sgd": {"lr": [0.1, 1]}})
    good, bad = table.runs(study)
    rows = [row(good, seed, n, 2.3 - n, step=20 * n) for seed in range(3) for n in range(3)]
    write(good, rows)
    lost = {"step": 27, "status": "diverged"}
    write(bad, [r for k in range(3) for r in (row(bad, k, 0, 2.3), row(bad, k, 2, np.nan, **lost))])
    axes = drawn(study, "loss-sgd")[0].axes[-1]
    (line,) = (x for x in axes.get_lines() if "diverges" in str(x.get_label()))
    assert line.get_xdata()[-1] == pytest.approx(27 / 20)


def test_a_partly_diverged_run_says_how_many_seeds():
    study = softmax()
    run = table.runs(study)[1]
    finish(run, [0.3, None, 0.4])
    _, svg = drawn(study, "loss-sgd")
    assert "1 (1 of 3 seeds diverge, step 27)" in texts(svg)


def test_a_picture_of_diverged_runs_only():
    study = softmax()
    for run in table.runs(study):
        finish(run, [None] * 3)
    for name in names(study, "softmax"):
        drawn(study, name)
    _, svg = drawn(study, "loss-sgd")
    assert "1 (diverges, step 27)" in texts(svg)


@pytest.mark.parametrize("end, scale", [(0.5, "linear"), (0.03, "linear"), (0.02, "log")])
def test_log_axis_beyond_two_decades(end, scale):
    study = softmax(optimizers={"sgd": {"lr": [1]}})
    finish(table.runs(study)[0], [end] * 3)
    figure, _ = drawn(study, "loss-sgd")
    assert figure.axes[0].get_yscale() == scale


def test_a_loss_of_zero_lies_on_the_edge():
    study = softmax(optimizers={"sgd": {"lr": [0.1, 1]}})
    first, second = table.runs(study)
    finish(first, [1e-9] * 3, val_loss=[1e-9] * 3)
    finish(second, [0.0] * 3, val_loss=[0.0] * 3)
    for name in ("loss-sgd", "final-loss"):
        axes = drawn(study, name)[0].axes[0]
        lowest = min(min(x.get_ydata()) for x in axes.get_lines()[:2])
        assert lowest == axes.get_ylim()[0] > 0


def test_band_is_the_range_of_the_seeds():
    axes = drawn(softmax(), "loss-adam")[0].axes[0]
    (band,) = axes.collections
    ends = band.get_paths()[0].vertices
    at_end = ends[ends[:, 0] == 2, 1]
    assert (min(at_end), max(at_end)) == (0.3, 0.5)
    assert axes.get_lines()[0].get_ydata()[-1] == pytest.approx(0.4)


def test_closed_form_lies_on_an_exact_run():
    study = resolved({"linear": {**LINE, "optimizers": GRID}}, seeds=1)
    for run in table.runs(study):
        exact = theory.losses_of(run, np.arange(40))
        write(run, [row(run, 0, n, loss) for n, loss in enumerate(exact)])
    figure, svg = drawn(study, "loss-momentum-0.8")
    assert texts(svg).count("closed form") == 1
    measured, exact = figure.axes[0].get_lines()
    np.testing.assert_array_equal(measured.get_xydata(), exact.get_xydata())
    assert measured.get_ydata()[0] == pytest.approx(23.66)


def test_closed_form_only_where_it_holds():
    study = linear(optimizers={"sgd": {"lr": [0.01]}})
    (run,) = table.runs(study)
    assert theory.covers(run, "line")
    others = {"batch_size": 2, "network": "mlp", "optimizer": "nesterov"}
    for name, value in others.items():
        other = type(run)(**{**vars_of(run), name: value})
        assert not theory.covers(other, "line")
    decayed = type(run)(**{**vars_of(run), "knobs": {"lr": 0.01, "weight_decay": 0.1}})
    assert not theory.covers(decayed, "line")
    assert not theory.covers(run, "digits")


def vars_of(run):
    return {name: getattr(run, name) for name in run.__dataclass_fields__}


def test_final_loss_marks_limits_and_divergence():
    figure, svg = drawn(linear(), "final-loss")
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    found = texts(svg)
    limits = [w for w in found if "limit" in w]
    assert limits == ["limit 0.0299", "limit 0.0359", "limit 0.0539"]
    assert axes.get_xlim()[1] > 0.0539  # although no rate is as high
    assert "Momentum, momentum 0.8" in found and "GD" in found and "diverges" in found
    crosses = [x for x in axes.get_lines() if x.get_marker() == "X"]
    assert [list(x.get_xdata()) for x in crosses] == [[0.05]]


def test_final_loss_has_intervals_of_the_loss_that_chooses():
    figure, _ = drawn(softmax(), "final-loss")
    axes = figure.axes[0]
    assert axes.get_ylabel().startswith("validation loss (cross entropy, nats)")
    low, high = axes.collections[0].get_segments()[0][:, 1]
    half = 4.302653 * 0.1 / 3**0.5
    assert (low, high) == pytest.approx((0.4 - half, 0.4 + half), rel=1e-6)


def test_comparison_draws_the_best_of_each():
    study = linear(compare=[{"optimizer": "momentum", "momentum": 0.2}])
    for run in table.runs(study):
        if run.knobs.get("momentum") == 0.8:
            descend(run, 0.9)
    _, svg = drawn(study, "comparison-best")
    assert "GD, lr 0.01" in texts(svg)
    assert "Momentum, lr 0.01, momentum 0.8" in texts(svg)
    _, svg = drawn(study, "comparison-lab")
    assert "Momentum, lr 0.01, momentum 0.2" in texts(svg)
    assert not any(w.startswith("GD") for w in texts(svg))


def test_curves_show_training_validation_and_test():
    figure, svg = drawn(softmax(), "curves-softmax")
    _, accuracy = figure.axes
    assert accuracy.get_ylabel() == "accuracy (fraction correct)"
    assert {"training", "validation", "test accuracy 0.92"} <= set(texts(svg))


def test_many_learning_rates_get_a_colour_bar():
    rates = [0.001 * n for n in range(1, 31)]
    study = resolved({"linear": {**LINE, "optimizers": {"sgd": {"lr": rates}}}}, seeds=1)
    for run in table.runs(study):
        descend(run, 1.3 if run.knobs["lr"] > 0.0295 else 0.97)
    _, svg = drawn(study, "loss-sgd")
    assert "0.03 (diverges, step 27)" in texts(svg)
    assert len([w for w in texts(svg) if re.fullmatch(r"0\.0\d+", w)]) <= 8  # ticks of the bar
    assert len(svg) < 400_000


def test_hundreds_of_lines_stay_readable_and_small():
    rates = [round(0.0003 * n, 4) for n in range(1, 151)]
    line = {**LINE, "epochs": [300], "optimizers": {"sgd": {"lr": rates}}}
    study = resolved({"linear": line}, seeds=2)
    for run in table.runs(study):
        descend(run, 1.3 if run.knobs["lr"] > 0.03 else 1 - run.knobs["lr"])
    figure, svg = drawn(study, "loss-sgd")
    assert len(svg) < 600_000
    assert "50 of 150 diverge, the lowest 0.0303" in texts(svg)
    assert len([text for text in texts(svg) if "diverge" in text]) == 1
    drawn_lines = figure.axes[0].get_lines()
    exact = [line for line in drawn_lines if line.get_label() == "closed form"]
    assert len(drawn_lines) == 150 + 6 and len(exact) == 6
    assert exact[0].get_ydata()[-1] > exact[2].get_ydata()[-1]  # from the first rate on
    assert not figure.axes[0].collections  # bands would hide the lines
    _, svg = drawn(study, "final-loss")
    assert len(svg) < 60_000


# -- many optimizers, and batch sizes ----------------------------------------------------------


def many(**changes):
    """Twelve optimizers, each finished; the n-th has a validation loss of 0.5 - n / 100."""
    names_ = [n for n in optimizers.OPTIMIZERS if n not in ("muon", "lbfgs", "rprop")]
    study = softmax(optimizers={name: {"lr": [0.01, 0.1]} for name in names_}, **changes)
    for number, run in enumerate(table.runs(study)):
        loss = [0.5 - number / 100] * 3
        finish(run, loss, val_loss=loss, val_accuracy=[0.96, 0.97, 0.98])
    return study, names_


def test_many_optimizers_have_a_panel_each_in_the_order_of_their_losses():
    study, names_ = many()
    figure, svg = drawn(study, "comparison-best")
    assert len(figure.axes) == len(names_) == 12
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "1  Adafactor" and titles[-1] == "12  SGD"
    for axes in figure.axes:
        grey = [x for x in axes.get_lines() if x.get_color() == looks.OTHER]
        assert len(grey) == 12 and len(axes.get_lines()) == 14  # training and validation
    assert "training" in texts(svg) and "the others, training" in texts(svg)


def test_few_optimizers_share_one_pair_of_axes():
    assert len(drawn(softmax(), "comparison-best")[0].axes) == 2


@pytest.mark.parametrize("name", ["accuracy", "final-loss"])
def test_figures_against_the_learning_rate_have_a_panel_each(name):
    study, _ = many()
    finish(table.runs(study)[3], [0.4, None, 0.4], val_loss=[0.4, None, 0.4])
    figure, svg = drawn(study, name)
    assert len(figure.axes) == 12 and {a.get_xscale() for a in figure.axes} == {"log"}
    crosses = [(a.get_title(loc="left"), list(x.get_xdata()))
               for a in figure.axes for x in a.get_lines() if x.get_marker() == "X"]  # fmt: skip
    assert crosses == [("Momentum", [0.1])]
    assert "learning rate" in texts(svg) and "diverges" in texts(svg)


def test_accuracies_are_spread_as_errors_and_labelled_as_accuracies():
    study, _ = many()
    figure, svg = drawn(study, "accuracy")
    axes = figure.axes[0]
    assert axes.get_yscale() == "log" and axes.yaxis_inverted()
    (line,) = (x for x in axes.get_lines() if x.get_marker() == "o")
    assert line.get_ydata() == pytest.approx([0.03, 0.03])
    assert "0.98" in texts(svg) and "0.02" not in texts(svg)


def test_batches_compare_the_setting_that_is_best_on_the_full_batch():
    rprop = {"sgd": {"lr": [0.1, 1]}, "rprop": {"lr": [0.01]}, "lbfgs": {"lr": [1]}}
    study = softmax(optimizers=rprop, batch_sizes=["full", 50], epochs=[3])
    losses = {"sgd": [2.3, 1.0, 0.5, 0.25], "rprop": [2.3, 0.5, 4.0, 8.0]}
    for run in table.runs(study):
        small = run.batch_size == 50
        fall = losses["rprop" if small and run.optimizer == "rprop" else "sgd"]
        # On mini-batches another rate would be better: that is not what is compared.
        better = 0.5 if (run.knobs["lr"] == 0.1) == small else 1.0
        pace = 22 if small else 1
        points = [(seed, n, better * loss) for seed in range(3) for n, loss in enumerate(fall)]
        write(run, [row(run, s, n, loss, val_loss=loss, step=n * pace) for s, n, loss in points])
    figure, svg = drawn(study, "batches")
    full, small = figure.axes
    assert [len(a.get_lines()) for a in (full, small)] == [3, 2]  # L-BFGS on the full batch only
    assert "SGD, lr 1" in texts(svg) and "Rprop, lr 0.01" in texts(svg)
    assert full.get_title(loc="left").startswith("full batch: one step an epoch\n")
    title = small.get_title(loc="left").splitlines()
    assert title[0] == "batches of 50: 22 steps an epoch"
    assert "Rprop: 8 at the end, lowest 0.5 (epoch 1), rises in 2 of 3" in title
    assert full.get_ylim() == small.get_ylim() and full.get_yscale() == "log"


def test_schedules_are_told_apart_like_knobs():
    study = softmax(schedules=["constant", "cosine"], optimizers={"sgd": {"lr": [0.1, 1]}})
    assert names(study, "softmax")[:2] == ["loss-sgd-schedule-constant", "loss-sgd-schedule-cosine"]
    (picture, *_) = (p for p in plan.pictures(study, "softmax") if p.kind == "curves")
    assert "schedule cosine" in words.settings(picture.groups[0][-1])


# -- files ------------------------------------------------------------------------------------


def call(study, exercise):
    options = ["--study", str(save(study)), "--exercise", exercise, "--output-folder", "out"]
    return program.main(options)


def test_program_writes_exactly_the_pictures_and_the_same_bytes_again():
    study = linear()
    assert call(study, "linear") == 0
    first = {file.name: file.read_bytes() for file in Path("out").iterdir()}
    assert sorted(first) == sorted(f"{name}.svg" for name in names(study, "linear"))
    assert call(study, "linear") == 0
    assert {file.name: file.read_bytes() for file in Path("out").iterdir()} == first
    assert b"<text" in first["loss-sgd.svg"] and b"<dc:date>" not in first["loss-sgd.svg"]


def test_pictures_of_removed_runs_go_and_others_stay():
    assert call(linear(), "linear") == 0
    Path("out/mine.svg").write_text("<svg/>")
    fewer = {**GRID, "momentum": {"lr": [0.01], "momentum": [0.8]}}
    assert call(linear(optimizers=fewer), "linear") == 0
    assert not Path("out/loss-momentum-0.2.svg").exists()
    assert Path("out/loss-momentum.svg").exists() and Path("out/mine.svg").exists()


def test_mistakes_are_one_line(capsys):
    study = linear()
    assert call(study, "softmax") == 1
    assert capsys.readouterr().err.startswith("error: unknown exercise 'softmax'; ")
    Path(table.runs(study)[0].folder, "metrics.tsv").unlink()
    assert call(study, "linear") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: results/hand/runs/linear/sgd/")


def test_thinned_curve_keeps_its_extremes():
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    values[7_777] = 50
    at = thin(values)
    assert len(at) <= 300 and at[0] == 0 and at[-1] == 19_999
    assert values[at].max() == 50 and values[at].min() == values.min()
    assert (np.diff(at) > 0).all()
    np.testing.assert_array_equal(thin(values[:300]), np.arange(300))


def test_optimizers_can_be_told_apart():
    every = looks.looks([*optimizers.OPTIMIZERS, "a:A", "b:B", "c:C", "d:D"])
    assert len({look.color for look in every}) == len(every) == 19
    assert len({(look.line, look.marker) for look in every}) == 19
    assert len({look.color for look in looks.looks(["momentum"] * 4)}) == 4


def test_labels_of_limits_do_not_overlap():
    moved = rates.spread([0.5, 0.51, 0.52, 0.9], 0.1)
    assert min(np.diff(moved)) >= 0.1 - 1e-12
    assert rates.spread([0.1, 0.5], 0.1) == [0.1, 0.5]
