"""The precision of a run: which type its weights have, and in which its network computes.

bfloat16 is mixed precision as the field means it: weights, the optimizer and losses are float32,
and the network's products are taken in bfloat16, in training and in evaluation alike. float32 is
PyTorch's: on a GPU its convolutions round what they multiply to TF32, matrix products do not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WEIGHTS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}


def mix(model: nn.Module, device_type: str) -> None:
    """Let the network compute in bfloat16 wherever PyTorch holds that safe (autocast)."""
    exact = model.forward

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(device_type, dtype=torch.bfloat16):
            output = exact(x)
        return output.float()

    model.forward = forward
