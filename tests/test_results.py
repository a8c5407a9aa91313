"""From metrics to tables: what is read, how it is summarised, and what is chosen."""

import csv
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
from handmade import CLASSES, LINE, finish, resolved, row, save, write
from scipy import stats

import tables
from optlab import files, results
from optlab.errors import UserError
from optlab.figures import plan
from optlab.results import reading, summary
from optlab.runs import metrics
from optlab.study import table

SWEEP = {**CLASSES, "optimizers": {"sgd": {"lr": [0.01, 0.1, 1]}}}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def sweep(seeds=3, **changes):
    study = resolved({"softmax": {**SWEEP, **changes}}, seeds)
    return study, table.runs(study)


def summarised(run):
    return summary.summarise([run]).loc[run.path]


def best_of(*runs):
    (row,) = summary.best(summary.summarise(runs), {}).to_dict("records")
    return row


def last(run, figure):
    return reading.finals([run])[figure].tolist()


def read(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_summary_has_mean_and_interval_of_the_final_rows():
    _, (run, *_) = sweep()
    accuracies = [0.90, 0.92, 0.97]
    finish(run, [0.1, 0.2, 0.6], val_loss=[0.3, 0.4, 0.5], test_accuracy=accuracies)
    found = summarised(run)
    assert found[["seeds", "diverged", "status", "device"]].tolist() == [3, 0, "ok", "cpu"]
    assert found["train_loss"] == pytest.approx(0.3)
    low, high = stats.t.interval(0.95, 2, 0.93, stats.sem(accuracies))
    test = [found[f"test_accuracy{end}"] for end in ("", "_low", "_high")]
    assert high > 1, "no accuracy is above 1, so neither is the interval"
    assert test == pytest.approx([0.93, low, 1])
    assert found["seconds"] == 1.0
    assert math.isnan(found["val_accuracy"]) and math.isnan(found["val_accuracy_low"])


def test_one_seed_has_an_empty_interval():
    _, (run, *_) = sweep(seeds=1)
    finish(run, [0.1])
    found = summarised(run)
    assert found["train_loss"] == 0.1 and math.isnan(found["train_loss_low"])


def test_seeds_beyond_those_of_the_study_are_left_out():
    _, (run, *_) = sweep(seeds=2)
    finish(run, [0.1, 0.3, 100.0])
    found = summarised(run)
    assert found["seeds"] == 2
    assert found["train_loss"] == pytest.approx(0.2)
    assert [curve.seed for curve in reading.curves(run)] == [0, 1]
    assert reading.evaluations([run])["seed"].tolist() == [0, 0, 1, 1]


def test_the_seeds_of_a_run_may_begin_later():
    _, (first, *_) = sweep(seeds=2)
    run = replace(first, first_seed=9)
    rows = [row(run, seed, 2, 0.1 * seed, val_loss=0.5) for seed in (1, 8, 9, 10, 11)]
    write(run, rows)
    assert reading.finals([run]).index.get_level_values("seed").tolist() == [9, 10]
    assert [curve.seed for curve in reading.curves(run)] == [9, 10]


def test_seed_10_is_not_taken_for_seed_1():
    _, (run, *_) = sweep(seeds=11)
    finish(run, [float(seed) for seed in range(11)])
    assert last(run, "train_loss") == [float(seed) for seed in range(11)]


def test_rows_of_seeds_may_come_in_any_order():
    _, (run, *_) = sweep(seeds=2)
    write(run, [row(run, 1, 0, 2), row(run, 0, 0, 2), row(run, 1, 2, 5), row(run, 0, 2, 4)])
    assert last(run, "train_loss") == [4, 5]


def test_diverged_seeds_are_counted_and_left_out_of_means():
    _, (run, *_) = sweep()
    finish(run, [0.1, None, 0.3], val_loss=[1.0, None, 2.0])
    found = summarised(run)
    assert found[["diverged", "status", "diverged_step"]].tolist() == [1, "diverged", 27]
    assert found["train_loss"] == pytest.approx(0.2)
    assert found["val_loss"] == pytest.approx(1.5)


def test_curves_keep_every_row():
    _, (run, *_) = sweep()
    finish(run, [0.1, None, 0.3], val_loss=[1.0, None, 2.0])
    first, second, _ = reading.curves(run)
    assert first.epoch.tolist() == [0, 2]
    assert first.values["val_loss"].tolist() == [2.3, 1.0]
    assert second.diverged and second.step.tolist() == [0, 27]
    assert second.values["train_loss"][-1] == float("inf")


def test_chosen_on_validation_not_on_training_loss():
    _, (low, middle, high) = sweep()
    finish(low, [0.1] * 3, val_loss=[0.5] * 3)
    finish(middle, [0.2] * 3, val_loss=[0.3, 0.4, 0.5])
    finish(high, [0.3] * 3, val_loss=[0.1, 0.2, 1.2])
    best = best_of(low, middle, high)
    assert best["run"] is middle
    assert (best["chosen_on"], best["settings"], best["diverged_settings"]) == ("val_loss", 3, 0)
    assert best["lr_at_edge"] == ""


def test_chosen_on_training_loss_where_there_is_no_validation_data():
    study = resolved({"linear": {**LINE, "optimizers": {"sgd": {"lr": [0.1, 0.01]}}}}, seeds=1)
    first, second = table.runs(study)
    finish(first, [3.0])
    finish(second, [2.0])
    best = best_of(first, second)
    assert (best["run"], best["chosen_on"]) == (second, "train_loss")
    assert best["lr_at_edge"] == "lowest"  # by value, whatever the order in the study


def test_of_equal_runs_the_first_is_chosen():
    _, runs = sweep()
    for run in runs:
        finish(run, [0.1] * 3, val_loss=[0.5] * 3)
    assert best_of(*runs)["run"] is runs[0]


def test_a_run_with_a_diverged_seed_is_not_eligible():
    _, (low, middle, high) = sweep()
    finish(low, [0.3] * 3, val_loss=[0.9] * 3)
    finish(middle, [0.1, 0.1, None], val_loss=[0.1, 0.1, None])
    finish(high, [None] * 3, val_loss=[None] * 3)
    best = best_of(low, middle, high)
    assert best["run"] is low
    assert (best["diverged_settings"], best["lr_at_edge"]) == (2, "lowest")


def test_where_every_run_diverges_the_most_stable_is_chosen():
    _, (low, middle, high) = sweep()
    finish(low, [None] * 3)
    finish(middle, [0.5, 0.5, None], val_loss=[0.5, 0.5, None])
    finish(high, [0.4, None, None], val_loss=[0.4, None, None])
    best = best_of(low, middle, high)
    assert best["run"] is middle
    assert best["status"] == "diverged"


@pytest.mark.parametrize("rates, edge", [([0.01, 0.1, 1], "highest"), ([1], "only")])
def test_edge_of_the_grid(rates, edge):
    _, runs = sweep(optimizers={"sgd": {"lr": rates}})
    for run in runs:
        finish(run, [1 - run.knobs["lr"] / 2] * 3, val_loss=[1 - run.knobs["lr"] / 2] * 3)
    assert best_of(*runs)["lr_at_edge"] == edge


def test_best_is_per_exercise_data_set_model_and_optimizer():
    both = {**SWEEP, "models": ["softmax", "mlp"], "batch_sizes": [50, 100]}
    both["optimizers"] = {"sgd": {"lr": [0.1]}, "adam": {"lr": [0.1]}}
    runs = table.runs(resolved({"one": both, "two": SWEEP}))
    for run in runs:
        finish(run, [0.1] * 3, val_loss=[0.1 if run.batch_size == 100 else 0.2] * 3)
    best = summary.best(summary.summarise(runs), {})
    rows = best[["exercise", "model", "optimizer", "batch_size"]].itertuples(index=False, name=None)
    assert list(rows) == [
        ("one", "softmax", "sgd", 100),
        ("one", "mlp", "sgd", 100),
        ("one", "softmax", "adam", 100),
        ("one", "mlp", "adam", 100),
        ("two", "softmax", "sgd", 100),
    ]


def test_tables(capsys):
    optimizers = {
        "sgd": {"lr": [1e-3], "weight_decay": [0, 0.1]},
        "momentum": {"lr": [0.5], "momentum": [0.8]},
        "adam": {"lr": [1.0], "betas": [[0.9, 0.99]]},
    }
    study, runs = sweep(optimizers=optimizers)
    for number, run in enumerate(runs):
        finish(run, [0.1 + number] * 3, val_loss=[1 / 3] * 3)
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 0
    rows = read("out/runs.tsv")
    first = "exercise dataset model optimizer lr momentum betas weight_decay batch_size epochs gpus"
    assert " ".join(list(rows[0])[:11]) == first
    assert list(rows[0])[11:16] == ["device", "seeds", "diverged", "status", "reason"]
    assert list(rows[0])[-4:] == ["seconds", "seconds_low", "seconds_high", "path"]
    knobs = [(r["lr"], r["momentum"], r["betas"], r["weight_decay"]) for r in rows]
    assert knobs == [
        ("0.001", "", "", "0"),
        ("0.001", "", "", "0.1"),
        ("0.5", "0.8", "", "0"),
        ("1", "", "0.9_0.99", "0"),
    ]
    assert rows[0]["val_loss"] == rows[0]["val_loss_low"] == "0.333333"
    assert Path("results/hand/runs", rows[0]["path"], "metrics.tsv").is_file()
    best = read("out/best.tsv")
    assert [(r["optimizer"], r["settings"], r["chosen_on"]) for r in best] == [
        ("sgd", "2", "val_loss"),
        ("momentum", "1", "val_loss"),
        ("adam", "1", "val_loss"),
    ]
    assert best[0]["weight_decay"] == "0" and best[0]["lr_at_edge"] == "only"


@pytest.mark.parametrize("damage", ["missing", "seed", "columns", "empty", "cut"])
def test_a_mistake_is_one_line(damage, capsys):
    study, runs = sweep()
    for run in runs:
        finish(run, [0.1] * 3)
    file = Path(runs[1].folder, "metrics.tsv")
    text = file.read_text()
    if damage == "missing":
        file.unlink()
    elif damage == "seed":
        finish(runs[1], [0.1] * 2)
    else:
        cut = {"columns": text.replace("train_loss", "loss"), "empty": "", "cut": text[:-40]}
        file.write_text(cut[damage])
    assert tables.main(["--study", str(save(study)), "--output-folder", "out"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {file}: ")
    assert not Path("out").exists()


def test_pictures_and_summaries_name_the_same_runs():
    study, runs = sweep()
    drawn = {run.path for p in plan.pictures(study, "softmax") for g in p.groups for run in g}
    assert drawn == {run.path for run in runs}


def test_unreadable_file_is_a_user_error():
    _, (run, *_) = sweep()
    Path(run.folder, "metrics.tsv").mkdir(parents=True)
    with pytest.raises(UserError, match="Is a directory"):
        summary.summarise([run])
    with pytest.raises(UserError, match="Is a directory"):
        reading.curves(run)


def test_many_runs_are_read_fast():
    """10,000 runs in 10 s is the aim; here 500 long ones, at a quarter of that pace."""
    _, (run, *_) = sweep()
    rows = [row(run, seed, epoch, 0.1) for seed in range(3) for epoch in range(300)]
    files.write(Path(run.folder, "metrics.tsv"), metrics.text(rows))
    start = time.process_time()
    reading.finals([run] * 500)
    assert time.process_time() - start < 2


def test_a_notebook_gets_tidy_frames(here_study):
    _, runs = here_study
    found = results.load("results/hand")
    assert list(found.runs["path"]) == [run.path for run in runs]
    assert found.runs["lr"].dtype == float and found.runs["lr"].tolist() == [0.01, 0.1, 1]
    assert found.runs["val_loss"].idxmin() == 1
    rows = found.evaluations
    assert len(rows) == 3 * 3 * 2 and set(rows["path"]) == {run.path for run in runs}
    assert rows.groupby(["path", "seed"], sort=False)["train_loss"].last().tolist()[:2] == [
        0.1,
        0.2,
    ]
    assert found.trials.empty and found.scaling.empty


@pytest.fixture
def here_study():
    study, runs = sweep()
    for number, run in enumerate(runs):
        finish(run, [0.1, 0.2, 0.3], val_loss=[(1 - number) ** 2] * 3)
    save(study)
    return study, runs


def test_a_folder_without_results_is_a_mistake_in_one_line():
    with pytest.raises(UserError, match=r"^results/none: not the results of a study"):
        results.load("results/none")
