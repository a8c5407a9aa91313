"""Scaling: laws against closed forms, the table from hand-made runs, and what its pictures show."""

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import SCALING, describe, finish, resolved, save, step_parts, timed
from scipy import stats

import figures as figures_program
import status
import tables as tables_program
from optlab.errors import DamagedError, UserError
from optlab.figures import draw, looks, plan, scaling_axes
from optlab.results import scaling, theory
from optlab.results import timed as timing
from optlab.results.scaling_laws import amdahl, amdahl_time, karp_flatt, replayed_evaluations
from optlab.results.statistics import ENDS, Estimate
from optlab.study import kinds, table

REPORT = Path(__file__).parents[1] / "workflow/report"
PICTURES = [kind for kind in plan.KINDS if kind.startswith("scaling-")]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def study(seeds=3, **changes):
    return resolved({"scaling": {**SCALING, "scaling": ["strong"], **changes}}, seeds)


def finished(times, seeds=3, **changes):
    """A study whose runs of p processes took ``times[p]`` seconds, a list of one value a seed."""
    found = study(seeds, gpus=list(times), **changes)
    for run in table.runs(found):
        timed(run, times[run.gpus])
    return found


def rows(found, scaling_="strong"):
    """The rows of one kind by their number of processes."""
    every = scaling.rows(found, "scaling").to_dict("records")
    return {row["gpus"]: row for row in every if row["scaling"] == scaling_}


def estimate(row, name):
    """A figure of a row with its interval; None where there is none."""
    mean, *ends = (row[name + end] for end in ENDS)
    known = [end for end in ends if not math.isnan(end)]
    return None if math.isnan(mean) else Estimate(mean, *known)


