"""The precision of a run: the type of its weights, and the type in which its network computes.

bfloat16 is mixed precision: weights, optimizer and loss are float32, and the network computes its
products in bfloat16, in training and in evaluation. float32 follows PyTorch's defaults: on a GPU
convolutions round their inputs to TF32, matrix products do not.
"""

import torch
from torch import Tensor, nn

WEIGHTS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}


def mix(model: nn.Module, device_type: str) -> None:
    """Make the network compute in bfloat16 wherever PyTorch considers it safe (autocast)."""
    mixed = torch.autocast(device_type, dtype=torch.bfloat16)(model.forward)

    def forward(x: Tensor) -> Tensor:
        return mixed(x).float()

    model.forward = forward
