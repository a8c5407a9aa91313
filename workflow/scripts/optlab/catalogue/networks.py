"""Networks: what a study calls them, their options, and the work that they make.

A network of the user's own is named ``path/to/file.py:name`` or ``package.module:name``.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optlab.catalogue.knobs import FINITE, FRACTION, whole

Shape = tuple[int, ...]  # of one example

OUTPUTS = 10  # assumed where work is estimated


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
        hidden: whether it has hidden layers.
        constant: whether its initial weights are the same for every seed.
    """

    builder: str
    work: Callable[[Shape, Mapping[str, Any]], Work]
    options: Mapping[str, Any] = field(default_factory=dict)
    matrices: bool = True
    hidden: bool = True
    constant: bool = False


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
    ),
}


def of(name: str) -> Network:
    """The network of this name; of the user's own nothing is known."""
    return NETWORKS.get(name) or Network(name, lambda shape, options: UNKNOWN, matrices=False)


def refuses(option: str, value: Any, default: Any) -> str | None:
    """What would be right instead of ``value`` for an option with this default, if it is wrong."""
    if isinstance(default, list):
        fits = isinstance(value, list) and all(map(whole(1).accepts, value))
        return None if fits else f"a list of whole numbers from 1 up, as {default}"
    if option == "dropout":
        return FRACTION.refuses(value)
    return (FINITE if isinstance(default, float) else whole(1)).refuses(value)
