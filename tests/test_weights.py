"""The weights that a run keeps: what is in the files, when they are made again, and prediction."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from cutting import cut_before

import train
from optlab import errors, trained
from optlab.catalogue.datasets import built_in
from optlab.data import identity, prepare
from optlab.runs import metrics
from optlab.study import reading

ROOT = Path(__file__).resolve().parents[1]
DIGITS = "--dataset digits --model softmax --batch-size 100 --epochs 3 --device cpu --lr 0.1"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The prepared data sets."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("digits", "wine", "diabetes", "line"):
        definition = built_in(name)
        file = folder / Path(identity.prepared_path(name, definition)).name
        prepare.prepare(name, definition, file, None)
    return folder


@pytest.fixture
def lab(here, data):
    """A folder in which the data sets are prepared."""
    Path("results").mkdir()
    Path("results/data").symlink_to(data)
    return here


def trained_by(words, *more, status=0):
    assert train.main([*words.split(), "--output", "out", *more]) == status
    return json.loads(Path("out/run.json").read_text()) if status == 0 else None


def rows_of(seed):
    return [row for row in metrics.read(Path("out/metrics.tsv")) if row["seed"] == str(seed)]


def contents():
    return {file.name: file.read_bytes() for file in Path("out").glob("weights-*.pt")}


def by_hand(weights, images):
    """The outputs of softmax regression on images of 0 to 16, without any of our code."""
    matrix, bias = weights.values()
    return torch.as_tensor(images).reshape(len(images), -1).float() / 16 @ matrix.T + bias


def test_the_last_weights_give_the_figures_of_the_last_row(lab, capsys):
    record = trained_by(DIGITS, "--keep-weights", "last", "--seeds", "2")
    tensors = torch.load(Path(record["settings"]["data"]).with_suffix(".pt"))
    for seed in (0, 1):
        weights = torch.load(f"out/weights-{seed}.pt", weights_only=True)
        outputs = by_hand(weights, tensors["x_test"])
        accuracy = (outputs.argmax(1) == tensors["y_test"]).double().mean()
        loss = torch.nn.functional.cross_entropy(outputs, tensors["y_test"])
        last = rows_of(seed)[-1]
        assert float(accuracy) == pytest.approx(float(last["test_accuracy"]), abs=1e-12)
        assert float(loss) == pytest.approx(float(last["test_loss"]), rel=1e-6)
        net = trained.load("out", seed)
        assert (net.seed, net.epoch) == (seed, 3)
        torch.testing.assert_close(net(tensors["x_test"]), outputs)
        assert torch.equal(net.predict(tensors["x_test"].numpy()), outputs.argmax(1))
    assert record["seeds"][0]["kept_weights"]["of"] == "last"
    assert "--keep-weights last" in record["command"]


def agree(seed):
    """Whether the weights of a seed give the test accuracy of its last row."""
    net = trained.load("out", seed)
    tensors = torch.load(Path(net.run.data).with_suffix(".pt"))
    right = (net.predict(tensors["x_test"]) == tensors["y_test"]).double().mean()
    return float(right) == pytest.approx(float(rows_of(seed)[-1]["test_accuracy"]), abs=1e-12)


def test_stacked_seeds_have_weights_of_their_own(lab):
    trained_by(DIGITS, "--keep-weights", "last", "--seeds", "3", "--replicates", "together")
    assert len(set(contents().values())) == 3
    assert all(agree(seed) for seed in range(3))
    # Of views into a stack, each file would hold the whole stack.
    assert max(map(len, contents().values())) < 2 * 4 * 650 + 2000


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [{}, {"optimizer": "schedulefree:AdamWScheduleFree"}])
def test_weights_of_several_processes_and_of_averaged_ones_give_their_figures(lab, schedule):
    words = [*DIGITS.split(), "--keep-weights", "last", "--output", "out"]
    words += ["--optimizer", schedule["optimizer"]] if schedule else ["--gpus", "2"]
    program = ROOT / "workflow/scripts/train.py"
    subprocess.run([sys.executable, str(program), *words, "--log-to", "tensorboard"], check=True)
    assert agree(0) and list(Path("out/tensorboard/seed-0").iterdir())


def test_the_best_weights_are_those_of_the_lowest_validation_loss(lab):
    words = "--dataset digits --model mlp --epochs 8 --device cpu --optimizer adam --lr 0.1"
    record = trained_by(words, "--keep-weights", "best")
    last = rows_of(0)[-1]
    lowest = min(rows_of(0), key=lambda row: float(row["val_loss"]))
    assert last["best_epoch"] == lowest["epoch"] != last["epoch"]  # else nothing is shown
    net = trained.load("out")
    assert net.epoch == record["seeds"][0]["kept_weights"]["epoch"] == int(lowest["epoch"])
    tensors = torch.load(Path(record["settings"]["data"]).with_suffix(".pt"))
    right = (net.predict(tensors["x_test"]) == tensors["y_test"]).double().mean()
    assert float(right) == pytest.approx(float(last["best_test_accuracy"]), abs=1e-12)


def test_rows_of_a_table_are_predicted_in_their_own_units(lab):
    from sklearn.datasets import load_wine

    words = "--dataset wine --model softmax --epochs 3 --device cpu --keep-weights last"
    record = trained_by(words)
    net, (rows, kinds) = trained.load("out"), load_wine(return_X_y=True)
    tensors = torch.load(Path(record["settings"]["data"]).with_suffix(".pt"))
    given = {tuple(row.tolist()) for row in net.inputs(rows)}
    parts = [tensors[f"x_{part}"] for part in ("train", "validation", "test")]
    assert given == {tuple(row.tolist()) for row in torch.cat(parts)}
    assert (net.predict(rows).numpy() == kinds).mean() > 0.9


def test_a_regression_of_several_targets_is_predicted(lab):
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    y = x @ np.array([[1, 2, 3], [0, 1, 0]], np.float32)
    np.savez("three.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    file = Path("three.json")
    prepare.prepare("three", {"source": "npz", "file": "three.npz"}, file, None)
    words = "--data three.json --model mlp --epochs 1 --batch-size 10 --device cpu"
    trained_by(words, "--keep-weights", "last")
    assert trained.load("out").predict(x).shape == (60, 3)


def test_by_hand_a_network_or_patience_that_does_not_fit_is_a_line(lab, capsys):
    for words, line in (
        (
            "--dataset digits --model lstm",
            "the network lstm needs texts, and this data set has none",
        ),
        ("--dataset line --model linear --batch-size 4 --patience 2", "there are no validation"),
    ):
        trained_by(words, status=1)
        (told,) = capsys.readouterr().err.splitlines()
        assert line in told


def test_by_hand_another_loss_or_precision_has_a_folder_of_its_own(lab):
    words = "--dataset diabetes --model linear --epochs 1 --device cpu"
    for more in ("", "--loss huber", "--precision float64"):
        assert train.main(f"{words} {more}".split()) == 0
    assert len(list(Path("results/by-hand").rglob("run.json"))) == 3


def test_targets_of_a_regression_are_predicted_in_their_own_units(lab):
    from sklearn.datasets import load_diabetes

    words = "--dataset diabetes --model linear --epochs 20 --device cpu --keep-weights last"
    trained_by(words)
    rows, targets = load_diabetes(return_X_y=True, scaled=False)
    errors = trained.load("out").predict(rows).numpy()[:, 0] - targets
    assert (errors**2).mean() < 0.6 * targets.var()


def test_images_in_each_layout_and_only_of_bytes(lab):
    trained_by(DIGITS, "--keep-weights", "last")
    net, images = trained.load("out"), torch.randint(17, (5, 8, 8), dtype=torch.uint8)
    expected = net(images)
    for same in (images[:, None], images[:, :, :, None]):
        assert torch.equal(net(same), expected)
    before = torch.get_rng_state()
    trained.load("out")
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(errors.UserError, match="are uint8, and these are float32"):
        net(images.float())
    with pytest.raises(errors.UserError, match=r"has the shape \[1, 8, 8\], and these have \[8\]"):
        net(images[0])


def test_added_deleted_and_damaged_weights_train_their_seed_alone(lab, capsys):
    def seeds_trained(*more):
        capsys.readouterr()
        trained_by(DIGITS, *more)
        told = capsys.readouterr().out
        return [n for n in (1, 2, 3) if f"seed {n}/" in told]

    keeping = ("--keep-weights", "last", "--seeds")
    assert seeds_trained(*keeping, "2") == [1, 2]
    two = contents()
    assert seeds_trained(*keeping, "3") == [3]
    three, table = contents(), without_seconds()
    assert three.items() > two.items()
    Path("out/weights-1.pt").unlink()
    Path("out/weights-2.pt").write_bytes(three["weights-2.pt"][:-1])
    assert seeds_trained(*keeping, "3") == [2, 3]
    assert contents() == three and without_seconds() == table
    assert seeds_trained(*keeping, "1") == [] and contents() == three
    assert seeds_trained("--seeds", "3") == [] and contents() == three  # they stay
    assert seeds_trained("--keep-weights", "best", "--seeds", "2") == [1, 2]
    assert without_seconds() == table
    assert seeds_trained("--seeds", "2", "--precision", "float64") == [1, 2]
    assert contents() == {}  # of other settings


def without_seconds():
    return [{**row, "seconds": ""} for row in metrics.read(Path("out/metrics.tsv"))]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_interrupted_run_keeps_the_same_weights(lab, monkeypatch, keep):
    words = f"{DIGITS} --optimizer adam --seeds 2 --keep-weights {keep}"
    trained_by(words)
    undisturbed, table = contents(), without_seconds()
    for file in Path("out").iterdir():
        file.unlink()

    Cut = cut_before(40)  # in the second seed, which has 33 as the first
    monkeypatch.setattr(train, "Checkpoints", Cut)
    trained_by(words, status=1)
    assert contents() == {}
    Cut.step = 0
    trained_by(words)
    assert Cut.calls < 33 + 40 and contents() == undisturbed and without_seconds() == table


OWN = """\
import torch