def written(found):
    """The rows of the file scaling.tsv, as text."""
    words = ["--study", str(save(found)), "--output-folder", "tables"]
    assert tables_program.main(words) == 0
    with open("tables/scaling.tsv", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def fitted(times):
    """Amdahl's law of times, p -> seed -> seconds."""
    return amdahl(pd.DataFrame(times))


# -- laws -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.07, 0.5, 1.3, -0.1])
def test_amdahl_of_exact_times_is_exact(share):
    """Shares below 0 (more than p times as fast) and above 1 (slower) are reported as they are."""
    times = {p: {0: 7 * amdahl_time(share, p), 1: 8 * amdahl_time(share, p)} for p in (1, 2, 4, 8)}
    fit = fitted(times)
    assert fit.share.mean == pytest.approx(share, abs=1e-12)
    assert (fit.share.low, fit.share.high) == pytest.approx((share, share), abs=1e-9)
    assert fit.error == pytest.approx(0, abs=1e-12)
    assert amdahl_time(fit.share.mean, 4) == pytest.approx(share + (1 - share) / 4)


def test_amdahl_is_the_least_squares_fit():
    ratios = {2: 0.61, 4: 0.33, 8: 0.29}
    fit = fitted({1: {0: 1.0}, **{p: {0: value} for p, value in ratios.items()}})
    x = np.array([1 - 1 / p for p in ratios])
    y = np.array([value - 1 / p for p, value in ratios.items()])
    share, error = (x @ y) / (x @ x), math.inf
    error = math.sqrt(((y - share * x) ** 2).sum() / 2 / (x @ x))
    half = stats.t.ppf(0.975, 2) * error
    found = (fit.share.mean, fit.share.low, fit.share.high)
    assert found == pytest.approx((share, share - half, share + half))
    worst = max(abs(v / (share + (1 - share) / p) - 1) for p, v in ratios.items())
    assert fit.error == pytest.approx(worst)


def test_amdahl_of_noisy_seeds_has_their_interval():
    """Where the means fit exactly, the uncertainty is that of the seeds."""
    shares = [0.1, 0.2, 0.3]
    times = {p: {k: amdahl_time(s, p) for k, s in enumerate(shares)} for p in (1, 2, 4)}
    fit = fitted(times)
    low, high = stats.t.interval(0.95, 2, 0.2, stats.sem(shares))
    assert fit.share.low <= low + 1e-9 and fit.share.high >= high - 1e-9
    assert fit.share.high - fit.share.low < 1.3 * (high - low)


def test_times_that_amdahl_does_not_describe_have_a_wide_interval():
    """Times that rise with the processes are no serial share of any size."""
    fit = fitted({1: {0: 1.0}, 2: {0: 0.5}, 4: {0: 0.9}})
    assert fit.error > 0.2 and fit.share.high - fit.share.low > 1


def test_amdahl_needs_three_counts_and_one_among_them():
    assert fitted({1: {0: 1.0}, 2: {0: 0.6}}) is None
    assert fitted({2: {0: 0.6}, 4: {0: 0.4}, 8: {0: 0.3}}) is None
    assert fitted({1: {0: 1.0}, 2: {0: 0.6}, 4: {}}) is None


@pytest.mark.parametrize("share", [0.0, 0.05, 0.4, 1.0])
@pytest.mark.parametrize("p", [2, 3, 16])
def test_karp_flatt_of_amdahl_is_its_share(share, p):
    assert karp_flatt(1 / amdahl_time(share, p), p) == pytest.approx(share, abs=1e-12)


def test_karp_flatt_turns_the_interval_round():
    found = [karp_flatt(speedup, 2) for speedup in (1.6, 1.8, 1.5)]
    assert found == pytest.approx([0.25, 1 / 9, 1 / 3])
    one, two = rows(finished({1: [10.0, 12.0, 11.0], 2: [6.0, 7.0, 6.0]})).values()
    assert estimate(one, "karp_flatt") is None
    expected = [karp_flatt(two["speedup" + end], 2) for end in ("", "_high", "_low")]
    share = estimate(two, "karp_flatt")
    assert [share.mean, share.low, share.high] == pytest.approx(expected)
    assert share.low < share.mean < share.high


def test_ratio_is_paired_and_geometric():
    """Seeds that are slow with every number of processes make no interval wider."""

    def ratio(one, two):
        return estimate(rows(finished({1: one, 2: two}, len(one)))[2], "speedup")

    below = [1.0, 10.0, 3.0]
    found = ratio([2 * t for t in below], below)
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2, 2))
    logs = np.log([1.5, 2.0, 3.0])
    ends = np.exp(stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs)))
    found = ratio([1.5, 20.0, 9.0], below)
    assert found.mean == pytest.approx(np.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx(tuple(ends))
    assert ratio([1.0], [2.0]) == Estimate(0.5)
    assert ratio([1.0, None], [None, 2.0]) is None


def test_replay_gives_the_published_times():
    """300 epochs at batch 5000: 285.0, 232.9 and 203.5 s on 1, 2 and 4 GPUs.

    A line through the three has a slope of 0.36 s an evaluation, and they lie on it.
    """
    published = {1: 285.0, 2: 232.9, 4: 203.5}
    evaluations = [replayed_evaluations(300, p) for p in published]
    assert evaluations == [300, 150, 75]
    slope, training = np.polyfit(evaluations, list(published.values()), 1)
    assert (slope, training) == (pytest.approx(0.36, abs=0.001), pytest.approx(177.5, abs=0.1))
    for p, seconds in published.items():
        assert 177.5 + 0.36 * replayed_evaluations(300, p) == pytest.approx(seconds, abs=1.5)
    assert replayed_evaluations(5, 2) == 3  # the last half epoch has one


# -- the table --------------------------------------------------------------------------------


def test_figures_of_a_row():
    found = finished({1: [10.0, 12.0, 14.0], 2: [5.0, 8.0, 7.0]})
    one, two = (rows(found)[p] for p in (1, 2))
    assert one["samples_per_second"] == pytest.approx(stats.gmean([200, 2000 / 12, 2000 / 14]))
    epochs = np.log([2.5, 4, 3.5])  # times and rates are positive, and so are their intervals
    low, high = np.exp(stats.t.interval(0.95, 2, epochs.mean(), stats.sem(epochs)))
    found_ = estimate(two, "seconds_per_epoch")
    assert found_.mean == pytest.approx(np.exp(epochs.mean()))
    assert (found_.low, found_.high) == pytest.approx((low, high))
    assert estimate(one, "speedup") == Estimate(1.0) and estimate(one, "karp_flatt") is None
    logs = np.log([2, 1.5, 2])
    mean = np.exp(logs.mean())
    assert two["speedup"] == pytest.approx(mean)
    assert two["efficiency"] == pytest.approx(mean / 2)
    assert two["efficiency_high"] == pytest.approx(two["speedup_high"] / 2)
    assert two["karp_flatt"] == pytest.approx(2 / mean - 1)
    for row in (one, two):
        assert estimate(row, "serial_share") is None  # two counts are no fit


def test_examples_are_those_that_the_run_names():
    found = finished({1: [10.0] * 3})
    (run,) = table.runs(found)
    assert timing.read(run, None)["examples"] == 1000
    file = Path(run.folder, "run.json")
    describe(run, {**json.loads(file.read_text()), "sizes": {"train": 500}})
    assert rows(found)[1]["samples_per_second"] == pytest.approx(100)


def test_three_counts_have_a_fit():
    times = {p: [9 * amdahl_time(0.2, p)] * 3 for p in (1, 2, 4)}
    lines = {row["gpus"]: row for row in written(finished(times)) if row["scaling"] == "strong"}
    assert lines["1"]["serial_share"] == lines["1"]["karp_flatt"] == ""
    for p in ("2", "4"):
        assert float(lines[p]["serial_share"]) == pytest.approx(0.2)
        assert float(lines[p]["karp_flatt"]) == pytest.approx(0.2)
        assert float(lines[p]["serial_fit_error"]) == pytest.approx(0, abs=1e-9)


def test_one_seed_has_no_interval():
    lines = written(finished({1: [8.0], 2: [5.0]}, seeds=1))
    two = lines[1]
    assert (two["gpus"], two["speedup"], two["efficiency"]) == ("2", "1.6", "0.8")
    for name in ("speedup", "efficiency", "karp_flatt", "seconds", "samples_per_second"):
        assert two[name] and two[f"{name}_low"] == two[f"{name}_high"] == ""


def test_diverged_seeds_are_counted_and_left_out_of_both_sides():
    found = finished({1: [10.0, None, 12.0], 2: [5.0, 6.0, None]})
    two = rows(found)[2]
    assert estimate(two, "speedup") == Estimate(2.0)  # seed 0 alone has both
    assert two["diverged"] == 1
    line = written(found)[1]
    assert (line["seeds"], line["diverged"], line["status"]) == ("3", "1", "diverged")
    assert float(line["seconds"]) == pytest.approx(30**0.5, rel=1e-5)


@pytest.mark.parametrize("gone", [1, 2])
def test_a_run_of_which_every_seed_diverged_has_empty_cells(gone):
    times = {1: [10.0] * 3, 2: [5.0] * 3, 4: [3.0] * 3, gone: [None] * 3}
    lines = {r["gpus"]: r for r in written(finished(times)) if r["scaling"] == "strong"}
    assert lines[str(gone)]["seconds"] == lines[str(gone)]["speedup"] == ""
    assert lines[str(gone)]["test_accuracy"] == ""
    assert (lines["4"]["speedup"] == "") == (gone == 1)
    assert lines["4"]["serial_share"] == ""


@pytest.mark.parametrize(
    "other", [{"gpu": "Handmade GPU"}, {"cpu": "Handmade 2"}], ids=["device", "processor"]
)
def test_times_of_different_machines_are_not_compared(other):
    found = finished({p: [12.0 / p] * 3 for p in (1, 2, 4, 8)})
    moved = next(run for run in table.runs(found) if run.gpus == 4)
    timed(moved, [1.0] * 3, **other)
    measured = rows(found)
    for name in ("speedup", "efficiency", "karp_flatt", "serial_share"):
        assert estimate(measured[4], name) is None
    assert measured[4]["samples_per_second"] == pytest.approx(2000)
    assert measured[8]["speedup"] == pytest.approx(8)
    assert measured[8]["serial_share"] == pytest.approx(0, abs=1e-9)


def test_missing_seed_and_missing_run_are_told_in_one_line(capsys):
    found = finished({1: [10.0] * 2, 2: [5.0] * 2}, seeds=2)
    words = ["--study", str(save(found)), "--output-folder", "tables"]
    (first, second) = table.runs(found)
    timed(second, [5.0])
    assert tables_program.main(words) == 1
    assert "seed 1 is missing; set aside as *.damaged" in capsys.readouterr().err
    timed(second, [5.0] * 2)
    Path(first.folder, "run.json").unlink()
    assert tables_program.main(words) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "has this run been trained?" in told
    describe(first, {"wall": {}})
    assert tables_program.main(words) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "train this run again" in told


RATES = {"linear": 0.02, "sqrt": 0.02 / 2**0.5, "none": 0.01}


@pytest.mark.parametrize("rule", RATES)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_a_rate_of_a_summed_loss_makes_the_steps_that_the_rule_has_for_the_mean(rule, optimizer):
    """On the line, by the closed form: a batch of four is the whole, of the sum of squares."""
    grid = {optimizer: {"lr": [0.02]}}
    line = {"datasets": ["line"], "models": ["linear"], "batch_sizes": [2], "epochs": [40]}
    found = study(**line, optimizers=grid, scaling=["weak"], lr_scaling=rule, gpus=[1, 2])
    one, two = (point.run for point in kinds.scaling.points(found, "scaling"))
    assert (one.knobs["lr"], two.batch_size) == (0.02, 4)
    assert two.knobs["lr"] == pytest.approx(RATES[rule], rel=1e-5)
    # A mean-loss step with a rate that the rule multiplies: eta * rule(2) / N of the sum, N = 4.
    mean_rate = 0.02 * 2 * kinds.scaling.RULES[rule](2)
    assert two.knobs["lr"] * 4 == pytest.approx(mean_rate, rel=1e-5)
    assert theory.losses_of(two, [40])[0] < 23.66 < theory.losses_of(
        replace(two, knobs={**two.knobs, "lr": 0.0601}), [40])[0]  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "optimizer", "rate"),
    [("digits", "sgd", 0.2), ("labels", "sgd", 0.2), ("line", "adam", 0.2), ("floats", "adam", 0.2),
     ("line", "nesterov", 0.1), ("floats", "sgd", 0.2), ("line", "o.py:Own", 0.1)],
)  # fmt: skip
def test_the_rate_follows_the_loss_and_the_optimizer(dataset, optimizer, rate):
    Path("o.py").write_text("")
    for name, y in (("floats", np.zeros(40)), ("labels", np.arange(40) % 2)):
        x = np.zeros((40, 3))
        arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
        np.savez(f"{name}.npz", **arrays)
    mine = {name: {"source": "npz", "file": f"{name}.npz"} for name in ("floats", "labels")}
    exercise = {**SCALING, "scaling": ["weak"], "gpus": [1, 2], "models": ["mlp"],
                "batch_sizes": [2], "datasets": [dataset],
                "optimizers": {optimizer: {"lr": [0.1]}}}  # fmt: skip
    found = resolved({"scaling": exercise}, datasets=mine)
    points = kinds.scaling.points(found, "scaling")
    assert [point.run.knobs["lr"] for point in points] == [0.1, rate]


