"""A multilayer perceptron: dense layers with ReLU and dropout between them."""

import math
from collections.abc import Sequence

from torch import nn


def build(
    shape: tuple[int, ...], outputs: int, hidden: Sequence[int], dropout: float | Sequence[float]
) -> nn.Module:
    """The network with ``hidden`` units per layer; ``dropout`` is one rate, or one per layer."""
    rates = dropout if isinstance(dropout, Sequence) else [dropout] * len(hidden)
    layers: list[nn.Module] = [nn.Flatten()] if len(shape) != 1 else []
    width = math.prod(shape)
    for units, rate in zip(hidden, rates, strict=True):
        layers += [nn.Linear(width, units), nn.ReLU()]
        layers += [nn.Dropout(rate)] if rate else []
        width = units
    return nn.Sequential(*layers, nn.Linear(width, outputs))