class Net(torch.nn.Linear):
    def __init__(self, shape, outputs):
        super().__init__(shape[0], outputs)

    def get_extra_state(self):
        return {extra}

    def set_extra_state(self, state):
        {body}
"""


def test_a_run_that_fails_has_files_without_weights_and_says_why(lab):
    text = OWN.format(extra="torch.nn.ReLU()", body="pass")
    Path("net.py").write_text(text)
    words = "--dataset line --model net.py:Net --batch-size full --epochs 2 --device cpu"
    more = ("--keep-weights", "last", "--seeds", "2", "--record-failure")
    record = trained_by(words, *more)
    assert "the state_dict of net.py:Net holds what" in record["failure"]
    assert [torch.load(f"out/weights-{seed}.pt", weights_only=True) for seed in (0, 1)] == [{}, {}]
    with pytest.raises(errors.UserError, match="the run failed: the state_dict of"):
        trained.load("out")
    text = OWN.format(extra="{'a': torch.ones(2)}", body="self.a = state['a']")
    Path("fine.py").write_text(text)
    assert "failure" not in trained_by(words.replace("net.py", "fine.py"), *more)
    assert trained.load("out").model.a.tolist() == [1, 1]


def test_what_cannot_be_read_is_one_line(lab):
    def refused(words, folder="out", seed=None):
        with pytest.raises(errors.UserError, match=words) as found:
            trained.load(folder, seed)
        assert "\n" not in str(found.value)

    refused("not the folder of a finished run", ".")
    trained_by(DIGITS)
    refused("kept no weights; give its exercise keep_weights: last")
    trained_by(DIGITS, "--keep-weights", "last")
    refused("no weights of seed 7; there are those of 0", seed=7)
    Path("out/weights-0.pt").write_bytes(b"nothing")
    refused("weights-0.pt: damaged: not the weights that run.json describes")
    Path("out/weights-0.pt").unlink()
    refused("weights-0.pt: cannot be read: No such file")


@pytest.mark.parametrize(
    ("keep", "line"),
    [
        (
            "lst",
            "study.yaml:5: exercises.fit.keep_weights: 'lst' is not known; did you mean 'last'",
        ),
        ("best", "study.yaml:5: exercises.fit.keep_weights: best: the data set line has no valid"),
    ],
)
def test_a_mistake_is_one_line(write, keep, line):
    old = "    datasets: [line]\n"
    with pytest.raises(errors.UserError) as found:
        reading.load(write({old: f"    keep_weights: {keep}\n{old}"}))
    assert str(found.value).startswith(line) and "\n" not in str(found.value)


def test_by_hand_the_best_of_no_validation_examples_is_refused(lab, capsys):
    words = "--dataset line --model linear --batch-size full --epochs 2 --device cpu"
    trained_by(words, "--keep-weights", "best", status=1)
    assert "error: keep_weights: best needs validation examples" in capsys.readouterr().err


STUDY = """\
study: tiny
seeds: 2
device: cpu
exercises:
  fit:
    datasets: [digits]
    models: [softmax]
    epochs: [2]
    keep_weights: last
    confirm: 4
    optimizers:
      sgd: {lr: [0.01, 0.1]}
  plain:
    datasets: [line]
    models: [linear]
    epochs: [2]
    batch_sizes: [full]
    optimizers:
      sgd: {lr: [0.01]}