def test_weak_scaling_is_against_one_process_and_has_no_serial_share():
    found = study(scaling=["weak"], gpus=[1, 2, 4], batch_sizes=[50], lr_scaling="linear")
    for run in table.runs(found):
        timed(run, [8.0 / run.gpus] * 3)
    lines = {r["gpus"]: r for r in written(found) if r["scaling"] == "weak"}
    assert [(r["batch_size"], r["global_batch"], r["lr"]) for r in lines.values()] == [
        *(("50", "50", "0.1"), ("50", "100", "0.2"), ("50", "200", "0.4"))
    ]
    assert lines["4"]["speedup"] == "4" and lines["4"]["efficiency"] == "1"
    assert lines["4"]["karp_flatt"] == lines["4"]["serial_share"] == ""


def test_rows_share_a_run_and_points_left_out_have_none():
    found = study(scaling=["strong", "weak"], gpus=[1, 2, 4], batch_sizes=[2])
    for run in table.runs(found):
        timed(run, [8.0] * 3)
    lines = written(found)
    kinds = [(r["scaling"], r["gpus"]) for r in lines]
    assert ("strong", "4") not in kinds and ("weak", "4") in kinds  # 2 examples for 4 processes
    paths = {r["path"] for r in lines if r["gpus"] == "1"}
    assert len(paths) == 1
    assert kinds.count(("replayed", "1")) == 1  # once, although two rows have that run


