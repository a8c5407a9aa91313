"""Weight decay for PyTorch's optimizers that have none, as an L2 penalty.

The loss that they minimize is that of the run plus ``weight_decay / 2`` times the sum of the
squared weights. Its gradient, ``weight_decay`` times the weights, is added to that of the run, as
PyTorch's SGD, Adam and RMSprop do.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Rprop


def _add(groups: list[dict[str, Any]]) -> None:
    """Add the gradient of the penalty to the gradients."""
    for group in groups:
        for weights in group["params"]:
            if weights.grad is not None:
                weights.grad.add_(weights, alpha=group["weight_decay"])


def _penalty(groups: list[dict[str, Any]]) -> Tensor:
    terms = [
        group["weight_decay"] / 2 * weights.square().sum()
        for group in groups
        for weights in group["params"]
        if weights.grad is not None
    ]
    return torch.stack(terms).sum()


class RpropL2(Rprop):
    """Rprop of the penalized loss, whose signs it follows."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        weight_decay: float = 0.0,
        capturable: bool = False,
    ):
        super().__init__(params, lr, etas, step_sizes, capturable=capturable)
        self.defaults["weight_decay"] = weight_decay
        for group in self.param_groups:
            group.setdefault("weight_decay", weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        _add(self.param_groups)
        super().step()
        return value


class LBFGSL2(LBFGS):
    """L-BFGS of the penalized loss, along which it also searches."""

    def __init__(self, params: Any, lr: float = 1.0, weight_decay: float = 0.0, **others: Any):
        super().__init__(params, lr, **others)
        self.defaults["weight_decay"] = weight_decay
        for group in self.param_groups:
            group["weight_decay"] = weight_decay

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Take a step; ``closure`` computes the loss of the run and its gradients."""

        @torch.no_grad()
        def penalized() -> Tensor:
            with torch.enable_grad():
                value = closure()
            _add(self.param_groups)
            return value + _penalty(self.param_groups)

        return super().step(penalized)