"""


@pytest.mark.slow
def test_the_workflow_knows_the_weights(here):
    def call(*words):
        snakefile = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml")
        command = [sys.executable, "-m", "snakemake", *snakefile, "--cores", "2", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines = (done.stdout + done.stderr).splitlines()
        return Counter(one.split()[-1][:-1] for one in lines if one.lstrip().startswith("rule "))

    Path("study.yaml").write_text(STUDY)
    call()
    files = sorted(Path("results").rglob("weights-*.pt"))
    assert len(files) == 2 * 2 + 4
    net = trained.load(next(f for f in files if f.name == "weights-100000.pt").parent)
    assert net.seed == 100_000 and net.predict(torch.zeros(1, 8, 8, dtype=torch.uint8)).shape == (
        1,
    )
    planned = ("-n", "--verbose")
    assert not call(*planned)["train_fit"]
    deleted = next(file for file in files if file.name == "weights-1.pt")
    content = deleted.read_bytes()
    deleted.unlink()
    assert call(*planned)["train_fit"] == 1
    call()
    assert deleted.read_bytes() == content and not call(*planned)["train_fit"]
    Path("study.yaml").write_text(STUDY.replace("keep_weights: last", "keep_weights: best"))
    jobs = call(*planned)
    assert (jobs["train_fit"], jobs["confirm"], jobs["train"]) == (2, 1, 0)
    Path("study.yaml").write_text(STUDY.replace("    keep_weights: last\n", ""))
    assert call(*planned)["train"] == 2  # which train nothing: the run notes what it is to keep