def test_replayed_rows_are_all_evaluation():
    found = finished({1: [10.0, 20.0, 30.0], 2: [6.0] * 3}, epochs=[7])
    each = 0.5
    for run in table.runs(found):
        timed(run, [10.0, 20.0, 30.0] if run.gpus == 1 else [6.0] * 3, evaluation=each)
    lines = {(r["scaling"], r["gpus"]): r for r in written(found)}
    two = lines["replayed", "2"]
    assert float(two["seconds_per_evaluation"]) == each
    assert float(two["seconds"]) == pytest.approx(stats.gmean([12, 22, 32]), rel=1e-5)
    ratios = [math.log((t + 7 * each) / (t + 4 * each)) for t in (10, 20, 30)]
    assert float(two["speedup"]) == pytest.approx(math.exp(sum(ratios) / 3), rel=1e-5)
    assert two["gain_from_evaluation"] == "1" and two["evaluations"] == "4"
    assert lines["strong", "2"]["gain_from_evaluation"] == "0"
    assert lines["strong", "2"]["evaluations"] == "8"
    for name in ("test_accuracy", "samples_per_second", "step_seconds", "oversubscribed"):
        assert two[name] == ""


def test_an_evaluation_takes_what_those_of_the_studys_seeds_took():
    """Not what `wall` says, which is of the last job alone; and seeds may have been given up."""
    fewer, more = (study(seeds, gpus=[1]) for seeds in (2, 3))
    timed(table.runs(more)[0], [10.0, None, 30.0], evaluation=0.25)
    for found in (fewer, more):
        (run,) = table.runs(found)
        assert timing.read(run, None)["seconds_per_evaluation"] == pytest.approx(0.25)


