"""Networks: what a study calls them and how each is built for a data set.

Each builder takes the shape of one example (without the batch) and the number of outputs; its
keyword arguments are the options that a study can set, with their defaults. The builders are
listed at every parse of the workflow, so torch is imported inside them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optlab import custom
from optlab.errors import UserError

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def linear(shape: Shape, outputs: int) -> nn.Module:
    """y = W x + b, starting at W = 0.3 and b = -0.3 (exercise 1)."""
    from torch import nn

    layer = nn.Linear(math.prod(shape), outputs)
    nn.init.constant_(layer.weight, 0.3)
    nn.init.constant_(layer.bias, -0.3)
    return _flat(shape, layer)


def softmax(shape: Shape, outputs: int) -> nn.Module:
    """Softmax regression: one matrix and a bias, both starting at zero (exercise 2)."""
    import torch
    from torch import nn

    class WideLinear(nn.Linear):
        """Multiplies the other way round: matrix libraries are faster at a wide product."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.addmm(self.bias[:, None], self.weight, x.flatten(1).T).T

    layer = WideLinear(math.prod(shape), outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(
    shape: Shape,
    outputs: int,
    hidden: Sequence[int] = (128,),
    dropout: float | Sequence[float] = 0.0,
) -> nn.Module:
    """Fully connected layers of ``hidden`` units with ReLU and dropout between them.

    ``dropout`` is one rate for all hidden layers, or a rate for each.
    """
    from torch import nn

    rates = dropout if isinstance(dropout, Sequence) else [dropout] * len(hidden)
    layers: list[nn.Module] = []
    width = math.prod(shape)
    for units, rate in zip(hidden, rates, strict=True):
        layers += [nn.Linear(width, units), nn.ReLU()]
        layers += [nn.Dropout(rate)] if rate else []
        width = units
    return _flat(shape, *layers, nn.Linear(width, outputs))


def cnn(
    shape: Shape,
    outputs: int,
    channels: Sequence[int] = (32, 64),
    units: int = 1024,
    dropout: float = 0.5,
) -> nn.Module:
    """5x5 convolutions with 2x2 max pooling, a dense layer with dropout, and the output layer.

    Raises:
        UserError: the examples are not images, or too small for the pooling layers.
    """
    from torch import nn

    if len(shape) != 3 or min(shape[1:]) < 2 ** len(channels):
        least = 2 ** len(channels)
        raise UserError(
            f"the network cnn needs images of at least {least}x{least} pixels, "
            f"but this data set's examples have the shape {list(shape)}"
        )
    layers: list[nn.Module] = []
    depth, height, width = shape
    for filters in channels:
        # Pooling first gives the same values as ReLU first, for a quarter of the work.
        layers += [nn.Conv2d(depth, filters, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()]
        depth, height, width = filters, height // 2, width // 2
    dense = nn.Linear(depth * height * width, units)
    return nn.Sequential(
        *layers, nn.Flatten(), dense, nn.ReLU(), nn.Dropout(dropout), nn.Linear(units, outputs)
    )


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "linear": linear,
    "softmax": softmax,
    "mlp": mlp,
    "cnn": cnn,
}

# Those without convolutions, whose replicates a GPU trains faster stacked than one by one.
MATRIX_NETWORKS = ("linear", "softmax", "mlp")

# Those with the same initial weights for every seed.
CONSTANT_NETWORKS = ("linear", "softmax")


def options(network: str) -> dict[str, Any]:
    """The options of a network of this module, each with its default."""
    parameters = inspect.signature(NETWORKS[network]).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def refuses(option: str, value: Any, default: Any) -> str | None:
    """What would be right instead of ``value`` for an option with this default, if it is wrong."""
    if isinstance(default, tuple):
        fits = isinstance(value, list) and all(_whole(item) for item in value)
        return None if fits else f"a list of whole numbers from 1 up, as {list(default)}"
    if isinstance(default, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and 0 <= value < 1 else "a number of at least 0 and below 1"
    return None if _whole(value) else "a whole number from 1 up"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def build(network: str, shape: Shape, outputs: int, settings: Mapping[str, Any]) -> nn.Module:
    """The network for examples of ``shape`` with ``outputs`` outputs, on the CPU in float32.

    Raises:
        UserError: the network does not fit the data, or the user's own cannot be built.
    """
    if custom.is_custom(network):
        return custom.call(network, shape, outputs, **settings)
    return NETWORKS[network](shape, outputs, **settings)


def _flat(shape: Shape, *layers: nn.Module) -> nn.Module:
    """The layers, behind a flattening where an example is more than a vector."""
    from torch import nn

    return nn.Sequential(*([nn.Flatten()] if len(shape) != 1 else []), *layers)
