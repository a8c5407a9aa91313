"""Networks: what a study calls them, their options, and the work that they make.

A network of the user's own is named ``path/to/file.py:name`` or ``package.module:name``.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optlab.catalogue.knobs import FINITE, FRACTION, Rule, whole
from optlab.catalogue.tasks import NEXT_TOKEN

Shape = tuple[int, ...]  # of one example

OUTPUTS = 10  # assumed where work is estimated
SYMBOLS = 128  # the same of a text
DEEPEST = 1000  # layers
LARGEST = 10**10  # weights; with gradients and an optimizer's state, more than any GPU holds


@dataclass(frozen=True)
class Work:
    """What a network does for one example: multiplications, and numbers that it keeps."""

    products: int
    weights: int
    activations: int


UNKNOWN = Work(2_000_000, 200_000, 20_000)  # of a user's own network


@dataclass(frozen=True)
class Network:
    """A network of the catalogue.

    Attributes:
        builder: the function that builds it, ``package.module:function``; it takes the shape of an
            example, the number of outputs, and every option.
        work: shape and options -> an estimate of its work.
        options: option -> default.
        matrices: whether it has no convolutions. A GPU then trains its replicates faster stacked.
        hidden: whether it has hidden matrices, which Muon trains.
        constant: whether its initial weights are the same for every seed.
        stackable: whether it can be stacked. PyTorch's BatchNorm keeps averages that each replicate
            needs for itself, its GroupNorm takes no stacks in the channels-last layout, and its
            LSTM none at all.
        cannot: shape and options -> why it takes no such examples; None where it does.
        text: whether its examples are texts, of which it predicts every next symbol; None where
            that is not known.
    """

    builder: str
    work: Callable[[Shape, Mapping[str, Any]], Work]
    options: Mapping[str, Any] = field(default_factory=dict)
    matrices: bool = True
    hidden: bool = True
    constant: bool = False
    stackable: bool = True
    cannot: Callable[[Shape, Mapping[str, Any]], str | None] = lambda shape, options: None
    text: bool | None = False


def cnn_cannot(shape: Shape, options: Mapping[str, Any]) -> str | None:
    """Why the network cnn cannot take examples of this shape."""
    return _no_images("cnn", shape, 2 ** len(options["channels"]))


def resnet_cannot(shape: Shape, options: Mapping[str, Any]) -> str | None:
    """Why the network resnet, which halves images twice, cannot take examples of this shape."""
    return _no_images("resnet", shape, 4)


def lstm_cannot(shape: Shape, options: Mapping[str, Any]) -> str | None:
    """Why the network lstm cannot take examples of this shape."""
    return _no_text("lstm", shape)


def gpt_cannot(shape: Shape, options: Mapping[str, Any]) -> str | None:
    """Why the network gpt cannot take examples of this shape, or has no such heads."""
    units, heads = options["units"], options["heads"]
    if units % heads:
        return f"the network gpt cannot divide {units} units among {heads} heads"
    return _no_text("gpt", shape)


def _no_text(network: str, shape: Shape) -> str | None:
    if len(shape) == 1:
        return None
    return f"the network {network} needs texts, but examples here have the shape {list(shape)}"


def _no_images(network: str, shape: Shape, least: int) -> str | None:
    """What is wrong with examples that are not images of this size or larger."""
    if len(shape) == 3 and min(shape[1:]) >= least:
        return None
    return (
        f"the network {network} needs images of at least {least}x{least} pixels, "
        f"but this data set's examples have the shape {list(shape)}"
    )


def _dense(widths: Sequence[int]) -> Work:
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    return Work(weights, weights, 2 * sum(widths[1:]))


def _mlp_work(shape: Shape, options: Mapping[str, Any]) -> Work:
    """Of a network of matrices: linear if it has no hidden layers."""
    return _dense([math.prod(shape), *options.get("hidden", ()), OUTPUTS])


def _cnn_work(shape: Shape, options: Mapping[str, Any]) -> Work:
    if len(shape) != 3:
        return UNKNOWN
    depth, height, width = shape
    products = weights = activations = 0
    for filters in options["channels"]:
        weights += 25 * depth * filters
        products += 25 * depth * filters * height * width
        activations += 2 * filters * height * width
        depth, height, width = filters, height // 2, width // 2
    dense = _dense([depth * height * width, options["units"], OUTPUTS])
    return Work(products + dense.products, weights + dense.weights, activations + options["units"])


def _resnet_work(shape: Shape, options: Mapping[str, Any]) -> Work:
    if len(shape) != 3:
        return UNKNOWN
    inputs, height, width = shape
    products = weights = activations = 0
    for layer in range(options["depth"] - 1):
        stage = max(0, layer - 1) // ((options["depth"] - 2) // 3)
        filters = options["width"] * 2**stage
        pixels = math.ceil(height / 2**stage) * math.ceil(width / 2**stage)
        weights += 9 * inputs * filters + 2 * filters
        products += 9 * inputs * filters * pixels
        activations += 3 * filters * pixels
        inputs = filters
    dense = _dense([inputs, OUTPUTS])
    return Work(products + dense.products, weights + dense.weights, activations)


def _lstm_work(shape: Shape, options: Mapping[str, Any]) -> Work:
    symbols, layers, units = math.prod(shape), options["layers"], options["units"]
    matrices = 8 * layers * units**2 + units * SYMBOLS
    weights = matrices + units * SYMBOLS + 8 * layers * units
    # The gates, the cell and the output of a unit, and their gradients.
    return Work(symbols * matrices, weights, 2 * symbols * (8 * layers * units + SYMBOLS))


def _gpt_work(shape: Shape, options: Mapping[str, Any]) -> Work:
    symbols, layers, units = math.prod(shape), options["layers"], options["units"]
    matrices = 12 * layers * units**2 + units * SYMBOLS
    attention = 2 * layers * units * symbols  # products of a symbol with those before it
    weights = matrices + units * (SYMBOLS + symbols + 13 * layers)
    # With dropout, PyTorch keeps the weights of the attention too.
    kept = 17 * layers * units + SYMBOLS + layers * options["heads"] * symbols
    return Work(symbols * (matrices + attention), weights, 2 * symbols * kept)


NETWORKS: dict[str, Network] = {
    "linear": Network(
        "optlab.parts.networks.linear:build",
        _mlp_work,
        {"weight": 0.3, "bias": -0.3},
        hidden=False,
        constant=True,
    ),
    "softmax": Network(
        "optlab.parts.networks.softmax:build", _mlp_work, hidden=False, constant=True
    ),
    "mlp": Network("optlab.parts.networks.mlp:build", _mlp_work, {"hidden": [128], "dropout": 0.0}),
    "cnn": Network(
        "optlab.parts.networks.cnn:build",
        _cnn_work,
        {"channels": [32, 64], "units": 1024, "dropout": 0.5},
        matrices=False,
        cannot=cnn_cannot,
    ),
    "resnet": Network(
        "optlab.parts.networks.resnet:build",
        _resnet_work,
        {"depth": 20, "width": 16, "norm": "batch"},
        matrices=False,
        hidden=False,
        stackable=False,
        cannot=resnet_cannot,
    ),
    "lstm": Network(
        "optlab.parts.networks.lstm:build",
        _lstm_work,
        {"layers": 1, "units": 128, "dropout": 0.0},
        matrices=False,
        stackable=False,
        cannot=lstm_cannot,
        text=True,
    ),
    # Stacked, the attention of one replicate after the other is computed: nothing is gained.
    "gpt": Network(
        "optlab.parts.networks.gpt:build",
        _gpt_work,
        {"layers": 2, "heads": 4, "units": 64, "dropout": 0.0},
        matrices=False,
        cannot=gpt_cannot,
        text=True,
    ),
}
TEXTUAL = [name for name, entry in NETWORKS.items() if entry.text]

# What a default's type does not say.
OPTIONS: dict[str, Rule] = {
    "dropout": FRACTION,
    "depth": Rule(
        lambda value: whole(8, DEEPEST).accepts(value) and value % 6 == 2,
        f"6k + 2 layers: 8, 14, 20, 26, ..., at most {DEEPEST}",
    ),
    "norm": Rule(lambda value: value in ("batch", "group"), "'batch' or 'group'"),
}


def of(name: str) -> Network:
    """The network of this name; of the user's own nothing is known."""
    if name in NETWORKS:
        return NETWORKS[name]
    return Network(name, lambda shape, options: UNKNOWN, matrices=False, text=None)


