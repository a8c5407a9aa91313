"""ResNet-n for small images, as K. He and others train it on CIFAR-10 (arXiv:1512.03385, 4.2).

A 3x3 convolution, three stages of (n - 2) / 6 blocks, the average over all pixels, and the output
layer. The second and the third stage halve the image and double the filters. Shortcuts have no
weights (option A of the paper, which it takes for CIFAR-10): where sizes differ they take every
second pixel and add channels of zeros. So n counts all layers with weights, and numbers of weights
are the published ones. Initial convolutions are those of arXiv:1502.01852, for outputs; the output
layer has PyTorch's.
"""

import math

from torch import Tensor, nn
from torch.nn import functional

from optlab.catalogue import networks
from optlab.errors import UserError

GROUPS = 8  # of channels, if that divides the width


def build(shape: tuple[int, ...], outputs: int, depth: int, width: int, norm: str) -> nn.Module:
    """The network with ``depth`` layers, whose first stage has ``width`` filters.

    Raises:
        UserError: the examples are not images, or are too small to be halved twice.
    """
    if reason := networks.resnet_cannot(shape, {}):
        raise UserError(reason)

    def normalisation(channels: int) -> nn.Module:
        if norm == "group":
            return nn.GroupNorm(math.gcd(width, GROUPS), channels)
        return nn.BatchNorm2d(channels)

    layers: list[nn.Module] = [_convolution(shape[0], width, 1), normalisation(width), nn.ReLU()]
    inputs = width
    for stage in range(3):
        channels = width * 2**stage
        for number in range((depth - 2) // 6):
            stride = 2 if stage and not number else 1
            first, second = normalisation(channels), normalisation(channels)
            layers.append(Block(inputs, channels, stride, first, second))
            inputs = channels
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(inputs, outputs))


class Block(nn.Module):
    """Two convolutions, each normalised, beside a shortcut."""

    def __init__(self, inputs: int, channels: int, stride: int, norm1: nn.Module, norm2: nn.Module):
        super().__init__()
        self.conv1, self.norm1 = _convolution(inputs, channels, stride), norm1
        self.conv2, self.norm2 = _convolution(channels, channels, 1), norm2
        self._stride, self._added = stride, channels - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self._added or self._stride > 1:
            x = x[:, :, :: self._stride, :: self._stride]
            x = functional.pad(x, (0, 0, 0, 0, 0, self._added))
        return functional.relu(x + y)


def _convolution(inputs: int, channels: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
