"""How a training step is made: gradients, the optimizer's step, the learning rate's schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from optlab import optimizers
from optlab.evaluation import Loss

Network = Callable[[Tensor], Tensor]  # inputs -> outputs
Step = Callable[[Tensor, Tensor], Tensor]  # inputs, targets -> the loss before the step


def eager(
    network: Network,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    schedule: LRScheduler | None = None,
) -> Step:
    """A function that takes one step on one batch, and one of the learning rate's schedule.

    It returns the loss before the step, a scalar left on the device.
    """
    one = torch.ones((), device=parameters[0].device, dtype=parameters[0].dtype)
    update = update_of(optimizer)

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None  # what zero_grad does, without its bookkeeping

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        value = loss(network(x), y)
        backward(value, one)
        return value.detach()

    def step(x: Tensor, y: Tensor) -> Tensor:
        value = gradient(x, y)
        update()
        clear()
        return value

    def step_with_closure(x: Tensor, y: Tensor) -> Tensor:
        def closure() -> Tensor:
            clear()
            return gradient(x, y)

        return cast(Any, optimizer).step(closure)

    take = step_with_closure if optimizers.needs_closure(optimizer) else step
    return take if schedule is None else _scheduled(take, schedule)


def backward(value: Tensor, one: Tensor) -> None:
    """``value.backward(one)``, straight from the engine behind it.

    What PyTorch does on the way there (it compares shapes and copies the thread's context for its
    compiler) takes a fifth of a small network's step. The engine has no public name.
    """
    _ENGINE.run_backward(
        (value,), (one,), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


_ENGINE: Any = torch.autograd.Variable._execution_engine  # type: ignore[attr-defined]


def update_of(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """``optimizer.step``; for PyTorch's own optimizers without what every call of it costs.

    PyTorch wraps ``step`` in a record for its profiler, in hooks, of which none is registered
    here, and in a fence for its compiler: for a small network more than the step itself.
    """
    cls = type(optimizer)
    if not cls.__module__.startswith("torch.optim.") or optimizers.needs_closure(optimizer):
        return optimizer.step
    bare = inspect.unwrap(cls.step)
    cast(Any, optimizer)._opt_called = True  # what a schedule asks for at its first step

    no_gradient = torch.no_grad()

    def update() -> None:
        with no_gradient:
            bare(optimizer)

    return update


def _scheduled(take: Step, schedule: LRScheduler) -> Step:
    def step(x: Tensor, y: Tensor) -> Tensor:
        value = take(x, y)
        schedule.step()
        return value

    return step
