"""The loop against closed forms and against PyTorch's own plain way of doing the same."""

import math
from dataclasses import replace

import pytest
import torch
from handmade import settings as settings_of
from handmade import train_one

from optlab.data import prepare
from optlab.errors import UserError
from optlab.results import theory
from optlab.training import draws, networks
from optlab.training.batches import Batches
from optlab.training.datasets import Dataset, Split, load
from optlab.training.replicates import Replicate

LIMITS = {0.0: 0.0299391, 0.2: 0.0359269, 0.4: 0.0419147, 0.6: 0.0479026, 0.8: 0.0538904}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prepared data sets by name, as a training job opens them."""
    folder = tmp_path_factory.mktemp("data")

    def prepared(name):
        path = folder / f"{name}.json"
        if not path.exists():
            prepare.prepare(name, {"source": name}, path, None)
        return load(path)

    return prepared


def linear(**changes):
    given = {"network": "linear", "optimizer": "sgd", "knobs": {"lr": 0.01}}
    return settings_of(**{**given, "batch_size": "full", "epochs": 1000, **changes})


def softmax(**changes):
    given = {"network": "softmax", "optimizer": "sgd", "knobs": {"lr": 0.5}}
    return settings_of(**{**given, "batch_size": 100, "epochs": 3, **changes})


def weights(outcome):
    return torch.cat([value.flatten() for value in outcome.model.state_dict().values()])


def same(first, second):
    """The evaluations of two outcomes, seconds aside."""
    figures = [{**vars(row), "seconds": None} for row in first.evaluations]
    return figures == [{**vars(row), "seconds": None} for row in second.evaluations]


# -- exercise 1: the oracles -----------------------------------------------------------------


def test_gradient_descent_gives_the_published_weights_and_loss(data):
    outcome = train_one(linear(), data("line"), 0)
    assert [f"{value:.7f}" for value in weights(outcome)] == ["-0.9999969", "0.9999908"]
    assert outcome.evaluations[0].train_loss == pytest.approx(23.66)
    assert outcome.evaluations[-1].train_loss == pytest.approx(5.69997e-11, rel=1e-5)
    assert len(outcome.evaluations) == 1001


@pytest.mark.parametrize(
    ("optimizer", "lr", "loss"),
    [("sgd", 1e-3, 0.148), ("sgd", 5e-3, 9.9e-6), ("adam", 0.01, 4.5e-3)],
)
def test_final_losses_are_those_of_the_lab(data, optimizer, lr, loss):
    outcome = train_one(linear(optimizer=optimizer, knobs={"lr": lr}), data("line"), 0)
    assert outcome.evaluations[-1].train_loss == pytest.approx(loss, rel=0.02)


@pytest.mark.parametrize("momentum", LIMITS)
@pytest.mark.parametrize("lr", [0.001, 0.005, 0.01, 0.02, 0.0299])
def test_trajectories_equal_the_closed_form(data, momentum, lr):
    knobs = {"lr": lr, "momentum": momentum} if momentum else {"lr": lr}
    name = "momentum" if momentum else "sgd"
    steps = list(range(301))
    exact = theory.trajectory([1, 2, 3, 4], [0, -1, -2, -3], (0.3, -0.3), lr, momentum, steps)
    # A loss near zero is a square of rounding errors of the weights: below `floor` it says nothing.
    for precision, relative, floor in (("float64", 1e-9, 1e-18), ("float32", 2e-3, 1e-9)):
        settings = linear(optimizer=name, knobs=knobs, precision=precision, epochs=300)
        outcome = train_one(settings, data("line"), 0)
        measured = [row.train_loss for row in outcome.evaluations]
        assert measured == pytest.approx(list(exact.loss), rel=relative, abs=floor)
        final = [exact.weight[-1], exact.bias[-1]]
        assert weights(outcome).tolist() == pytest.approx(final, rel=max(1e-9, floor * 1e4))


@pytest.mark.parametrize("momentum", LIMITS)
def test_the_loss_falls_below_each_stability_limit_and_grows_above(data, momentum):
    for factor in (0.99, 1.01):
        knobs = {"lr": LIMITS[momentum] * factor} | ({"momentum": momentum} if momentum else {})
        settings = linear(optimizer="momentum" if momentum else "sgd", knobs=knobs, epochs=3000)
        outcome = train_one(settings, data("line"), 0)
        first, last = outcome.evaluations[0].train_loss, outcome.evaluations[-1]
        assert (last.train_loss < 1e-3 * first) if factor < 1 else (last.train_loss > 10 * first)


# -- the loop --------------------------------------------------------------------------------


def test_a_seed_gives_every_optimizer_the_same_weights_and_order(data):
    digits = data("digits")
    models = [
        networks.build(softmax(network="cnn", optimizer=name, knobs={"lr": lr}), digits, 7)
        for name, lr in (("sgd", 0.1), ("adam", 0.001))
    ]
    first, second = (list(model.state_dict().values()) for model in models)
    assert all(map(torch.equal, first, second))
    other = networks.build(softmax(network="cnn"), digits, 8)
    assert not torch.equal(first[0], next(iter(other.state_dict().values())))
    one, two = (Batches(softmax(knobs={"lr": lr}), digits, 7) for lr in (0.1, 0.5))
    assert torch.equal(one.order(3), two.order(3))
    assert not torch.equal(one.order(3), one.order(4))
    assert not torch.equal(one.order(3), Batches(softmax(), digits, 8).order(3))


# -- what a seed varies ----------------------------------------------------------------------


def drawn(data, seed, **changes):
    """What a seed of a run draws: initial weights, order, first dropout, examples, as a picture."""
    options = {"hidden": [8], "dropout": 0.5}
    run = softmax(network="mlp", network_options=options, **changes)
    replicate = Replicate(run, data, seed)
    dropout = torch.rand(3)
    weights = next(iter(replicate.model.state_dict().values()))
    examples = [replicate._data.train.x, replicate._data.validation.x]
    return {
        "weights": weights, "order": replicate.batches.order(2), "dropout": dropout,
        "examples": torch.cat(examples).flatten(1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        (["weights", "order"], {"weights", "order", "dropout"}),
        (["weights"], {"weights"}),
        (["order"], {"order", "dropout"}),
        (["split"], {"examples"}),
        (["weights", "order", "split"], {"weights", "order", "dropout", "examples"}),
    ],
)
def test_seeds_differ_in_what_they_vary_and_in_nothing_else(data, vary, expected):
    zero, one = (drawn(data("digits"), seed, vary=vary) for seed in (0, 1))
    assert {name for name in zero if not torch.equal(zero[name], one[name])} == expected
    # All else is that of seed 0, or of the prepared data set.
    usual = drawn(data("digits"), 0)
    same = {name for name in zero if torch.equal(one[name], usual[name])}
    assert same == set(usual) - expected


def rows(*parts):
    """The examples of these parts, inputs and target in one, in no order."""
    return sorted(
        (*x.flatten().tolist(), *y.flatten().tolist())
        for part in parts
        for x, y in zip(part.x, part.y, strict=True)
    )


def shares(part):
    return torch.bincount(part.y, minlength=10).tolist()


def test_a_seed_draws_its_own_validation_examples(data):
    digits = data("digits")
    run = softmax(vary=["weights", "split"])
    found = [draws.of_seed(run, digits, seed) for seed in (0, 1, 1)]
    for one in found:
        assert (len(one.train.x), len(one.validation.x)) == (1077, 360)
        assert shares(one.train) == shares(digits.train)
        assert shares(one.validation) == shares(digits.validation)
        assert rows(one.train, one.validation) == rows(digits.train, digits.validation)
        assert one.test is digits.test
        assert shares(Split(one.train.x[:300], one.train.y[:300])) != sorted(shares(one.train))
        assert min(shares(Split(one.train.x[:300], one.train.y[:300]))) > 10  # in random order
    zero, one, again = (rows(each.validation) for each in found)
    assert zero != one == again and zero != rows(digits.validation)
    # Every optimizer, and every other setting, gets the same.
    other = softmax(optimizer="adam", knobs={"lr": 1}, batch_size=7, vary=["split"])
    same = draws.of_seed(other, digits, 1)
    assert torch.equal(same.train.x, found[1].train.x)
    assert torch.equal(same.validation.y, found[1].validation.y)
    assert draws.of_seed(softmax(), digits, 1) is digits


def test_a_seed_draws_its_own_subset(data):
    digits = data("digits")
    size = {"subset": 400, "subset_validation": 100}
    found = [draws.of_seed(softmax(vary=["subset"], **size), digits, seed) for seed in (0, 1, 1)]
    whole = set(rows(digits.train, digits.validation))
    counts = torch.tensor(shares(digits.train)) + torch.tensor(shares(digits.validation))
    for one in found:
        assert (len(one.train.x), len(one.validation.x)) == (300, 100) and one.test is digits.test
        own = rows(one.train, one.validation)
        assert len(set(own)) == 400 and set(own) < whole
        for part in (one.train, one.validation):
            expected = counts * len(part.x) / 1437
            assert (torch.tensor(shares(part)) - expected).abs().max() < 2
    zero, one, again = (rows(each.train, each.validation) for each in found)
    assert zero != one == again and len({*zero, *one}) > 600
    # The validation examples are drawn from the subset: again for each seed if that varies too.
    both = [draws.of_seed(softmax(vary=["split", "subset"], **size), digits, s) for s in (0, 1)]
    assert [rows(b.train, b.validation) for b in both] == [zero, one]
    assert rows(both[0].validation) == rows(found[0].validation)
    assert rows(both[1].validation) != rows(found[1].validation)
    none = draws.of_seed(softmax(vary=["subset"], subset=400), digits, 0)
    assert none.validation is None and rows(none.train) == zero


def test_a_regression_has_no_classes_to_keep():
    x = torch.arange(10.0).unsqueeze(1)
    line = Dataset(
        "d", "d", "regression", None, (1,), 1.0, Split(x[:7], x[:7]), Split(x[7:], x[7:])
    )
    one = draws.of_seed(linear(vary=["split"]), line, 1)
    assert (len(one.train.x), len(one.validation.x)) == (7, 3)
    assert torch.equal(one.train.x, one.train.y)
    assert sorted(torch.cat([one.train.x, one.validation.x]).flatten().tolist()) == list(range(10))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1438, 10), "subset: 1438 of the 1437 examples of digits asked for"),
        (
            (12, 2),
            "a subset of 12 examples of digits has 1 of some class; a stratified split needs",
        ),
        ((30, 30), "digits: 30 of 30 examples for validation leave none to train on"),
        ((30, 25), "25 of 30 examples leave none of some classes"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(data, size, message):
    run = softmax(vary=["subset"], subset=size[0], subset_validation=size[1])
    with pytest.raises(UserError, match=f"^{message}"):
        draws.of_seed(run, data("digits"), 0)


# -- the loop --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100, 1077])
def test_an_epoch_covers_every_example_once(data, size):
    digits = data("digits")
    batches = Batches(softmax(batch_size=size), digits, 0)
    seen = list(batches.epoch(1))
    assert {len(x) for x, _ in seen[:-1]} <= {size} and sum(len(x) for x, _ in seen) == 1077
    order = batches.order(1)
    assert sorted(order.tolist()) == list(range(1077))
    assert torch.equal(torch.cat([x for x, _ in seen]), digits.inputs(digits.train.x[order]))
    assert torch.equal(torch.cat([y for _, y in seen]), digits.train.y[order])


def test_training_equals_a_plain_pytorch_loop(data):
    digits = data("digits")
    settings = softmax(network="mlp", optimizer="adam", knobs={"lr": 0.01}, epochs=2)
    outcome = train_one(settings, digits, 0)
    model = networks.build(settings, digits, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, foreach=False, fused=False)
    batches = Batches(settings, digits, 0)
    for epoch in (1, 2):
        for rows in batches.order(epoch).split(100):
            optimizer.zero_grad()
            x = digits.train.x[rows].float() / 16
            torch.nn.functional.cross_entropy(model(x), digits.train.y[rows]).backward()
            optimizer.step()
    plain = torch.cat([value.flatten() for value in model.state_dict().values()])
    torch.testing.assert_close(weights(outcome), plain, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        output = model(digits.test.x.float() / 16)
    last = outcome.evaluations[-1]
    loss = torch.nn.functional.cross_entropy(output, digits.test.y)
    assert last.test_loss == pytest.approx(float(loss), rel=1e-4)
    assert last.test_accuracy == float((output.argmax(1) == digits.test.y).double().mean())


def test_bfloat16_is_mixed_precision_as_a_plain_loop_with_autocast_writes_it(data):
    digits = data("digits")
    settings = softmax(
        network="mlp", optimizer="adam", knobs={"lr": 0.01}, epochs=2, precision="bfloat16"
    )
    outcome = train_one(settings, digits, 0)
    model = networks.build(softmax(network="mlp"), digits, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    batches = Batches(settings, digits, 0)
    for epoch in (1, 2):
        for rows in batches.order(epoch).split(100):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = model(digits.inputs(digits.train.x[rows]))
            assert output.dtype == torch.bfloat16
            torch.nn.functional.cross_entropy(output.float(), digits.train.y[rows]).backward()
            optimizer.step()
    plain = torch.cat([value.flatten() for value in model.state_dict().values()])
    assert plain.dtype == torch.float32 and torch.equal(weights(outcome), plain)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(digits.inputs(digits.test.x))
    loss = float(torch.nn.functional.cross_entropy(output.float(), digits.test.y))
    assert outcome.evaluations[-1].test_loss == pytest.approx(loss, rel=1e-6)
    exact = train_one(replace(settings, precision="float32"), digits, 0)
    assert exact.evaluations[-1].test_loss != outcome.evaluations[-1].test_loss
    assert exact.evaluations[-1].test_loss == pytest.approx(loss, rel=0.05)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        *(("linear", {}), ("softmax", {}), ("mlp", {}), ("cnn", {"channels": [4, 8], "units": 16})),
        ("resnet", {"depth": 8, "width": 4}),
    ],
)
def test_every_network_trains_in_bfloat16_on_float32_weights(data, network, options):
    name, lr = ("line", 0.01) if network == "linear" else ("digits", 0.1)
    changes = {"network": network, "network_options": options, "knobs": {"lr": lr}}
    settings = softmax(**changes, batch_size=4 if name == "line" else 20, precision="bfloat16")
    outcome = train_one(settings, data(name), 0)
    first, last = outcome.evaluations[0], outcome.evaluations[-1]
    assert last.train_loss < 0.95 * first.train_loss
    assert weights(outcome).dtype == torch.float32


def test_the_same_settings_give_the_same_numbers_to_the_last_digit(data):
    settings = softmax(network="cnn", optimizer="adam", knobs={"lr": 0.001}, epochs=1)
    runs = [train_one(settings, data("digits"), 1) for _ in range(2)]
    assert same(*runs) and torch.equal(weights(runs[0]), weights(runs[1]))
    assert not same(runs[0], train_one(settings, data("digits"), 2))


@pytest.mark.parametrize(
    "name", ["sgd", "momentum", "adam", "nadam", "radam", "adagrad", "rmsprop"]
)
def test_a_learning_rate_of_zero_changes_nothing(data, name):
    outcome = train_one(softmax(optimizer=name, knobs={"lr": 0}), data("digits"), 0)
    assert {row.train_loss for row in outcome.evaluations} == {outcome.evaluations[0].train_loss}
    assert outcome.evaluations[0].train_loss == pytest.approx(math.log(10))


def test_test_figures_appear_only_in_the_last_row_and_the_best_epoch_is_validations(data):
    outcome = train_one(softmax(knobs={"lr": 1.0}, epochs=8), data("digits"), 0)
    *before, last = outcome.evaluations
    assert all(row.test_loss is None and row.best_epoch is None for row in before)
    assert last.test_loss is not None
    losses = [row.val_loss for row in outcome.evaluations]
    assert last.best_epoch == losses.index(min(losses))
    shorter = train_one(softmax(knobs={"lr": 1.0}, epochs=last.best_epoch), data("digits"), 0)
    assert last.best_test_loss == shorter.evaluations[-1].test_loss
    assert last.best_test_accuracy == shorter.evaluations[-1].test_accuracy


def test_evaluations_are_as_frequent_as_asked_and_the_last_epoch_is_always_one(data):
    outcome = train_one(softmax(epochs=5, evaluate_every=2), data("digits"), 0)
    assert [row.epoch for row in outcome.evaluations] == [0, 2, 4, 5]
    often = train_one(softmax(epochs=5), data("digits"), 0)
    assert often.evaluations[-1].train_loss == outcome.evaluations[-1].train_loss


def test_the_training_loss_is_measured_on_a_fixed_sample_where_the_set_is_large(data):
    digits = data("digits")
    outcome = train_one(softmax(epochs=1, train_loss_examples=50), digits, 0)
    x, y = digits.inputs(digits.train.x[:50]), digits.train.y[:50]
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(outcome.model(x), y)
    assert outcome.evaluations[-1].train_loss == pytest.approx(float(loss), rel=1e-5)


def test_evaluation_does_not_disturb_training(data):
    settings = {"network": "cnn", "optimizer": "adam", "knobs": {"lr": 0.001}, "epochs": 2}
    every, once = (
        train_one(softmax(**settings, evaluate_every=n), data("digits"), 0) for n in (1, 2)
    )
    assert torch.equal(weights(every), weights(once))


# -- divergence ------------------------------------------------------------------------------


def test_divergence_stops_the_run_and_says_at_which_step(data):
    outcome = train_one(linear(knobs={"lr": 0.5}), data("line"), 0)
    last = outcome.evaluations[-1]
    assert (last.status, last.step) == ("diverged", 2)
    assert last.train_loss > 1000 * 23.66
    assert [row.status for row in outcome.evaluations[:-1]] == ["ok", "ok"]


def test_divergence_between_evaluations_is_dated_to_its_step(data):
    every = train_one(linear(knobs={"lr": 0.1}), data("line"), 0).evaluations[-1]
    seldom = train_one(linear(knobs={"lr": 0.1}, evaluate_every=500), data("line"), 0)
    last = seldom.evaluations[-1]
    assert (last.status, last.step) == ("diverged", every.step)
    assert last.train_loss == pytest.approx(every.train_loss, rel=1e-4)
    assert last.test_loss is None


def test_a_loss_that_is_no_number_is_divergence(data):
    line = data("line")
    broken = Dataset(**{**vars(line), "train": Split(line.train.x, torch.full((4, 1), math.nan))})
    outcome = train_one(linear(), broken, 0)
    assert outcome.evaluations[-1].status == "diverged"
    assert len(outcome.evaluations) == 1  # it is seen before the first step


@pytest.mark.parametrize(("part", "rows"), [("train", 1), ("validation", 1), ("test", 6)])
def test_an_infinite_loss_is_divergence_on_whatever_data(data, part, rows):
    line = data("line")
    far = Split(torch.full((4, 1), math.inf), line.train.y)
    outcome = train_one(linear(epochs=5), Dataset(**{**vars(line), part: far}), 0)
    assert outcome.evaluations[-1].status == "diverged"
    assert len(outcome.evaluations) == rows  # the test set is measured once, at the end


def test_lbfgs_trains_a_convolution(data):
    options = {"network_options": {"dropout": 0.0, "units": 16, "channels": [4, 8]}}
    changes = {"network": "cnn", "optimizer": "lbfgs", "knobs": {"lr": 1.0}, **options}
    outcome = train_one(softmax(**changes, batch_size="full"), data("digits"), 0)
    assert outcome.evaluations[-1].train_loss < outcome.evaluations[0].train_loss


# -- networks --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_the_convolutional_network_fits_images_of_every_size(shape):
    images = torch.zeros(2, *shape)
    data = Dataset("images", "images", "classification", 10, shape, 1.0, Split(images, images),
                   None, None)  # fmt: skip
    network = networks.build(softmax(network="cnn"), data, 0)
    assert network(images).shape == (2, 10)
    sizes = [tuple(p.shape) for p in network.parameters() if p.dim() > 1]
    side = shape[1] // 4
    assert sizes == [(32, shape[0], 5, 5), (64, 32, 5, 5), (1024, 64 * side * side), (10, 1024)]


def test_what_does_not_fit_together_is_told_in_one_line(data):
    with pytest.raises(UserError, match="images of at least 4x4 pixels"):
        train_one(linear(network="cnn"), data("line"), 0)
    with pytest.raises(UserError, match="a batch of 2000 is more than the 1077 training examples"):
        train_one(softmax(batch_size=2000), data("digits"), 0)


def test_dropout_is_off_in_evaluation(data):
    settings = softmax(network="cnn", knobs={"lr": 0}, epochs=2)
    losses = {row.val_loss for row in train_one(settings, data("digits"), 0).evaluations}
    assert len(losses) == 1
