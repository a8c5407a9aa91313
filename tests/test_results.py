"""From metrics to tables: what is read, how it is summarised, and what is chosen."""

import csv
import time
from pathlib import Path

import pytest
from handmade import CLASSES, LINE, finish, resolved, row, save, write
from scipy import stats

import tables
from optlab.errors import UserError
from optlab.figures import plan as pictures
from optlab.results import summary as results
from optlab.runs import metrics
from optlab.study import table

SWEEP = {**CLASSES, "optimizers": {"sgd": {"lr": [0.01, 0.1, 1]}}}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def sweep(seeds=3, **changes):
    study = resolved({"softmax": {**SWEEP, **changes}}, seeds)
    return study, table.runs(study)


def read(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_summary_has_mean_and_interval_of_the_final_rows():
    _, (run, *_) = sweep()
    accuracies = [0.90, 0.92, 0.97]
    finish(run, [0.1, 0.2, 0.6], val_loss=[0.3, 0.4, 0.5], test_accuracy=accuracies)
    found = results.summary(run)
    assert (found.seeds, found.diverged, found.status, found.device) == (3, 0, "ok", "cpu")
    assert found.figures["train_loss"].mean == pytest.approx(0.3)
    low, high = stats.t.interval(0.95, 2, 0.93, stats.sem(accuracies))
    test = found.figures["test_accuracy"]
    assert (test.mean, test.low, test.high) == pytest.approx((0.93, low, high))
    assert found.figures["seconds"].mean == 1.0
    assert found.figures["val_accuracy"] is None


def test_one_seed_has_an_empty_interval():
    _, (run, *_) = sweep(seeds=1)
    finish(run, [0.1])
    assert results.summary(run).figures["train_loss"].low is None


def test_seeds_beyond_those_of_the_study_are_left_out():
    _, (run, *_) = sweep(seeds=2)
    finish(run, [0.1, 0.3, 100.0])
    found = results.summary(run)
    assert found.seeds == 2
    assert found.figures["train_loss"].mean == pytest.approx(0.2)
    assert [curve.seed for curve in results.curves(run)] == [0, 1]


def test_seed_10_is_not_taken_for_seed_1():
    _, (run, *_) = sweep(seeds=11)
    finish(run, [float(seed) for seed in range(11)])
    assert [row["train_loss"] for row in results.final_rows(run)] == [f"{s}.0" for s in range(11)]


def test_rows_of_seeds_may_come_in_any_order():
    _, (run, *_) = sweep(seeds=2)
    write(run, [row(run, 1, 0, 2), row(run, 0, 0, 2), row(run, 1, 2, 5), row(run, 0, 2, 4)])
    assert [row["train_loss"] for row in results.final_rows(run)] == ["4", "5"]


def test_diverged_seeds_are_counted_and_left_out_of_means():
    _, (run, *_) = sweep()
    finish(run, [0.1, None, 0.3], val_loss=[1.0, None, 2.0])
    found = results.summary(run)
    assert (found.diverged, found.status, found.diverged_step) == (1, "diverged", 27)
    assert found.figures["train_loss"].mean == pytest.approx(0.2)
    assert found.figures["val_loss"].mean == pytest.approx(1.5)


def test_curves_keep_every_row():
    _, (run, *_) = sweep()
    finish(run, [0.1, None, 0.3], val_loss=[1.0, None, 2.0])
    first, second, _ = results.curves(run)
    assert first.epoch.tolist() == [0, 2]
    assert first.values["val_loss"].tolist() == [2.3, 1.0]
    assert second.diverged and second.step.tolist() == [0, 27]
    assert second.values["train_loss"][-1] == float("inf")


def test_chosen_on_validation_not_on_training_loss():
    _, (low, middle, high) = sweep()
    finish(low, [0.1] * 3, val_loss=[0.5] * 3)
    finish(middle, [0.2] * 3, val_loss=[0.3, 0.4, 0.5])
    finish(high, [0.3] * 3, val_loss=[0.1, 0.2, 1.2])
    (best,) = results.best(results.summarise([low, middle, high]))
    assert best.chosen.run is middle
    assert (best.chosen_on, best.settings, best.diverged) == ("val_loss", 3, 0)
    assert best.lr_at_edge == ""


def test_chosen_on_training_loss_where_there_is_no_validation_data():
    study = resolved({"linear": {**LINE, "optimizers": {"sgd": {"lr": [0.1, 0.01]}}}}, seeds=1)
    first, second = table.runs(study)
    finish(first, [3.0])
    finish(second, [2.0])
    (best,) = results.best(results.summarise([first, second]))
    assert (best.chosen.run, best.chosen_on) == (second, "train_loss")
    assert best.lr_at_edge == "lowest"  # by value, whatever the order in the study


def test_of_equal_runs_the_first_is_chosen():
    _, runs = sweep()
    for run in runs:
        finish(run, [0.1] * 3, val_loss=[0.5] * 3)
    assert results.best(results.summarise(runs))[0].chosen.run is runs[0]


def test_a_run_with_a_diverged_seed_is_not_eligible():
    _, (low, middle, high) = sweep()
    finish(low, [0.3] * 3, val_loss=[0.9] * 3)
    finish(middle, [0.1, 0.1, None], val_loss=[0.1, 0.1, None])
    finish(high, [None] * 3, val_loss=[None] * 3)
    (best,) = results.best(results.summarise([low, middle, high]))
    assert best.chosen.run is low
    assert (best.diverged, best.lr_at_edge) == (2, "lowest")


def test_where_every_run_diverges_the_most_stable_is_chosen():
    _, (low, middle, high) = sweep()
    finish(low, [None] * 3)
    finish(middle, [0.5, 0.5, None], val_loss=[0.5, 0.5, None])
    finish(high, [0.4, None, None], val_loss=[0.4, None, None])
    (best,) = results.best(results.summarise([low, middle, high]))
    assert best.chosen.run is middle
    assert best.chosen.status == "diverged"


@pytest.mark.parametrize("rates, edge", [([0.01, 0.1, 1], "highest"), ([1], "only")])
def test_edge_of_the_grid(rates, edge):
    _, runs = sweep(optimizers={"sgd": {"lr": rates}})
    for run in runs:
        finish(run, [1 - run.knobs["lr"] / 2] * 3, val_loss=[1 - run.knobs["lr"] / 2] * 3)
    assert results.best(results.summarise(runs))[0].lr_at_edge == edge


def test_best_is_per_exercise_data_set_model_and_optimizer():
    both = {**SWEEP, "models": ["softmax", "mlp"], "batch_sizes": [50, 100]}
    both["optimizers"] = {"sgd": {"lr": [0.1]}, "adam": {"lr": [0.1]}}
    runs = table.runs(resolved({"one": both, "two": SWEEP}))
    for run in runs:
        finish(run, [0.1] * 3, val_loss=[0.1 if run.batch_size == 100 else 0.2] * 3)
    best = results.best(results.summarise(runs))
    assert [(b.chosen.run.exercise, b.chosen.run.model, b.chosen.run.optimizer) for b in best] == [
        ("one", "softmax", "sgd"),
        ("one", "mlp", "sgd"),
        ("one", "softmax", "adam"),
        ("one", "mlp", "adam"),
        ("two", "softmax", "sgd"),
    ]
    assert all(b.chosen.run.batch_size == 100 for b in best)


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
    assert list(rows[0])[11:16] == ["device", "seeds", "diverged", "status", "train_loss"]
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
    drawn = {run.path for p in pictures.pictures(study, "softmax") for g in p.groups for run in g}
    assert drawn == {run.path for run in runs}


def test_unreadable_file_is_a_user_error():
    _, (run, *_) = sweep()
    Path(run.folder, "metrics.tsv").mkdir(parents=True)
    with pytest.raises(UserError, match="Is a directory"):
        results.summary(run)
    with pytest.raises(UserError, match="Is a directory"):
        results.curves(run)


def test_many_runs_are_read_fast():
    """10,000 runs in 10 s is the aim; here 500 long ones, at a quarter of that pace."""
    _, (run, *_) = sweep()
    rows = [row(run, seed, epoch, 0.1) for seed in range(3) for epoch in range(300)]
    files.write(Path(run.folder, "metrics.tsv"), metrics.text(rows))
    start = time.process_time()
    results.summarise([run] * 500)
    assert time.process_time() - start < 2