def test_shares_of_a_step():
    found = finished({1: [10.0] * 3, 2: [6.0] * 3})
    for run in table.runs(found):
        parts = {"communication": 0.002} if run.gpus == 2 else {"communication": -0.0001}
        timed(run, [6.0] * 3, steps=step_parts(step=0.0125, **parts), oversubscribed=run.gpus == 2)
    one, two = written(found)[:2]
    assert float(two["wall_seconds"]) == pytest.approx(2 + 18 + 9 * 0.01 + 1)
    assert (two["start_up_seconds"], two["evaluation_seconds"]) == ("2", "0.09")
    shares = ("data", "forward_backward", "communication", "optimizer", "other")
    measured = [float(two[f"{name}_share"]) for name in shares]
    assert measured == pytest.approx([0.08, 0.48, 0.16, 0.16, 0.12])
    assert float(one["communication_share"]) == 0  # not below: a difference of two medians
    assert sum(float(one[f"{name}_share"]) for name in shares) == pytest.approx(1, abs=1e-5)
    assert (two["step_seconds"], two["step_seconds_low"]) == ("0.0125", "0.01125")
    assert (one["oversubscribed"], two["oversubscribed"]) == ("false", "true")
    assert two["peak_memory_mb"] == "512.5" and two["gpu_peak_memory_mb"] == ""


def test_parts_that_are_more_than_the_step_still_sum_to_one():
    found = finished({1: [10.0] * 3})
    (run,) = table.runs(found)
    timed(run, [10.0] * 3, steps=step_parts(step=0.005))
    found = timing.read(run, None)
    assert sum(found[name] for name in timing.SHARES) == pytest.approx(1)
    assert found["other_share"] == 0 and found["forward_backward_share"] == pytest.approx(6 / 9)


def test_target_is_a_geometric_mean_over_the_seeds_that_reach_it():
    found = study(gpus=[1, 2, 4], target_accuracy=0.5)
    one, two, four = table.runs(found)
    timed(one, [10.0, 20.0, 30.0], accuracies=[0.9, 0.9, 0.3])
    timed(two, [10.0, 20.0, None], accuracies=[0.6, 0.4, 0.9])
    timed(four, [10.0, 20.0, None], accuracies=[0.4, 0.4, 0.9])
    lines = written(found)
    # 0.1, 0.5, 0.9 after 0, 1 and 2 epochs: half of the training, 5 and 10 seconds.
    assert (lines[0]["reached_target"], lines[0]["seconds_to_target"]) == ("2", "7.07107")
    logs = np.log([5, 10])
    ends = np.exp(stats.t.interval(0.95, 1, logs.mean(), stats.sem(logs)))
    found_ = [float(lines[0][f"seconds_to_target_{end}"]) for end in ("low", "high")]
    assert found_ == pytest.approx(list(ends), rel=1e-5)
    assert (lines[1]["reached_target"], lines[1]["seconds_to_target"]) == ("1", "10")
    assert (lines[2]["reached_target"], lines[2]["seconds_to_target"]) == ("0", "inf")
    for line in lines[1:3]:
        assert line["seconds_to_target_low"] == line["seconds_to_target_high"] == ""
    assert lines[0]["target_accuracy"] == "0.5"
    assert not any(name.startswith("epochs_to_target") for name in lines[0])
    replayed = [r for r in lines if r["scaling"] == "replayed"]
    assert {r["seconds_to_target"] for r in replayed} == {""}


