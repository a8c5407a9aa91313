"""Data of the user's own: what is read, held out and noted, and trained as by a plain loop."""

import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from handmade import resolved, settings, train_one
from PIL import Image
from sklearn.datasets import dump_svmlight_file, load_diabetes
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from optlab.data import archives, identity, known, listing, prepare
from optlab.errors import UserError
from optlab.study import table
from optlab.training import datasets, draws
from optlab.training.batches import Batches

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _folder(here):
    identity._remembered_digest.cache_clear()


def definition(source, **keys):
    return {"source": source, "validation": None, "split_seed": 0, "subset": None, **keys}


def prepared(what, name="mine"):
    """The description and the opened data set, both where a study has them."""
    path = Path(identity.prepared_path(name, what))
    prepare.prepare(name, what, path, None)
    return json.loads(path.read_text()), datasets.load(path)


def refused(message):
    return pytest.raises(UserError, match=rf"\A[^\n]*{re.escape(message)}[^\n]*\Z")


def in_a_study(what, **exercise):
    """A study with one sweep over the data set."""
    one = {"datasets": ["mine"], "models": ["softmax"], "optimizers": {"sgd": {"lr": [0.1]}}}
    one |= {"epochs": [1], "batch_sizes": [2], **exercise}
    return resolved({"one": one}, datasets={"mine": {k: v for k, v in what.items() if v}})