def refuses(option: str, value: Any, default: Any) -> str | None:
    """What would be right instead of ``value`` for an option with this default, if it is wrong."""
    if isinstance(default, list):
        fits = isinstance(value, list) and all(map(whole(1).accepts, value))
        if fits and len(value) > DEEPEST:
            return f"at most {DEEPEST} layers"
        return None if fits else f"a list of whole numbers from 1 up, as {default}"
    if option in OPTIONS:
        return OPTIONS[option].refuses(value)
    if option == "n_layers" and whole(DEEPEST + 1).accepts(value):
        return f"at most {DEEPEST} layers"
    return (FINITE if isinstance(default, float) else whole(1)).refuses(value)


def unfit(network: str, options: Mapping[str, Any], shape: Shape, task: str) -> str | None:
    """Why a network with these options cannot learn examples of this shape; None where it can."""
    entry = of(network)
    options = {**entry.options, **options}
    if entry.text is not None and entry.text != (task == NEXT_TOKEN):
        if entry.text:
            return f"the network {network} needs texts, and this data set has none"
        return f"the network {network} takes no texts; {' and '.join(TEXTUAL)} do"
    if reason := entry.cannot(shape, options):
        return reason
    weights = entry.work(shape, options).weights
    if weights <= LARGEST:
        return None
    return (
        f"the network {network} has about {weights:.1g} weights; at most {LARGEST:.0g} are allowed"
    )
