"""Softmax regression: one matrix and a bias, both starting at zero (exercise 2)."""

from __future__ import annotations

import math

import torch
from torch import nn


class WideLinear(nn.Linear):
    """A linear layer that multiplies weight times input: wide products run faster that way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias[:, None], self.weight, x.flatten(1).T).T


def build(shape: tuple[int, ...], outputs: int) -> nn.Module:
    layer = WideLinear(math.prod(shape), outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
