"""The network resnet against the paper's numbers and a plain ResNet of the same weights."""

import pytest
import torch
from handmade import resolved, settings, train_one
from torch.nn import functional

from optlab.catalogue.networks import NETWORKS
from optlab.data import prepare
from optlab.errors import UserError
from optlab.parts.networks import resnet
from optlab.study import table
from optlab.training import networks
from optlab.training.batches import Batches
from optlab.training.datasets import Dataset, Split, load

SMALL = {"depth": 8, "width": 4}
DEFAULTS = NETWORKS["resnet"].options


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def count(depth, width=16, channels=3):
    model = resnet.build((channels, 32, 32), 10, depth, width, "batch")
    return sum(parameter.numel() for parameter in model.parameters())


def test_numbers_of_weights_are_the_published_ones():
    """Table 6 of the paper: 0.27 M, 0.46 M, 0.66 M, 0.85 M; ResNet-110 has 1.7 M."""
    assert count(20) == 269_722
    assert [round(count(n) / 1e6, 2) for n in (20, 32, 44, 56)] == [0.27, 0.46, 0.66, 0.85]
    assert round(count(110) / 1e6, 1) == 1.7


def test_all_layers_with_weights_are_the_depth_and_begin_as_published():
    model = resnet.build((3, 32, 32), 10, **DEFAULTS)
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == 20
    torch.manual_seed(0)
    wide = resnet.build((3, 32, 32), 10, 8, 64, "batch")
    for layer in (m for m in wide.modules() if isinstance(m, torch.nn.Conv2d)):
        deviation = (2 / (9 * layer.out_channels)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)


def plain(state, x, depth, width, norm, training):
    """ResNet-n in plain functions, with the weights of ``state`` in their order."""
    values = iter(state.values())

    def convolved(x, stride=1):
        return functional.conv2d(x, next(values), stride=stride, padding=1)

    def normed(x):
        weight, bias = next(values), next(values)
        if norm == "group":
            groups = x.unflatten(1, (4, -1))
            mean = groups.mean((2, 3, 4), keepdim=True)
            variance = groups.var((2, 3, 4), unbiased=False, keepdim=True)
            y = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        else:
            mean, variance, _ = next(values), next(values), next(values)
            if training:
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            y = (x - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]
        return y * weight[:, None, None] + bias[:, None, None]

    x = normed(convolved(x)).relu()
    for stage, filters in enumerate((width, 2 * width, 4 * width)):
        for block in range((depth - 2) // 6):
            halves = stage > 0 and block == 0
            y = normed(convolved(x, 2 if halves else 1)).relu()
            y = normed(convolved(y))
            if halves:
                zeros = x.new_zeros(len(x), filters, *y.shape[2:])
                zeros[:, : x.shape[1]] = x[:, :, ::2, ::2]
                x = zeros
            x = (x + y).relu()
    weight, bias = next(values), next(values)
    assert next(values, None) is None
    return x.mean((2, 3)) @ weight.T + bias


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (2, 9, 5), (5, 4, 4)])
def test_outputs_are_those_of_a_plain_network_with_the_same_weights(shape, norm):
    torch.manual_seed(1)
    options = {"depth": 14, "width": 4, "norm": norm}
    model = resnet.build(shape, 7, **options).double()
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.dim() == 1:  # all is 0 or 1 at first
                value.uniform_(0.5, 1.5)
    x = torch.randn(6, *shape, dtype=torch.float64)
    for training in (False, True):
        expected = plain(dict(model.state_dict()), x, **options, training=training)
        torch.testing.assert_close(model.train(training)(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(64,), (1, 3, 8), (8, 8), (1, 8, 3)])
def test_examples_that_do_not_fit_are_told_in_one_line(shape):
    with pytest.raises(UserError, match=r"^the network resnet needs images of at least 4x4 pix.*$"):
        resnet.build(shape, 10, **DEFAULTS)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"depth": 18}, "depth: 18 is not allowed; 6k + 2 layers: 8, 14, 20, 26, ..., at most"),
        ({"depth": 2}, "depth: 2 is not allowed; 6k + 2"),
        ({"depth": 1004}, "depth: 1004 is not allowed; 6k + 2 layers"),
        ({"depth": True}, "depth: true is not allowed"),
        ({"depth": "deep"}, "depth: 'deep' is not allowed"),
        ({"width": 0}, "width: 0 is not allowed; a whole number from 1 up"),
        ({"norm": "layer"}, "norm: 'layer' is not allowed; 'batch' or 'group'"),
        ({"norm": ["batch"]}, 'norm: ["batch"] is not allowed; '),
        ({"norms": "batch"}, "norms: the network resnet has no such option; did you mean 'norm'?"),
        ({"width": 10**5}, "m on digits: the network resnet has about "),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(options, told, here):
    exercise = {"datasets": ["digits"], "models": ["m"], "optimizers": {"sgd": {"lr": [0.1]}}}
    with pytest.raises(UserError) as error:
        resolved({"one": exercise}, models={"m": {"network": "resnet", **options}})
    assert told in str(error.value) and "\n" not in str(error.value)


