"""The data sets of vectors, breast_cancer and wine, from preparation to the page."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade import resolved, settings, train_one
from sklearn import datasets as theirs

from optlab.catalogue.datasets import SOURCES
from optlab.data import identity, prepare
from optlab.probe import trial
from optlab.study import table
from optlab.training import datasets

ROOT = Path(__file__).parents[1]
# Their examples, the sizes of the parts, and the classes of the test set.
SETS = {
    "breast_cancer": (theirs.load_breast_cancer, [341, 114, 114], [42, 72]),
    "wine": (theirs.load_wine, [106, 36, 36], [12, 14, 10]),
}


def prepared(name, folder="data", **keys):
    """The description and the opened data set."""
    what = {"file": None, "validation": None, "split_seed": 0, "subset": None, **keys}
    path = Path(folder, "d.json")
    prepare.prepare(name, {"source": name, **what}, path, None)
    return json.loads(path.read_text()), datasets.load(path)


def parts(data):
    return [data.train, data.validation, data.test]


@pytest.mark.parametrize("name", SETS)
def test_sizes_and_classes_are_as_published_and_each_example_is_in_one_part(name, here):
    load, sizes, tested = SETS[name]
    description, data = prepared(name)
    x, y = load(return_X_y=True)
    assert [len(part.x) for part in parts(data)] == sizes == list(description["sizes"].values())
    counts = [torch.bincount(part.y) for part in parts(data)]
    assert sum(counts).tolist() == np.bincount(y).tolist()
    assert counts[2].tolist() == tested
    assert tuple((counts[0] + counts[1]).tolist()) == SOURCES[name].per_class
    for count, size in zip(counts, sizes, strict=True):
        assert np.abs(count.numpy() - np.bincount(y) * size / len(y)).max() < 2
    rows = {row.numpy().tobytes() for part in parts(data) for row in part.x}
    assert len(rows) == len(x) == sum(sizes)
    assert data.train.x.dtype == torch.float32 and data.shape == (x.shape[1],)
    assert (data.task, data.classes) == ("classification", len(counts[0]))
    assert "standardised" in description["split"]


@pytest.mark.parametrize("name", SETS)
def test_inputs_are_standardised_by_what_is_not_tested(name, here):
    load, _, _ = SETS[name]
    _, data = prepared(name)
    known = torch.cat([data.train.x, data.validation.x]).double()
    torch.testing.assert_close(known.mean(0), torch.zeros_like(known[0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(known.std(0, correction=0), torch.ones_like(known[0]))
    assert data.test.x.double().mean(0).abs().max() > 0.01  # nothing of theirs was used
    # Standardised over all examples, they are scikit-learn's with their classes.
    x, y = (torch.from_numpy(array) for array in load(return_X_y=True))
    seen = torch.cat([known, data.test.x.double()])
    distances = torch.cdist(*((one - one.mean(0)) / one.std(0) for one in (seen, x)))
    least, places = distances.min(1)
    assert least.max() < 1e-4 and sorted(places.tolist()) == list(range(len(x)))
    assert torch.equal(torch.cat([part.y for part in parts(data)]), y[places])


@pytest.mark.parametrize("name", SETS)
def test_tests_and_inputs_are_the_same_for_every_split(name, here):
    first, data = prepared(name, "a")
    again, _ = prepared(name, "b")
    other, another = prepared(name, "c", split_seed=1)
    assert first["sha256"] == again["sha256"] != other["sha256"]
    assert torch.equal(data.test.x, another.test.x) and torch.equal(data.test.y, another.test.y)
    assert not torch.equal(data.validation.x, another.validation.x)

    def rows(data):
        return {row.numpy().tobytes() for part in (data.train, data.validation) for row in part.x}

    assert rows(data) == rows(another)


@pytest.mark.parametrize(("name", "accuracy"), [("breast_cancer", 0.95), ("wine", 0.94)])
def test_softmax_regression_learns_them(name, accuracy, here):
    _, data = prepared(name)
    torch.set_num_threads(1)
    run = settings("softmax", "adam", {"lr": 0.01}, batch_size=32, epochs=30)
    last = train_one(run, data, 0).evaluations[-1]
    assert last.test_accuracy >= accuracy and last.val_accuracy >= accuracy


@pytest.mark.parametrize("name", SETS)
def test_the_probe_imitates_them_as_what_they_are(name, here):
    study = resolved(
        {"one": {"datasets": [name], "models": ["mlp"], "optimizers": {"sgd": {"lr": [0.1]}}}}
    )
    (run,) = table.runs(study)
    found = trial.data_of(study, run)
    _, data = prepared(name)
    assert found.train.x.shape == data.train.x.shape and found.train.x.dtype == data.train.x.dtype
    assert (found.shape, found.classes) == (data.shape, data.classes)
    assert identity.size(run.data, name, None) == (len(data.train.x), data.shape)


STUDY = """\
study: vectors
seeds: 2
confirm: 4
device: cpu
exercises:
  fit:
    datasets: [breast_cancer, Wine]
    models: [mlp]
    epochs: [2]
    batch_sizes: [50]
    vary: [weights, order, split]
    target_accuracy: 0.5
    optimizers:
      sgd: {lr: [0.1, 0.2]}
      adam: {lr: [0.01]}
"""


@pytest.mark.slow
def test_a_study_of_vectors_has_tables_figures_and_a_page(here):
    Path("s.yaml").write_text(STUDY)
    program = str(ROOT / "workflow/scripts/check.py")
    subprocess.run([sys.executable, program, "--study", "s.yaml"], check=True, capture_output=True)
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    command += ["--configfile", "s.yaml", "--cores", "2"]
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    folder = Path("results/vectors")
    best = (folder / "tables/optimizers.tsv").read_text()
    assert best.count("\tbreast_cancer\t") == best.count("\twine\t") == 2  # optimizers
    pictures = [path.stem for path in folder.glob("figures/fit/*.svg")]
    page = (folder / "index.html").read_text()
    for name in SETS:
        assert f"{name}-accuracy" in pictures and f"{name}-accuracy" in page, pictures
