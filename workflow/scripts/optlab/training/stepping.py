"""How a training step is made: gradients, the optimizer's step, the learning rate's schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler

from optlab.training import graphs, optimizers
from optlab.training.datasets import Dataset
from optlab.training.evaluation import Loss
from optlab.training.world import ALONE, World

# A batch -> its loss, a scalar or one for each stacked replicate; gradients in the parameters.
Gradient = Callable[..., Tensor]
Step = Callable[..., Tensor]  # a batch -> its loss before the step


def make_gradient(
    model: nn.Module, data: Dataset, world: World = ALONE, own: bool = False
) -> Gradient:
    """A function that leaves the gradients of one batch in the parameters.

    It returns the loss, a scalar left on the device. With several processes the gradients are
    those of the whole batch, averaged exactly however its examples are shared out, and the
    returned losses of all processes add up to that of the batch. ``own`` is a network of the
    user's, which may have parameters that it does not use.
    """
    parameter = next(model.parameters())
    one = torch.ones((), device=parameter.device, dtype=parameter.dtype)
    loss = loss_function(data)

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        value = loss(model(x), y)
        backward(value, one)
        return value.detach()

    if world.size == 1:
        return gradient
    shared, total = world.wrap(model, own), loss_function(data, "sum")
    mean = data.task == "classification"

    def shared_gradient(x: Tensor, y: Tensor, examples: int) -> Tensor:
        # A sum, since a share may be empty; times the processes, since DDP averages over them.
        value = total(shared(x), y) / (examples if mean else 1)
        (value * world.size).backward()
        return value.detach()

    shared_gradient.model = shared  # type: ignore[attr-defined]
    return shared_gradient


def make_step(
    gradient: Gradient,
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler | None = None,
    graph: bool = False,
) -> Step:
    """A function that takes one step on one batch, and one of the learning rate's schedule.

    It returns what ``gradient`` does, the loss before the step, left on the device. With ``graph``
    the step is recorded as a CUDA graph.
    """
    update = update_of(optimizer)

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None  # what zero_grad does, without its bookkeeping

    def step(*batch: Any) -> Tensor:
        value = gradient(*batch)
        update()
        clear()
        return value

    def step_with_closure(*batch: Any) -> Tensor:
        def closure() -> Tensor:
            clear()
            return gradient(*batch)

        return cast(Any, optimizer).step(closure)

    take: Step = step_with_closure if optimizers.needs_closure(optimizer) else step
    if graph:
        take = graphs.Graphed(take, optimizer, varying=schedule is not None)
    return take if schedule is None else _scheduled(take, schedule)


def _scheduled(take: Step, schedule: LRScheduler) -> Step:
    def step(*batch: Any) -> Tensor:
        value = take(*batch)
        schedule.step()
        return value

    return step


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


def loss_function(data: Dataset, reduction: str = "mean") -> Loss:
    """Cross entropy for classes, its mean or sum over the batch; else the sum of squared errors."""
    if data.task == "classification" and reduction == "mean":
        return functional.cross_entropy
    if data.task == "classification":
        return partial(functional.cross_entropy, reduction=reduction)
    return lambda output, y: functional.mse_loss(output, y, reduction="sum")