def test_a_row_for_each_question():
    axes = {"gpus": [1, 2], "batch_sizes": [50, 100], "epochs": [1, 2], "models": ["cnn", "mlp"]}
    found = study(scaling=["strong", "weak"], **axes)
    for run in table.runs(found):
        timed(run, [1.0] * 3)
    lines = written(found)
    names = ("exercise", "dataset", "model", "scaling", "batch_size", "epochs", "gpus")
    keys = [tuple(row[name] for name in names) for row in lines]
    assert len(keys) == len(set(keys)) == 3 * 2**4
    assert all(row["speedup"] == "1" for row in lines if row["scaling"] != "replayed")


def test_nothing_is_replayed_where_nothing_is_compared():
    assert {row["scaling"] for row in written(finished({1: [10.0] * 3}))} == {"strong"}


def test_a_study_without_scaling_has_no_such_table():
    line = {"datasets": ["line"], "models": ["linear"], "batch_sizes": [4]}
    found = resolved({"fit": {**line, "optimizers": {"sgd": {"lr": [0.1]}}}})
    for run in table.runs(found):
        finish(run, [0.1] * 3)
    words = ["--study", str(save(found)), "--output-folder", "tables"]
    assert tables_program.main(words) == 0
    assert Path("tables/runs.tsv").is_file() and not Path("tables/scaling.tsv").exists()


def test_a_waiting_timed_run_takes_the_whole_machine():
    found = finished({1: [10.0] * 3, 2: [6.0] * 3})
    done, waiting = (status.Standing(run, "done", 10.0) for run in table.runs(found))
    waiting = replace(waiting, state="waiting", seconds=None)
    assert status.remaining([done, waiting], cores=8) == pytest.approx(10)


# -- pictures ---------------------------------------------------------------------------------


def drawn(found, kind):
    (picture,) = (p for p in plan.pictures(found, "scaling") if p.kind == f"scaling-{kind}")
    figure = draw.DRAWN[picture.kind](picture, scaling_axes.source(found, "scaling"))
    svg = looks.svg(figure)
    texts = re.findall(r"<text.*?</text>", svg, re.S)
    return figure, [re.sub(r"<[^>]*>", "", text).strip() for text in texts]


def test_pictures_follow_from_the_study():
    def kinds(**changes):
        return [p.name for p in plan.pictures(study(**changes), "scaling")]

    assert kinds(gpus=[1]) == ["time"]
    assert kinds() == ["speedup", "time", "replay"]
    every = {"batch_sizes": [50, 100], "target_accuracy": 0.9, "scaling": ["weak"]}
    assert [f"scaling-{name}" for name in kinds(**every)] == PICTURES
    assert kinds(epochs=[1, 2], batch_sizes=[50, 100], gpus=[1]) == ["time", "settings"]
    two = plan.pictures(study(models=["cnn", "mlp"]), "scaling")
    assert [p.name for p in two][::3] == ["digits-cnn-speedup", "digits-mlp-speedup"]
    assert len({tuple(p.labels.values()) for p in two}) == len(two)
    for kind in PICTURES:
        assert (REPORT / f"{kind}.rst").is_file()


def test_speedup_has_the_fit_and_the_ideal():
    times = {p: [9 * amdahl_time(0.2, p) * k for k in (1, 1.1, 1.2)] for p in (1, 2, 4)}
    figure, words = drawn(finished(times), "speedup")
    assert "strong, batch 100; serial share 0.20 (0.20 to 0.20)" in words
    assert "Amdahl's law, fitted (strong)" in words and "ideal" in words
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (law,) = (x for x in axes.get_lines() if len(x.get_xdata()) > 50)
    assert law.get_ydata()[-1] == pytest.approx(1 / amdahl_time(0.2, 4))