def trains_like_a_plain_loop(data, lr=0.1, loss=functional.cross_entropy):
    """An epoch of SGD on softmax regression ends at the losses of a plain loop."""
    size = max(2, len(data.train.x) // 3)
    run = settings("softmax", "sgd", {"lr": lr}, batch_size=size, epochs=1)
    last = train_one(run, data, 0).evaluations[-1]
    inputs = [part.x.flatten(1).double() * data.scale for part in parts(data)]
    weight = torch.zeros(data.classes, inputs[0].shape[1], dtype=torch.double)
    bias = torch.zeros(data.classes, dtype=torch.double)
    for rows in Batches(run, data, 0).order(1).split(size):
        weight.requires_grad_(), bias.requires_grad_()
        loss = functional.cross_entropy(inputs[0][rows] @ weight.T + bias, data.train.y[rows])
        gradients = torch.autograd.grad(loss, (weight, bias))
        weight, bias = (w.detach() - lr * g for w, g in zip((weight, bias), gradients, strict=True))
    expected = [
        float(functional.cross_entropy(x @ weight.T + bias, part.y))
        for x, part in zip(inputs, parts(data), strict=True)
    ]
    assert [last.train_loss, last.val_loss, last.test_loss] == pytest.approx(expected, rel=1e-6)


def trains_a_regression_like_a_plain_loop(data, lr=0.05):
    """The same of linear regression and the mean squared error."""
    size = max(2, len(data.train.x) // 3)
    run = settings("softmax", "sgd", {"lr": lr}, batch_size=size, epochs=1)
    last = train_one(run, data, 0).evaluations[-1]
    x, y = data.train.x.double(), data.train.y.double()
    weight, bias = torch.zeros(1, x.shape[1], dtype=torch.double), torch.zeros(1).double()
    for rows in Batches(run, data, 0).order(1).split(size):
        error = x[rows] @ weight.T + bias - y[rows]
        weight = weight - 2 * lr * (error.T @ x[rows]) / len(rows)
        bias = bias - 2 * lr * error.mean(0)
    found = [last.train_loss, last.val_loss, last.test_loss]
    expected = [
        float(((part.x.double() @ weight.T + bias - part.y) ** 2).mean()) for part in parts(data)
    ]
    assert found == pytest.approx(expected, rel=1e-6)


def parts(data):
    return [data.train, data.validation, data.test]


def counts(data):
    return [len(part.x) for part in parts(data)]


# -- arrays ------------------------------------------------------------------------------------


def arrays(train=40, val=12, test=10, classes=2, seed=0):
    """Random examples of four inputs; a part of size 0 is not there."""
    random = np.random.default_rng(seed)
    found = {}
    for part, size in {"train": train, "val": val, "test": test}.items():
        if size:
            found[f"x_{part}"] = random.standard_normal((size, 4)).astype(np.float32)
            found[f"y_{part}"] = np.arange(size) % classes
    return found


def saved(found, file="mine.npz"):
    np.savez(file, **found)
    return definition("npz", file=file)


def rows(x):
    return {row.tobytes() for row in np.asarray(x)}


def test_a_validation_set_of_its_own_is_whole_and_nothing_is_held_out():
    found = arrays()
    description, data = prepared(saved(found))
    assert counts(data) == [40, 12, 10] == list(description["sizes"].values())
    for part, name in zip(parts(data), ("train", "val", "test"), strict=True):
        assert rows(part.x) == rows(found[f"x_{name}"])
    assert "validation set as in the file" in description["split"] and "notes" not in description
    trains_like_a_plain_loop(data)


def test_without_a_test_set_a_fifth_of_each_class_is_one_whatever_the_seed_and_the_order():
    found = arrays(train=50, val=0, test=0)
    what = saved(found)
    description, data = prepared(what)
    assert counts(data) == [33, 7, 10] and torch.bincount(data.test.y).tolist() == [5, 5]
    assert "10 of the 50 examples, stratified by class" in description["split"]
    (note,) = description["notes"]
    assert note == "there is no test set, so that 10 of the 50 examples, stratified by class, " \
        "the same for every seed, are one"  # fmt: skip
    order = np.random.default_rng(1).permutation(50)
    mixed = saved({name: array[order] for name, array in found.items()}, "mixed.npz")
    for other in ({**what, "split_seed": 3}, {**mixed, "split_seed": 3}):
        again = prepared(other)[1]
        assert torch.equal(again.test.x, data.test.x)
        assert not torch.equal(again.validation.x, data.validation.x)
    assert not rows(data.test.x) & (rows(data.train.x) | rows(data.validation.x))
    trains_like_a_plain_loop(data)


@pytest.mark.parametrize(("val", "test"), [(12, 10), (12, 0), (0, 10), (0, 0)])
@pytest.mark.parametrize("subset", [None, 20])
def test_sizes_are_known_from_the_headers(val, test, subset):
    what = {**saved(arrays(val=val, test=test)), "subset": subset}
    _, data = prepared(what)
    assert known.sizes(what) == (len(data.train.x), len(data.validation.x))
    assert known.source(what).examples == 40 - (0 if test else 8)
    if subset:
        drawn = known.drawn(what)
        assert drawn == {"subset": 20, "subset_validation": 0 if val else 3}


def test_only_files_with_a_validation_set_have_another_path():
    # Written down before there were validation sets of one's own.
    found = arrays(val=0)
    before = identity.prepared_path("mine", saved(found))
    content = identity._digest(Path("mine.npz"))
    plain = {"format": 1, "content": content, "source": "npz"}
    plain |= {"validation": None, "split_seed": 0, "subset": None}
    assert before == f"results/data/mine-{identity._hash(plain)}.json"
    assert identity.prepared_path("d", definition("digits")) == "results/data/d-9eb7a8d24ade.json"
    what = saved(arrays())
    content = identity._digest(Path("mine.npz"))
    ignored = f"results/data/mine-{identity._hash({**plain, 'content': content})}.json"
    assert identity.prepared_path("mine", what) != ignored


def test_a_subset_leaves_a_validation_set_of_its_own_whole():
    what = {**saved(arrays()), "subset": 20}
    description, data = prepared(what)
    assert counts(data) == [20, 12, 10] and "cut to 20 of 40" in description["split"]
    (run,) = table.runs(in_a_study(what, vary=["weights", "order", "subset"], seeds=1))
    assert (run.subset, run.subset_validation) == (20, 0)
    _, whole = prepared(identity.whole(what))
    first, second = (draws.of_seed(run, whole, seed) for seed in (0, 1))
    assert rows(first.train.x) != rows(second.train.x) and len(first.train.x) == 20
    assert rows(first.train.x) <= rows(whole.train.x)
    assert torch.equal(first.validation.x, whole.validation.x)
    assert draws.sizes(run, whole) == {"train": 20, "validation": 12, "test": 10}


def test_a_validation_set_of_its_own_is_neither_held_out_nor_drawn():
    what = saved(arrays())
    with refused("datasets.mine.validation: there is a validation set of its own"):
        in_a_study({**what, "validation": 5})
    with refused("validation: there is a validation set of its own"):
        prepare.prepare("mine", {**what, "validation": 5}, Path("out/m.json"), None)
    with refused("split: the data set mine has a validation set of its own, which is not drawn"):
        in_a_study(what, vary=["split"])
    _, data = prepared(what)
    with refused("mine has a validation set of its own, which is not drawn"):
        draws.of_seed(settings("softmax", "sgd", {"lr": 1}, vary=["split"]), data, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_val": None}, "array y_val is missing"),
        ({"x_test": None}, "array x_test is missing"),
        ({"y_val": np.arange(11) % 2}, "x_val has 12 rows and y_val 11; they must be equal"),
        ({"y_val": np.arange(12)}, "array y_val holds the label 11; the classes of y_train are"),
        (
            {"x_val": np.zeros((12, 5), "f4")},
            "an example of x_train is stored as float32 [4] and one of x_val as",
        ),
    ],
)
def test_a_broken_validation_set_is_told_in_one_line(change, message):
    found = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    with refused(f"mine.npz: {message}"):
        prepare.prepare("mine", saved(found), Path("out/mine.json"), None)
    assert os.listdir("out") == []


# -- a regression ------------------------------------------------------------------------------


def test_diabetes_is_standardised_by_what_is_not_tested():
    description, data = prepared(definition("diabetes"), "diabetes")
    assert counts(data) == [266, 88, 88] and data.shape == (10,) and data.task == "regression"
    seen = [
        torch.cat([data.train.x, data.validation.x]),
        torch.cat([data.train.y, data.validation.y]),
    ]
    for values in seen:
        torch.testing.assert_close(values.mean(0), torch.zeros(values.shape[1]), rtol=0, atol=1e-6)
        torch.testing.assert_close(values.std(0, correction=0), torch.ones(values.shape[1]))
    assert data.test.y.mean().abs() > 0.01  # nothing of theirs was used
    # All are scikit-learn's, standardised by its own class on the examples that are not tested.
    x, y = load_diabetes(return_X_y=True, scaled=False)
    whole = np.concatenate(
        [
            *seen,
        ],
        axis=1,
    )
    tested = np.concatenate([data.test.x, data.test.y], axis=1)
    theirs = np.column_stack([x, y])
    scale = StandardScaler().fit(theirs)
    ours = StandardScaler().fit(np.concatenate([whole, tested]))
    found = ours.transform(np.concatenate([whole, tested]))
    distances = np.abs(found[:, None] - scale.transform(theirs)[None]).max(axis=2)
    assert distances.min(axis=1).max() < 1e-5 and len(set(distances.argmin(axis=1))) == 442
    _, other = prepared(definition("diabetes", split_seed=1), "diabetes")
    assert torch.equal(other.test.x, data.test.x)
    assert not torch.equal(other.validation.x, data.validation.x)
    assert "88 of the 442 examples, drawn at random" in description["split"]
    assert known.sizes(definition("diabetes")) == (266, 88)
    trains_a_regression_like_a_plain_loop(data)


# -- tables ------------------------------------------------------------------------------------


def table_of(rows=60, seed=0):
    """Numbers with missing ones, texts with missing ones, a name and a target of three classes."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 9, rows).round(2),
            "city": random.choice(["Bern", "Aarau", "Chur"], rows),
            "id": [f"row {n}" for n in range(rows)],
            "member": random.random(rows) < 0.5,
            "kind": random.choice(["b", "c", "a"], rows),
        }
    )
    frame.loc[[3, 8], "age"] = np.nan
    frame.loc[[5, 20, 33], "city"] = None
    return frame


def saved_table(frame, file="mine.csv", **keys):
    if file.endswith("csv"):
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file)
    return definition(Path(file).suffix[1:], file=file, **{"target": "kind", **keys})


@pytest.mark.parametrize("file", ["mine.csv", "mine.parquet"])
def test_a_table_becomes_what_pandas_and_scikit_learn_make_of_it(file):
    frame = table_of()
    description, data = prepared(saved_table(frame, file, drop=["id"]))
    assert counts(data) == [40, 8, 12] and description["class_names"] == ["a", "b", "c"]
    assert data.shape == (1 + 1 + 4 + 2,)
    whole = torch.cat([part.x for part in parts(data)]).numpy()
    y = torch.cat([part.y for part in parts(data)]).numpy()
    # Which rows are tested is all that is taken from ours.
    hot = pd.get_dummies(frame[["city", "member"]], columns=["city", "member"])
    flags = np.column_stack([frame["age"].isna(), frame["city"].isna(), hot]).astype("f4")
    order = [
        [at for at in range(60) if (flags[at] == row[1:]).all() and kinds[at] == label]
        for kinds in [frame["kind"].map({"a": 0, "b": 1, "c": 2}).to_numpy()]
        for row, label in zip(whole, y, strict=True)
    ]
    assert all(order)
    ages = frame["age"].to_numpy()
    seen = np.sort(whole[:48, 0][whole[:48, 1] == 0])
    assert abs(seen.mean()) < 1e-6 and seen.std() == pytest.approx(1, abs=1e-6)
    # Standardising is one line through all numbers, the same for the test set.
    known_ages = np.sort(ages[~np.isnan(ages)])
    ours = np.sort(whole[:, 0][whole[:, 1] == 0].astype(np.float64))
    slope, shift = np.polyfit(known_ages, ours, 1)
    assert np.abs(slope * known_ages + shift - ours).max() < 1e-5
    assert (whole[:, 0][whole[:, 1] == 1] == 0).all()  # the mean stands for what is missing
    assert torch.bincount(data.test.y).sum() == 12
    trains_like_a_plain_loop(data)


def test_a_regression_of_a_table_is_standardised_and_can_be_undone():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=50), "price": random.normal(9, 2, 50)})
    description, data = prepared(saved_table(frame, target="price"))
    assert (data.task, data.classes, data.shape) == ("regression", None, (1,))
    note = description["notes"][-1]
    mean, deviation = map(float, re.findall(r"minus (\S+), divided by (\S+)", note)[0])
    whole = torch.cat([part.y for part in parts(data)]).double() * deviation + mean
    np.testing.assert_allclose(np.sort(whole.numpy()[:, 0]), np.sort(frame["price"]), rtol=1e-5)
    seen = torch.cat([data.train.y, data.validation.y]).double()
    assert abs(float(seen.mean())) < 1e-6 and float(seen.std(correction=0)) == pytest.approx(1)
    trains_a_regression_like_a_plain_loop(data)


def test_the_order_of_a_tables_rows_does_not_matter():
    frame = table_of()
    first, _ = prepared(saved_table(frame, drop=["id"]))
    mixed, _ = prepared(saved_table(frame.sample(frac=1, random_state=0), "m.csv", drop=["id"]))
    assert first == mixed


def test_a_table_may_have_a_test_set_in_a_file_of_its_own():
    frame = table_of(80).drop(columns="id")
    frame[60:].to_csv("test.csv", index=False)
    frame.loc[70, "city"] = "Uster"  # in no example that is seen
    frame[60:].to_csv("test.csv", index=False)
    description, data = prepared(saved_table(frame[:60], test_file="test.csv"))
    assert counts(data) == [50, 10, 20] and "test set of its own file" in description["split"]
    assert any("'city' in the test set that no other" in note for note in description["notes"])
    labels = frame["kind"][60:].map({"a": 0, "b": 1, "c": 2})
    assert torch.bincount(data.test.y).tolist() == np.bincount(labels).tolist()


def test_a_table_is_known_before_it_is_prepared_and_looked_at_once(monkeypatch):
    what = saved_table(table_of(), drop=["id"])
    study = in_a_study(what)
    assert len([*Path("results/data").glob(".known-*.json")]) == 1
    found = known.source(what)
    known._seen.clear()
    monkeypatch.setattr(known, "PROGRAM", "nowhere.py")  # it is not called again
    assert known.source(what) == found
    description, data = prepared(what)
    assert (found.shape, found.task) == (data.shape, data.task)
    assert list(found.notes) == description["notes"]
    assert known.sizes(what) == (len(data.train.x), len(data.validation.x))
    assert found.per_class == tuple(torch.bincount(torch.cat([data.train.y, data.validation.y])))
    told = known.notes(study)
    assert told[0].startswith("datasets.mine: missing values in 'age' (2), 'city' (3): numbers")
    assert told[1].startswith("datasets.mine: there is no test set, so that 12 of the 60 examples")
    prepared_run = table.runs(study)[0]
    assert prepared_run.data == identity.prepared_path("mine", what)


WHOLE = {"a": np.arange(60) / 3, "kind": np.arange(60) % 4}
GUESSED = {
    "few": ({}, {}, "classification", "holds 4 different whole numbers, which are taken for cl"),
    "many": ({"kind": np.arange(60)}, {}, "regression", "holds 60 different whole numbers, which"),
    "said": ({}, {"task": "regression"}, "regression", "the target is standardised"),
}


@pytest.mark.parametrize("kind", GUESSED)
def test_a_guess_about_the_target_is_noted(kind):
    change, keys, task, note = GUESSED[kind]
    description, data = prepared(saved_table(pd.DataFrame({**WHOLE, **change}), **keys))
    assert data.task == task and sum(note in one for one in description["notes"]) == 1
    assert data.classes == (4 if task == "classification" else None)


def no_value(frame):
    frame.loc[6, "kind"] = None


def infinite(frame):
    frame.loc[6, "age"] = np.inf


TABLES = {
    "target": ({"target": "knid"}, None, "target: mine.csv has no column 'knid'; did you mean 'ki"),
    "drop": ({"drop": ["idd"]}, None, "drop: mine.csv has no column 'idd'; did you mean 'id'?"),
    "drop target": ({"drop": ["kind"]}, None, "drop: 'kind' is the target"),
    "task": ({"task": "regression"}, None, "task: the target 'kind' holds texts, not numbers"),
    "no value": ({}, no_value, "mine.csv: row 7 has no value of the target 'kind'; remove such"),
    "infinite": ({}, infinite, "mine.csv: column 'age' holds inf in row 7"),
    "no file": ({"file": "gone.csv"}, None, "gone.csv: cannot be read"),
    "no target": ({"target": None}, None, "target: source csv needs the name of the target's col"),
    "size": ({"validation": 48}, None, "data set mine: validation: 48 examples asked for"),
    "foreign": ({"source": "npz"}, None, "target: only sources csv, parquet take it, not npz"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_what_is_wrong_with_a_table_is_told_in_one_line(kind):
    keys, spoil, message = TABLES[kind]
    frame = table_of()
    if spoil:
        spoil(frame)
    with refused(message):
        prepare.prepare("mine", {**saved_table(frame), **keys}, Path("out/mine.json"), None)
    assert not Path("out").exists() or os.listdir("out") == []


@pytest.mark.parametrize("kind", ["target", "no file", "no target"])
def test_what_is_wrong_with_a_table_is_told_before_anything_runs(kind):
    keys, _, message = TABLES[kind]
    message = message.replace("gone.csv: cannot be read", "file: there is no file gone.csv")
    with refused(f"datasets.mine.{message}"):
        in_a_study({**saved_table(table_of()), **keys})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,kind\n1,x\n2,y,3\n", "mine.csv: is no such table: Error tokenizing data."),
        ("", "mine.csv: is no such table: No columns to parse"),
        ("a;kind\n1;x\n2;y\n", "target: mine.csv has no column 'kind'; did you mean 'a;kind'?"),
        ("a,kind\n1,x\n", "mine.csv: has 1 rows; two or more are needed"),
        ("kind\nx\ny\n", "mine.csv: there is no column besides the target"),
        ("kind,a,a\nx,1,2\ny,3,4\n", "mine.csv: the column 'a' is there twice"),
        ("a,kind\n1,x\n2,x\n", "mine.csv: the target holds a single class"),
        ("a,kind\n,x\n,y\n", "mine.csv: column 'a' holds no value; name it under `drop`"),
        ("a,kind\n\xff,x\n,y\n", "mine.csv: is no such table: 'utf-8' codec"),
    ],
)
def test_a_file_that_is_no_table_is_told_in_one_line(text, message):
    Path("mine.csv").write_bytes(text.encode("latin-1"))
    with refused(message):
        prepare.prepare(
            "mine", definition("csv", file="mine.csv", target="kind"), Path("out/m.json"), None
        )
    assert os.listdir("out") == []


# -- bags of words -----------------------------------------------------------------------------


def texts(rows=60, seed=0):
    random = np.random.default_rng(seed)
    words = {"sea": ["wave", "ship", "salt", "blue"], "sky": ["cloud", "bird", "blue", "wind"]}
    lines = []
    for number in range(rows):
        label = ["sea", "sky"][number % 2]
        lines.append(f"{label}\t{' '.join(random.choice(words[label], 5))} the {number % 7}x.\n")
    return lines


def saved_texts(lines, file="mine.txt", **keys):
    Path(file).write_text("".join(lines))
    return definition("words", file=file, **keys)


@pytest.mark.parametrize("weights", ["counts", "tfidf"])
def test_texts_become_what_scikit_learn_makes_of_them(weights):
    lines = texts()
    description, data = prepared(saved_texts(lines, words=6, weights=weights))
    assert counts(data) == [40, 8, 12] and data.shape == (6,)
    assert description["class_names"] == ["sea", "sky"]
    # With a file of its own for the test set, scikit-learn does all of it.
    what = saved_texts(lines[:40], weights=weights)
    Path("test.txt").write_text("".join(lines[40:]))
    _, data = prepared({**what, "test_file": "test.txt"})
    assert counts(data) == [33, 7, 20]
    kind = CountVectorizer if weights == "counts" else TfidfVectorizer
    vectorizer = kind().fit([line.partition("\t")[2] for line in lines[:40]])
    expected = vectorizer.transform([line.partition("\t")[2] for line in lines]).toarray()
    expected = np.sort(expected, axis=1)  # the words are in another order
    seen = np.sort(torch.cat([data.train.x, data.validation.x]).numpy(), axis=1)
    for ours, theirs in ((seen, expected[:40]), (np.sort(data.test.x, axis=1), expected[40:])):
        ours, theirs = (one[np.lexsort(one.round(5).T)] for one in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    trains_like_a_plain_loop(data)


def test_the_most_frequent_words_are_those_of_the_texts_that_are_not_tested():
    lines = ["a\tone one two\n", "b\tone two three\n"] * 5
    what = saved_texts(lines, words=2, weights="counts")
    Path("test.txt").write_text(f"a\t{' four' * 40}\nb\tone\n")
    description, data = prepared({**what, "test_file": "test.txt"})
    assert sorted(map(tuple, data.test.x.tolist())) == [(0, 0), (1, 0)]
    assert "1 texts hold none of the words, and are all zeros" in description["notes"]


def test_the_order_of_texts_does_not_matter_and_their_sizes_are_known():
    what = saved_texts(texts())
    first, data = prepared(what)
    mixed, _ = prepared(saved_texts(texts()[::-1], "mixed.txt"))
    assert first == mixed
    assert known.sizes(what) == (len(data.train.x), len(data.validation.x))
    assert known.source(what).shape == data.shape


@pytest.mark.parametrize("rows", [40, None])
def test_a_file_of_libsvm_is_read_as_it_is(rows):
    random = np.random.default_rng(0)
    x = random.random((60, 9)) * (random.random((60, 9)) < 0.3)
    x[0] = 1
    y = np.where(random.random(60) < 0.5, -1, 1)
    dump_svmlight_file(x[:rows], y[:rows], "mine.svm")
    what = definition("libsvm", file="mine.svm")
    if rows:
        dump_svmlight_file(x[rows:], y[rows:], "test.svm")
        what["test_file"] = "test.svm"
    description, data = prepared(what)
    assert counts(data) == ([33, 7, 20] if rows else [40, 8, 12])
    ours = torch.cat([part.x for part in parts(data)]).numpy()
    labels = torch.cat([part.y for part in parts(data)]).numpy() * 2 - 1
    stored = [tuple(one) for one in np.column_stack([ours, labels])]
    wanted = [tuple(one) for one in np.column_stack([x, y]).astype(np.float32)]
    assert sorted(stored) == sorted(wanted)
    assert description["class_names"] == ["-1", "1"]
    trains_like_a_plain_loop(data)


BAGS = {
    "no tab": ("words", "a\tone two\nno label\n", "mine.txt:2: has no label and tab before its"),
    "no label": ("words", "a\tone two\n\tno label\n", "mine.txt:2: has no label and tab before"),
    "one label": ("words", "a\tone two\na\tone\n", "mine.txt: the target holds a single class"),
    "no words": ("words", "a\t1\nb\t2\n" * 9, "mine.txt: no text holds a word of two letters"),
    "latin": ("words", "a\tone\nb\t\xff\n", "mine.txt:2: is not UTF-8"),
    "empty": ("words", "", "mine.txt: has 0 texts; two or more are needed"),
    "lone class": ("words", "a\tab\nb\tab\n", "1 of 2 examples as one would leave no"),
    "libsvm": ("libsvm", "1 1:0.5\nx 2:1\n", "mine.txt: not in the format of libsvm: could not"),
    "large": (
        "libsvm",
        "1 900000000:1\n2 1:1\n",
        "mine.txt: 2 examples of 900,000,000 inputs are more than 250,000,000 values",
    ),
    "drop": ("words", "a\tb\n", "drop: only sources csv, parquet take it, not words"),
}


@pytest.mark.parametrize("kind", BAGS)
def test_what_is_no_bag_of_words_is_told_in_one_line(kind):
    source, text, message = BAGS[kind]
    Path("mine.txt").write_bytes(text.encode("latin-1"))
    what = definition(source, file="mine.txt", **({"drop": ["a"]} if kind == "drop" else {}))
    with refused(message):
        prepare.prepare("mine", what, Path("out/m.json"), None)
    assert not Path("out").exists() or os.listdir("out") == []


def test_topics_of_python_are_learned_in_a_second():
    description, data = prepared(definition("topics"), "topics")
    assert 1000 <= sum(counts(data)) <= 3000 and data.shape == (2000,) and data.classes == 6
    assert f"Python {platform.python_version()}" in description["split"]
    everything = torch.cat([part.x for part in parts(data)])
    assert len(rows(everything)) > 0.97 * len(everything)  # a paragraph is in one part only
    run = settings("softmax", "adam", {"lr": 0.03}, batch_size=100, epochs=5)
    last = train_one(run, data, 0).evaluations[-1]
    most = float(torch.bincount(data.test.y).max() / len(data.test.y))
    assert last.test_accuracy > most + 0.3
    what = {"source": "topics", "validation": None, "split_seed": 0, "subset": None}
    assert known.sizes(what) == tuple(counts(data)[:2])


def test_another_text_of_python_is_noted(monkeypatch):
    monkeypatch.setattr("optlab.data.texts.MEASURED", "0")
    notes = prepared(definition("topics", words=10), "topics")[0]["notes"]
    assert notes[0].startswith(f"the documentation of Python {platform.python_version()} is ano")


# -- folders of images -------------------------------------------------------------------------


def image_folder(root="photos", parts=("",), count=15, seed=0, mode="RGB", size=(9, 7)):
    """Random images of two classes; those of one are brighter."""
    random = np.random.default_rng(seed)
    for part in parts:
        for bright, label in enumerate(("dog", "cat")):
            place = Path(root, part, label)
            place.mkdir(parents=True)
            for number in range(count):
                shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
                pixels = random.integers(60 * bright, 160 + 60 * bright, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    listing.of.cache_clear()
    return definition("folder", folder=str(root), size=[6, 5])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_becomes_what_torchvision_makes_of_it(channels):
    what = {**image_folder(parts=("train", "val", "test")), "channels": channels}
    description, data = prepared(what)
    assert counts(data) == [30, 30, 30] and data.shape == (channels, 6, 5)
    assert description["class_names"] == ["cat", "dog"] and data.train.x.dtype == torch.uint8
    assert "validation set as in the file" in description["split"]
    vision = archives.torchvision()
    transforms = importlib.import_module("torchvision.transforms")
    grey = [transforms.Grayscale()] if channels == 1 else []
    change = transforms.Compose([*grey, transforms.Resize((6, 5)), transforms.PILToTensor()])
    for part, name in zip(parts(data), ("train", "val", "test"), strict=True):
        theirs = vision.datasets.ImageFolder(f"photos/{name}", transform=change)
        expected = sorted((image.numpy().tobytes(), label) for image, label in theirs)
        found = zip(part.x.numpy(), part.y.tolist(), strict=True)
        assert sorted((image.tobytes(), label) for image, label in found) == expected
    assert known.sizes(what) == (30, 30) and known.source(what).shape == data.shape
    trains_like_a_plain_loop(data, lr=0.01)


def test_a_folder_of_classes_alone_loses_a_fifth_to_a_test_set():
    what = image_folder(count=15)
    (Path("photos/cat/notes.txt")).write_text("two")
    listing.of.cache_clear()
    description, data = prepared(what)
    assert counts(data) == [20, 4, 6] and torch.bincount(data.test.y).tolist() == [3, 3]
    assert known.sizes(what) == (20, 4) and known.source(what).per_class == (12, 12)
    notes = description["notes"]
    assert notes[0] == "nothing reads photos/cat/notes.txt: the name is not that of an image"
    assert notes[1].startswith("there is no test set, so that 6 of the 30 examples")
    assert notes[2] == "images of other proportions are stretched to 6 x 5" and len(notes) == 3
    assert list(known.source(what).notes) == notes[:2]


def test_grey_images_in_three_channels_are_noted():
    what = image_folder(mode="L", size=(5, 6))
    assert prepared(what)[0]["notes"][1].startswith("all images are grey, and stored in three")


def test_the_path_of_a_folder_follows_its_images_and_not_their_times_and_place():
    what = image_folder()
    path = identity.prepared_path("mine", what)
    for file in Path("photos").rglob("*.png"):
        os.utime(file, (1, 1))

    def again(folder):
        listing.of.cache_clear()
        return identity.prepared_path("mine", {**what, "folder": folder})

    assert again("photos") == path
    shutil.copytree("photos", "copy")
    assert again("copy") == path
    shutil.copy("copy/cat/0.png", "copy/cat/1.png")
    assert again("copy") != path
    digests = json.loads(Path("results/data/.digests.json").read_text())
    assert {Path(name).name for name in digests} == {"photos", "copy"}


def spoilt(name, content):
    def spoil():
        Path("photos", name).parent.mkdir(exist_ok=True)
        Path("photos", name).write_bytes(content)

    return spoil


def sixteen_bits():
    Image.fromarray(np.zeros((4, 4), np.uint16)).save("photos/cat/0.png")


def cut_off():
    file = Path("photos/cat/0.png")
    file.write_bytes(file.read_bytes()[:60])


FOLDERS = {
    "no image": (spoilt("cat/0.png", b"no image"), {}, "photos/cat/0.png: is not an image"),
    "cut": (cut_off, {}, "photos/cat/0.png: is damaged: "),
    "bits": (sixteen_bits, {}, "photos/cat/0.png: has values of another kind than 8 bits (mode I;"),
    "empty": (spoilt("bird/x.txt", b""), {}, "photos/bird: holds no image (.jpg, .jpeg, .png"),
    "one class": (lambda: shutil.rmtree("photos/cat"), {}, "photos: has 1 folders; there must be"),
    "test class": (
        lambda: (shutil.move("photos", "p"), shutil.move("p", "photos/train"),
                 os.makedirs("photos/test/bird")),
        {},
        "photos/test/bird: train has no folder 'bird'",
    ),
    "size": (None, {"size": [6]}, "size: [6] is not [height, width] in pixels"),
    "no size": (None, {"size": None}, "size: source folder needs [height, width] of images"),
    "gone": (None, {"folder": "gone"}, "gone: cannot be read: No such file or directory"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_is_wrong_with_a_folder_is_told_in_one_line(kind):
    spoil, keys, message = FOLDERS[kind]
    what = {**image_folder(), **keys}
    if spoil:
        spoil()
    listing.of.cache_clear()
    with refused(message):
        prepare.prepare("mine", what, Path("out/m.json"), None)
    assert not Path("out").exists() or os.listdir("out") == []


def test_a_folder_that_is_not_there_is_told_before_anything_runs():
    with refused("datasets.mine.folder: there is no folder gone (seen from"):
        in_a_study({**image_folder(), "folder": "gone"})


# -- notes -------------------------------------------------------------------------------------

FLOATS = {"y_train": np.arange(40.0) % 3, "y_val": None, "y_test": np.arange(10) / 2, "x_val": None}
HOT = {"y_train": np.eye(3)[np.arange(40) % 3], "y_test": np.eye(3)[np.arange(10) % 3]}
NOTED = {
    "whole numbers": (FLOATS, "y_train holds whole numbers as floats: a regression; integers are"),
    "one-hot": (
        {**HOT, "x_val": None, "y_val": None},
        "y_train holds one-hot rows of floats: a regression with 3 outputs; integers [N] are",
    ),
    "64 bits": (
        {"x_train": np.random.default_rng(0).random((40, 4))},
        "64-bit floats of x_train are rounded to float32",
    ),
    "unread": (
        {"x_valid": np.zeros(3), "z": np.zeros(2)},
        "nothing reads x_valid, z in the file; did you mean 'x_val'?",
    ),
    "channels": (
        {f"x_{p}": np.zeros((n, 5, 6, 3), "u1") for p, n in (("train", 40), ("test", 10))}
        | {"x_val": None, "y_val": None},
        "x_train is uint8 [N, 5, 6, 3]: the last axis is taken for the channels, and stored first",
    ),
    "float channels": (
        {f"x_{p}": np.zeros((n, 5, 6, 3), "f4") for p, n in (("train", 40), ("test", 10))}
        | {"x_val": None, "y_val": None},
        "x_train is float32 [N, 5, 6, 3]: floats are used unchanged, so that networks take 5 chan",
    ),
}


@pytest.mark.parametrize("kind", NOTED)
def test_what_may_be_meant_otherwise_is_noted_in_a_line(kind):
    change, expected = NOTED[kind]
    found = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    notes = prepared(saved(found))[0]["notes"]
    assert len(notes) == 1 and notes[0].startswith(expected), notes


def test_nothing_is_noted_of_what_can_only_be_meant_in_one_way():
    found = arrays()
    found["x_train"] = found["x_train"].astype(np.float64)  # float32 holds these values
    assert "notes" not in prepared(saved(found))[0]


@pytest.mark.slow
def test_notes_are_in_the_plan_the_status_the_log_the_check_and_the_page():
    found = arrays(train=50, test=0) | {"spare": np.zeros(3)}
    np.savez("mine.npz", **found)
    Path("s.yaml").write_text(NOTED_STUDY)
    unread = "note: datasets.mine: nothing reads spare in the file"
    tested = "note: datasets.mine: there is no test set, so that 10 of the 50 examples"

    def call(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    snakemake = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    snakemake += ["--configfile", "s.yaml", "--cores", "1"]
    programs = ROOT / "workflow/scripts"
    plan = call(*snakemake, "-n")
    assert plan.count(unread) == plan.count(tested) == 1
    log = call(*snakemake)
    assert log.count(unread) == log.count(tested) == 1
    status = call(sys.executable, str(programs / "status.py"), "--study", "s.yaml")
    assert status.count(unread.replace("note:", "  note")) == 1
    checked = call(sys.executable, str(programs / "check.py"), "--study", "s.yaml")
    assert checked.count(unread) == 1
    (prepared_log,) = Path("results/data/logs").glob("mine-*.log")
    assert "note: nothing reads spare in the file" in prepared_log.read_text()
    answers = Path("results/noted/index.html").read_text()
    assert answers.count("nothing reads spare in the file") == 1


@pytest.mark.slow
def test_a_study_trains_on_all_of_them():
    saved_table(table_of(), drop=["id"])
    frame = pd.DataFrame({"a": np.arange(60.0) / 7, "b": ["x", "y", "z"] * 20})
    frame.assign(price=frame["a"] * 2 + 0.5).to_csv("prices.csv", index=False)
    saved_texts(texts())
    image_folder(parts=("train", "val"))
    Path("s.yaml").write_text(WHOLE_STUDY)
    snakemake = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    snakemake += ["--configfile", "s.yaml", "--cores", "2"]
    subprocess.run(snakemake, check=True, capture_output=True, timeout=500)
    best = pd.read_csv("results/every/tables/best.tsv", sep="\t")
    assert set(best["dataset"]) == {"kinds", "prices", "mail", "photos", "topics"}
    assert (best["status"] == "ok").all() and best["test_loss"].notna().all()
    planned = subprocess.run([*snakemake, "-n"], check=True, capture_output=True, text=True)
    assert "nothing to do" in planned.stdout + planned.stderr
    assert (planned.stdout + planned.stderr).count("note: datasets.kinds: ") == 2


WHOLE_STUDY = """\
study: every
seeds: 1
device: cpu
datasets:
  kinds: {source: csv, file: mine.csv, target: kind, drop: [id]}
  prices: {source: csv, file: prices.csv, target: price}
  mail: {source: words, file: mine.txt, words: 50}
  photos: {source: folder, folder: photos, size: [6, 5]}
exercises:
  one:
    datasets: [kinds, prices, mail, photos, topics]
    models: [mlp]
    epochs: [1]
    batch_sizes: [20]
    optimizers:
      sgd: {lr: [0.1]}
"""
NOTED_STUDY = """\
study: noted
seeds: 1
device: cpu
datasets:
  mine: {source: npz, file: mine.npz}
exercises:
  one:
    datasets: [mine]
    models: [softmax]
    epochs: [1]
    batch_sizes: [20]
    optimizers:
      sgd: {lr: [0.1]}
"""
