"""The loss of a run: what its steps reduce and its evaluations report."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from optlab import custom
from optlab.catalogue.tasks import NEXT_TOKEN, SQUARED_ERROR_SUM, TASKS
from optlab.errors import UserError
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings

Function = Callable[[Tensor, Tensor], Tensor]  # outputs, targets -> scalar


@dataclass(frozen=True)
class Loss:
    """A loss.

    Attributes:
        mean: of a batch, whose gradient a step follows.
        total: what the examples of a batch add to the loss of a larger one.
        each: by what the `total` of an example is divided in the mean; 0 for a loss that is a sum
            over all examples, which nothing divides.
    """

    mean: Function
    total: Function
    each: int = 1

    def divisor(self, examples: int) -> int:
        """By which the `total` of all examples is divided to be their loss."""
        return max(1, self.each * examples)


_ERRORS: dict[str, Any] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
}


def named(settings: Settings, data: Dataset) -> str:
    """The loss of a run; the usual one of its data set where none is named."""
    return settings.loss or data.loss or TASKS[data.task].loss


def of(settings: Settings, data: Dataset, smoothed: bool = False) -> Loss:
    """The loss of a run: with the label smoothing of its steps, or without, as it is evaluated.

    Raises:
        UserError: the loss is not one of the data set's task, or the user's function fails.
    """
    name = named(settings, data)
    if settings.label_smoothing and name != "cross_entropy":
        raise UserError(f"label_smoothing is of the cross entropy, and the loss is {name}")
    if custom.is_custom(name):
        return _own(name)
    if name not in TASKS[data.task].losses:
        known = ", ".join(TASKS[data.task].losses)
        raise UserError(f"the loss {name} is none of a {data.task} data set's; use {known}")
    if name == "cross_entropy":
        return _cross_entropy(data, settings.label_smoothing if smoothed else 0.0)
    if name == SQUARED_ERROR_SUM:
        total = partial(functional.mse_loss, reduction="sum")
        return Loss(total, total, each=0)
    error = _ERRORS[name]
    targets = data.train.y[0].numel()
    return Loss(error, partial(error, reduction="sum"), targets)


def _cross_entropy(data: Dataset, smoothing: float) -> Loss:
    """Cross entropy, over all symbols of a text."""
    mean = partial(functional.cross_entropy, label_smoothing=smoothing)
    total = partial(mean, reduction="sum")
    if data.task != NEXT_TOKEN:
        return Loss(mean, total)

    def of_symbols(function: Any) -> Function:
        return lambda output, y: function(output.flatten(0, 1), y.flatten())

    return Loss(of_symbols(mean), of_symbols(total), data.train.y[0].numel())


def _own(spec: str) -> Loss:
    """The user's own loss, a function of outputs and targets that gives the mean of a batch."""

    function = custom.load(spec)

    def mean(output: Tensor, y: Tensor) -> Tensor:
        value = function(output, y)
        if not isinstance(value, Tensor) or value.numel() != 1:
            shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"{spec} returns {shape}, not a single number as a tensor")
        return value.reshape(())

    def total(output: Tensor, y: Tensor) -> Tensor:
        if not len(y):  # a rank's share may be empty: zero, but with gradients
            return torch.nan_to_num(output.sum() * 0)
        return mean(output, y) * len(y)

    return Loss(mean, total)
