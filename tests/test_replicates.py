"""Replicates that are trained at once against replicates that are trained one by one."""

import math

import pytest
import torch

from optlab import optimizers, replicates, schedules, sources, stepping, training
from optlab.batches import Batches
from optlab.datasets import load

SEEDS = (0, 3, 4)
ELEMENTWISE = [name for name, entry in optimizers.OPTIMIZERS.items() if entry.elementwise]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    sources.prepare("digits", {"source": "digits"}, path, None)
    return load(path)


def settings_of(name, precision, network="mlp", **changes):
    knobs = {"lr": 0.01, "momentum": 0.9} if name == "nesterov" else {"lr": 0.01}
    options = {"hidden": [8]} if network == "mlp" else {}
    given = {"batch_size": 400, "epochs": 3, "precision": precision, "network_options": options}
    return training.Settings(network, name, knobs, **{**given, **changes})


def together(settings, data, spoil=None):
    """Losses [steps, replicates] and the networks, trained as one stack."""
    networks = [training.build_model(settings, data, seed) for seed in SEEDS]
    joint = replicates.stack(networks)
    if spoil is not None:
        with torch.no_grad():
            next(networks[spoil].parameters()).fill_(math.nan)
    optimizer = optimizers.build(settings.optimizer, joint.parameters(), settings.knobs)
    batches = [Batches(settings, data, seed) for seed in SEEDS]
    steps = settings.epochs * batches[0].per_epoch
    schedule = schedules.build(settings.schedule, optimizer, steps, settings.knobs["lr"])
    gradient = replicates.make_gradient(joint, networks[0], data)
    step = stepping.make_step(gradient, joint, optimizer, schedule)
    losses = []
    for epoch in range(1, settings.epochs + 1):
        for parts in zip(*(one.epoch(epoch) for one in batches), strict=True):
            x, y = (torch.stack(tensors) for tensors in zip(*parts, strict=True))
            losses.append(step(x, y))
    return torch.stack(losses), networks


def alone(settings, data, seed):
    trainer = training.Trainer(settings, data, seed)
    losses = [
        trainer.take_step(*batch)
        for epoch in range(1, settings.epochs + 1)
        for batch in trainer.batches.epoch(epoch)
    ]
    return torch.stack(losses), trainer.model


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_replicates_together_take_the_steps_of_each_alone(digits, name):
    schedule = "constant" if name == "rprop" else "cosine"
    for precision, relative, absolute in (("float64", 1e-12, 1e-13), ("float32", 1e-3, 1e-5)):
        if precision == "float64" and name == "nadam":
            relative = 1e-6  # PyTorch keeps the product of its momenta in float32
        if precision == "float32" and name == "rprop":
            continue  # goes by the sign of a gradient, which rounding may turn
        settings = settings_of(name, precision, schedule=schedule)
        losses, networks = together(settings, digits)
        for number, seed in enumerate(SEEDS):
            expected, model = alone(settings, digits, seed)
            torch.testing.assert_close(losses[:, number], expected, rtol=relative, atol=absolute)
            for mine, same in zip(networks[number].parameters(), model.parameters(), strict=True):
                torch.testing.assert_close(mine, same, rtol=relative, atol=absolute)
        assert not torch.allclose(losses[:, 0], losses[:, 1], rtol=1e-3)


@pytest.mark.parametrize("network", replicates.MATRIX_NETWORKS)
def test_every_matrix_network_can_be_stacked(digits, network):
    data = digits
    settings = settings_of("adam", "float64", network)
    if network == "linear":  # cross entropy serves it as well
        settings = settings_of("sgd", "float64", network)
    losses, _ = together(settings, data)
    for number, seed in enumerate(SEEDS):
        expected, _ = alone(settings, data, seed)
        torch.testing.assert_close(losses[:, number], expected, rtol=1e-12, atol=1e-13)


def test_a_replicate_that_diverges_touches_no_other(digits):
    settings = settings_of("adam", "float64")
    clean, _ = together(settings, digits)
    spoilt, networks = together(settings, digits, spoil=1)
    assert spoilt[:, 1].isnan().all()
    assert torch.equal(spoilt[:, [0, 2]], clean[:, [0, 2]])
    assert all(p.isfinite().all() for n in (0, 2) for p in networks[n].parameters())


def test_each_replicate_drops_out_by_itself(digits):
    options = {"hidden": [64], "dropout": 0.5}
    settings = settings_of("sgd", "float32", network_options=options)
    networks = [training.build_model(settings, digits, 0) for _ in range(2)]
    joint = replicates.stack(networks)
    x, y = next(Batches(settings, digits, 0).epoch(1))
    gradient = replicates.make_gradient(joint, networks[0], digits)
    losses = gradient(torch.stack([x, x]), torch.stack([y, y]))
    assert losses[0] != losses[1]


def test_what_cannot_be_stacked_is_not():
    assert replicates.stackable("mlp", "adam")
    assert not replicates.stackable("cnn", "adam") and not replicates.stackable("mlp", "muon")
    assert not replicates.stackable("my/net.py:Net", "adam")
    assert not replicates.stackable("mlp", "my/optimizer.py:Own")
