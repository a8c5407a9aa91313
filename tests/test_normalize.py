"""Inputs that are normalised by the training examples, on the device."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade import settings, train_one

from optlab.data import identity, prepare
from optlab.errors import DataError
from optlab.training import datasets


def prepared(definition):
    whole = {"validation": None, "split_seed": 0, "subset": None, "file": None, **definition}
    path = Path(identity.prepared_path("mine", whole))
    prepare.prepare("mine", whole, path, None)
    return datasets.load(path), json.loads(path.read_text())


def colours(dtype):
    generator = np.random.default_rng(0)
    x = generator.integers(0, [200, 100, 256], (60, 5, 4, 3)).transpose(0, 3, 1, 2)
    x[:, 1] = 7  # a channel of one value
    arrays = {"x_train": x[:40].astype(dtype), "y_train": np.arange(40) % 2}
    arrays |= {"x_test": x[40:].astype(dtype), "y_test": np.arange(20) % 2}
    np.savez("colours.npz", **arrays)
    return {"source": "npz", "file": "colours.npz", "normalize": True}


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_each_channel_of_the_training_examples_has_mean_0_and_deviation_1(dtype, here):
    data, description = prepared(colours(dtype))
    x, _ = data.examples(data.train.x, data.train.y, torch.float32)
    assert x.shape == (len(data.train.x), 3, 5, 4)
    assert x.mean((0, 2, 3)).numpy() == pytest.approx([0, 0, 0], abs=1e-5)
    assert x.std((0, 2, 3), unbiased=False).numpy() == pytest.approx([1, 0, 1], abs=1e-5)
    stored = data.train.x.double() * data.scale  # validation and test examples do not count
    assert description["normalize"]["mean"] == pytest.approx(stored.mean((0, 2, 3)).tolist())
    test, _ = data.examples(data.test.x, data.test.y, torch.float32)
    assert abs(float(test.mean())) > 1e-3


def test_it_is_another_data_set_and_without_it_nothing_is_new(here):
    usual = {"source": "digits"}
    paths = [
        identity.prepared_path("d", {**usual, **more})
        for more in ({}, {"normalize": False}, {"normalize": True})
    ]
    assert paths[0] == paths[1] != paths[2]
    assert "normalize" not in prepared(usual)[1]


def test_a_network_learns_from_what_a_plain_loop_normalises(here):
    data, _ = prepared({"source": "digits", "normalize": True})
    run = settings("softmax", "sgd", {"lr": 0.1}, batch_size="full", epochs=3)
    rows = train_one(run, data, 0).evaluations
    x, y = data.train.x.float() / 16, data.train.y
    x = ((x - x.mean()) / x.std(unbiased=False)).flatten(1)
    weight = torch.zeros(64, 10, requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.cross_entropy(x @ weight + bias, y)
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            for one in (weight, bias):
                one -= 0.1 * one.grad
                one.grad = None
    assert [row.train_loss for row in rows] == pytest.approx(losses, rel=1e-5)


def test_sources_that_are_standardised_already_do_not_take_it(here):
    with pytest.raises(DataError, match="normalize: only sources digits, mnist, "):
        prepare.prepare("w", {"source": "wine", "normalize": True}, Path("w.json"), None)