def test_speedup_of_two_counts_has_no_fit():
    figure, words = drawn(finished({1: [10.0] * 3, 2: [6.25] * 3}), "speedup")
    assert "strong, batch 100; Karp-Flatt 0.25" in words
    assert not any("Amdahl" in word for word in words)
    assert all(len(line.get_xdata()) < 50 for line in figure.axes[0].get_lines())


def test_oversubscribed_runs_are_open():
    found = finished({1: [10.0] * 3, 2: [6.0] * 3})
    _, words = drawn(found, "speedup")
    assert not any("share cores" in word for word in words)
    timed(table.runs(found)[1], [6.0] * 3, oversubscribed=True)
    figure, words = drawn(found, "speedup")
    assert "open: processes share cores or a device" in words
    faces = [x.get_markerfacecolor() for x in figure.axes[0].get_lines() if len(x.get_xdata()) == 1]
    assert faces.count("white") == 1
    assert "* processes share cores or a device" in drawn(found, "time")[1]


def test_bars_are_the_shares():
    found = finished({1: [10.0] * 3, 2: [6.0] * 3})
    timed(table.runs(found)[0], [10.0] * 3, steps=step_parts())
    figure, words = drawn(found, "time")
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths[:5] == [0] * 5  # the lowest bar is of the last run, whose steps were not measured
    assert widths[5:] == pytest.approx([0.1, 0.6, 0, 0.2, 0.1])
    assert "not measured" in words and "10 ms" in words
    assert "batch 100, 1 process" in words and "strong, batch 100, 2 processes" in words


def test_gpus_are_called_so():
    found = finished({1: [10.0] * 3, 2: [6.0] * 3})
    for run in table.runs(found):
        timed(run, [6.0] * 3, gpu="Handmade GPU", gpu_peak_memory_mb=77.0)
    figure, _ = drawn(found, "speedup")
    assert figure.axes[0].get_xlabel() == "GPUs"
    assert written(found)[0]["hardware"] == "Handmade GPU"
    assert written(found)[0]["gpu_peak_memory_mb"] == "77"


@pytest.mark.parametrize("dead", [(), (0,), (1,), (0, 1, 2, 3, 4, 5)])
def test_every_picture_can_be_drawn(dead):
    axes = {"gpus": [1, 2], "batch_sizes": [50, 100], "epochs": [1, 2]}
    found = study(scaling=["strong", "weak"], target_accuracy=0.5, **axes)
    for number, run in enumerate(table.runs(found)):
        timed(run, [None] * 3 if number in dead or len(dead) > 2 else [1.0, 1.2, None])
    for kind in PICTURES:
        drawn(found, kind.removeprefix("scaling-"))


def test_programs_write_and_tidy():
    found = finished({1: [10.0] * 3, 2: [6.0] * 3})
    Path("figures").mkdir()
    words = ["--study", str(save(found)), "--exercise", "scaling", "--output-folder", "figures"]
    assert figures_program.main(words) == 0
    assert sorted(p.stem for p in Path("figures").glob("*.svg")) == ["replay", "speedup", "time"]
    again = finished({1: [10.0] * 3})
    save(again)
    assert figures_program.main(words) == 0
    assert [p.stem for p in Path("figures").glob("*.svg")] == ["time"]


def test_reading_what_is_no_record():
    found = finished({1: [10.0] * 3})
    (run,) = table.runs(found)
    describe(run, {"seeds": []})
    with pytest.raises(UserError, match=r"run\.json: .*again"):
        timing.read(run, None)
    for text in ("[]", "{", json.dumps({"seeds": []})):  # without the hash of the metrics
        Path(run.folder, "run.json").write_text(text)
        with pytest.raises(DamagedError, match=r"metrics\.tsv: damaged"):
            timing.read(run, None)


def test_seeds_of_another_machine_are_told_and_their_times_not_compared():
    found = finished({1: [10.0] * 3, 2: [6.0] * 3})
    run = next(run for run in table.runs(found) if run.gpus == 2)
    file = Path(run.folder, "run.json")
    record = json.loads(file.read_text())
    record["seeds"][2]["hardware"] = "Handmade 2"  # the last one was added elsewhere
    file.write_text(json.dumps(record))
    lines = {row["gpus"]: row for row in written(found) if row["scaling"] == "strong"}
    assert lines["2"]["hardware"] == "Handmade 1 and Handmade 2"
    assert lines["2"]["speedup"] == "" and lines["1"]["speedup"] == "1"
