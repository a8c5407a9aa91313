"""Event files for TensorBoard, read back by TensorBoard itself."""

from pathlib import Path

import pytest
from cutting import cut_before
from handmade import CLASSES, resolved

import train
from optlab.catalogue.datasets import built_in
from optlab.data import identity, prepare
from optlab.runs import events, metrics
from optlab.study import table

WORDS = "--dataset digits --model softmax --batch-size 100 --epochs 3 --device cpu --lr 0.1"
FIGURES = {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
FIGURES |= {"test_loss", "test_accuracy", "best_test_loss", "best_test_accuracy"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    definition = built_in("digits")
    file = folder / Path(identity.prepared_path("digits", definition)).name
    prepare.prepare("digits", definition, file, None)
    return folder


@pytest.fixture
def lab(here, data):
    Path("results").mkdir()
    Path("results/data").symlink_to(data)
    return here


def trained(*more, status=0):
    assert train.main([*WORDS.split(), "--output", "out", *more]) == status


def seen(seed):
    """What TensorBoard shows of a seed: by tag, the places and the values of its points."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(f"out/tensorboard/seed-{seed}", size_guidance={"scalars": 0})
    read.Reload()
    return {
        tag: [(event.step, pytest.approx(event.value)) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def said(seed):
    """The same by metrics.tsv."""
    rows = [row for row in metrics.read(Path("out/metrics.tsv")) if row["seed"] == str(seed)]
    return {
        f"{axis}/{name}": [(int(row[axis]), float(row[name])) for row in rows if row[name]]
        for axis in ("step", "epoch")
        for name in FIGURES
    }


def files():
    return sorted(Path("out").rglob("events.out.tfevents.*"))


def test_tensorboard_shows_the_metrics_by_step_and_by_epoch(lab):
    trained("--log-to", "tensorboard", "--seeds", "2")
    for seed in (0, 1):
        assert said(seed) == seen(seed)
    assert len(said(0)["epoch/val_loss"]) == 4 and len(files()) == 2


def test_an_interrupted_run_shows_no_row_twice(lab, monkeypatch):
    Cut = cut_before(33 + 30)  # in the last epoch of the second seed
    monkeypatch.setattr(train, "Checkpoints", Cut)
    words = ("--log-to", "tensorboard", "--seeds", "2")
    trained(*words, status=1)
    assert [place for place, _ in seen(1)["epoch/val_loss"]] == [0, 1, 2]  # while it trains
    Cut.step = 0
    trained(*words)
    assert Cut.calls < 33 + 30 + 33 and len(files()) == 2
    for seed in (0, 1):
        assert said(seed) == seen(seed)


def test_a_finished_run_gets_and_loses_event_files_without_training(lab, capsys):
    trained("--seeds", "2")
    capsys.readouterr()
    trained("--seeds", "2", "--log-to", "tensorboard")
    assert said(1) == seen(1) and len(files()) == 2
    trained("--seeds", "3", "--log-to", "tensorboard")
    assert said(0) == seen(0) and said(2) == seen(2) and len(files()) == 3
    told = capsys.readouterr().out
    assert "seed 3/3" in told and "seed 1/" not in told
    trained("--seeds", "3")
    assert not files() and not Path("out/tensorboard").exists()


def test_without_the_package_it_is_one_line_that_says_how_to_get_it(lab, capsys, monkeypatch):
    monkeypatch.setattr(events.util, "find_spec", lambda name: None)
    trained("--log-to", "tensorboard", status=1)
    told = capsys.readouterr().err
    assert told.endswith("needs a package that is missing: pip install tensorboard==2.21.0\n")
    assert told.count("\n") == 1
    pinned = (Path(__file__).parents[1] / "requirements.txt").read_text().splitlines()
    assert events.PINNED in pinned


def test_the_key_of_a_study_is_that_of_its_exercises():
    sweep = {**CLASSES, "optimizers": {"sgd": {"lr": [0.1]}}}
    made = resolved({"one": sweep, "two": {**sweep, "log": "none"}}, log="tensorboard")
    assert [run.log_to for run in table.runs(made)] == ["tensorboard", None]
    assert "--log-to" in table.runs(made)[0].options()


def test_a_run_that_ends_by_the_clock_is_shown_by_whole_epochs(lab):
    words = [word for word in WORDS.split() if word not in ("--epochs", "3")]
    words += ["--minutes", "0.001", "--output", "out"]
    assert train.main(words) == 0
    assert train.main([*words, "--log", "tensorboard"]) == 0  # of the rows that are there
    rows = metrics.read(Path("out/metrics.tsv"))
    for axis in ("step", "epoch"):
        points = [(int(float(row[axis])), float(row["val_loss"])) for row in rows]
        assert seen(0)[f"{axis}/val_loss"] == points
