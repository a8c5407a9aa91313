"""Evaluation of a network: the row that it makes, its loss, and its measurement on a split."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from optlab.training import networks
from optlab.training.datasets import Dataset, Split
from optlab.training.world import World

BLOCK = 2**22  # input values per forward pass, which bounds its memory
Loss = Callable[[Tensor, Tensor], Tensor]  # outputs, targets -> scalar


@dataclass
class Evaluation:
    """One row of a seed: losses in the exercise's own loss, accuracies in [0, 1], else None."""

    epoch: int
    step: int
    seconds: float
    train_loss: float
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    status: str = "ok"
    best_epoch: int | None = None
    best_test_loss: float | None = None
    best_test_accuracy: float | None = None


def loss_function(data: Dataset, reduction: str = "mean") -> Loss:
    """Cross entropy for classes, its mean or sum over the batch; else the sum of squared errors."""
    if data.task == "classification":
        return partial(functional.cross_entropy, reduction=reduction)
    return partial(functional.mse_loss, reduction="sum")


@torch.inference_mode()
def measure(
    model: nn.Module,
    data: Dataset,
    split: Split,
    dtype: torch.dtype,
    world: World,
    name: str = "the network",
) -> tuple[float, float | None]:
    """Loss and accuracy (None for a regression) on a split of ``data``, in evaluation mode.

    The ranks share the examples, and each of them gets the values of the whole split. The device
    is synchronized once.

    Args:
        dtype: the type of the model's weights.
        name: of the network, for an error.

    Raises:
        UserError: its outputs do not fit the targets.
    """
    classes, loss = data.task == "classification", loss_function(data, "sum")
    block = _block(data)
    total = torch.zeros(2, dtype=torch.float64, device=split.x.device)  # loss, correct outputs
    model.eval()
    shares = (world.share(values).split(block) for values in (split.x, split.y))
    for x_rows, y_rows in zip(*shares, strict=True):
        x, y = data.examples(x_rows, y_rows, dtype)
        output = model(x)
        networks.check(output, y, data, name)
        total[0] += loss(output, y)
        if classes:
            total[1] += (output.argmax(1) == y).sum()
    model.train()
    summed, correct = world.sum(total).tolist()
    return (summed / len(split.x), correct / len(split.x)) if classes else (summed, None)


@torch.inference_mode()
def correct(model: nn.Module, data: Dataset, split: Split, dtype: torch.dtype) -> Tensor:
    """Whether each example of a split is classified correctly [examples], in evaluation mode."""
    found = []
    model.eval()
    for x_rows, y_rows in zip(
        split.x.split(_block(data)), split.y.split(_block(data)), strict=True
    ):
        x, y = data.examples(x_rows, y_rows, dtype)
        found.append(model(x).argmax(1) == y)
    model.train()
    return torch.cat(found)


def _block(data: Dataset) -> int:
    """The examples of one forward pass."""
    return max(1, BLOCK // math.prod(data.shape))
