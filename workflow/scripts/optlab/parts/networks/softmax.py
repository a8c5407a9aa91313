"""Softmax regression: one matrix and a bias, both starting at zero (exercise 2)."""

import math

import torch
from torch import nn


class WideLinear(nn.Linear):
    """A linear layer that computes W x^T, which is faster than x W^T for wide inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias[:, None], self.weight, x.flatten(1).T).T


def build(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The network, which maps an example to one logit per output."""
    layer = WideLinear(math.prod(shape), outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