GAPS = (
    "not allowed; 6k + 2 layers: 8, 14, 20, 26, ..., at most 1000: use type: categorical, with "
    "choices"
)


@pytest.mark.parametrize(
    ("depth", "told"),
    [
        ({"type": "int", "low": 8, "high": 20}, f"depth.type: an int is {GAPS}"),
        ({"type": "float", "low": 8, "high": 20}, f"depth.type: a float is {GAPS}"),
        ({"type": "int", "low": 8, "high": 21}, "depth.high: 21 is not allowed; 6k + 2 layers"),
        ({"type": "categorical", "choices": [8, 20]}, None),
        ({"type": "int", "low": 8, "high": 8}, None),
    ],
)
def test_a_search_chooses_among_depths_that_there_are(depth, told, here):
    space = {"optimizer": {"type": "categorical", "choices": ["sgd"]},
             "lr": {"type": "float", "low": 0.1, "high": 0.2},
             "norm": {"type": "categorical", "choices": ["batch", "group"]},
             "depth": depth}  # fmt: skip
    exercise = {"kind": "search", "datasets": ["digits"], "network": "resnet", "space": space}
    if told is None:
        resolved({"one": exercise})
        return
    with pytest.raises(UserError) as error:
        resolved({"one": exercise})
    assert told in str(error.value)


def test_muon_has_nothing_to_train(here):
    optimizers = {"muon": {"lr": [0.1]}, "sgd": {"lr": [0.1]}}
    exercise = {"datasets": ["digits"], "models": ["resnet"], "optimizers": optimizers}
    ((_, reason),) = table.skipped(resolved({"one": exercise}))
    assert "the network resnet has no hidden matrix" in reason


def test_work_is_that_of_the_network():
    work = NETWORKS["resnet"].work((3, 32, 32), DEFAULTS)
    assert abs(work.weights - 269_722) <= 10  # biases of the output layer
    found = []
    model = resnet.build((3, 32, 32), 10, **DEFAULTS)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda layer, _, y: found.append(layer.weight.numel() * y.shape[2] * y.shape[3])
            )
    model(torch.zeros(2, 3, 32, 32))
    assert work.products == sum(found) + 640


def test_a_last_batch_of_one_is_told_where_batch_norm_cannot_take_it():
    """Images of 4x4 pixels are one pixel in the last stage; larger ones are more."""
    x, y = torch.rand(9, 1, 4, 4), torch.arange(9) % 3
    for side, norm, told in ((4, "batch", True), (4, "group", False), (8, "batch", False)):
        images = functional.interpolate(x, (side, side))
        data = Dataset("d", "D", "classification", 3, (1, side, side), 1.0, Split(images, y))
        options = {**SMALL, "norm": norm}
        run = settings("resnet", "sgd", {"lr": 0.01}, options, batch_size=4, epochs=1)
        if told:
            words = r"^BatchNorm needs 2 examples a step, but the last batch has 1 of 9 in batches"
            with pytest.raises(UserError, match=words):
                train_one(run, data, 0)
        else:
            assert train_one(run, data, 0).evaluations[-1].status == "ok"


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_an_epoch_is_that_of_a_plain_loop(norm, tmp_path):
    path = tmp_path / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    data, options = load(path), {**SMALL, "norm": norm}
    more = {"batch_size": 359, "epochs": 1, "precision": "float64"}
    run = settings("resnet", "momentum", {"lr": 0.1}, options, **more)
    outcome = train_one(run, data, 0)
    model = networks.build(run, data, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x, y in Batches(run, data, 0).epoch(1):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        x, y = data.examples(data.validation.x, data.validation.y, torch.float64)
        loss = functional.cross_entropy(model(x), y).item()
    assert outcome.evaluations[-1].val_loss == pytest.approx(loss, rel=1e-9)
    assert outcome.evaluations[-1].val_loss < outcome.evaluations[0].val_loss
