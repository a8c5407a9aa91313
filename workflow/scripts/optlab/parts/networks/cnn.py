"""5x5 convolutions with 2x2 max pooling, a dense layer with dropout, and the output layer."""

from collections.abc import Sequence

from torch import nn

from optlab.catalogue import networks
from optlab.errors import UserError


def build(
    shape: tuple[int, ...], outputs: int, channels: Sequence[int], units: int, dropout: float
) -> nn.Module:
    """The network with these filters per convolution and units of the dense layer.

    Raises:
        UserError: the examples are not images, or are too small for the pooling layers.
    """
    if reason := networks.cnn_cannot(shape, {"channels": channels}):
        raise UserError(reason)
    layers: list[nn.Module] = []
    depth, height, width = shape
    for filters in channels:
        # Pooling before ReLU gives the same values, and ReLU then has a quarter of the work.
        layers += [nn.Conv2d(depth, filters, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()]
        depth, height, width = filters, height // 2, width // 2
    dense = nn.Linear(depth * height * width, units)
    return nn.Sequential(
        *layers, nn.Flatten(), dense, nn.ReLU(), nn.Dropout(dropout), nn.Linear(units, outputs)
    )
