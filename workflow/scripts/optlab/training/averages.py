"""Moving averages of the weights, which are evaluated in place of the weights that are trained.

As with ``torch.optim.swa_utils.AveragedModel`` and its buffers: the average begins with the weights
after the first step, and what BatchNorm layers average is averaged too.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from optlab.errors import UserError
from optlab.training import protocol

Step = Callable[..., Tensor]  # as in `stepping`


class Averages:
    """The averages of a network's weights, and of its buffers with fractions.

    Raises:
        UserError: the optimizer averages weights itself.
    """

    def __init__(self, model: nn.Module, decay: float, optimizer: Any):
        if protocol.of(type(optimizer)).modes:
            name = type(optimizer).__name__
            raise UserError(f"{name} has weights of its own for evaluations: it needs ema: 0")
        buffers = (buffer for buffer in model.buffers() if buffer.is_floating_point())
        self._weights = [weights.detach() for weights in (*model.parameters(), *buffers)]
        self._averages = [weights.clone() for weights in self._weights]
        self._add = get_ema_multi_avg_fn(decay)
        self._begun = self._shown = False

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after a step."""
        if self._begun:
            self._add(self._averages, self._weights, 0)
        else:
            for average, weights in zip(self._averages, self._weights, strict=True):
                average.copy_(weights)
            self._begun = True

    def after(self, take: Step) -> Step:
        """A step like ``take`` that also adds the weights after it."""

        def step(*batch: Any) -> Tensor:
            value = take(*batch)
            self.update()
            return value

        return step

    @torch.no_grad()
    def show(self, averaged: bool) -> None:
        """Put the averages in place of the weights, or the weights back."""
        if averaged != self._shown:
            for average, weights in zip(self._averages, self._weights, strict=True):
                kept = weights.clone()  # in place, since a CUDA graph knows their memory
                weights.copy_(average)
                average.copy_(kept)
            self._shown = averaged

    def state(self) -> dict[str, Any]:
        """What `restore` needs, while the weights are in place."""
        return {"averages": self._averages, "begun": self._begun}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        self._begun = state["begun"]
        for average, saved in zip(self._averages, state["averages"], strict=True):
            average.copy_(saved)
