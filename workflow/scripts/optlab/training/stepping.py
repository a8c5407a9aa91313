"""A training step: the gradient, the optimizer's step and the scheduler's step."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from optlab.training import graphs, protocol
from optlab.training.losses import Loss
from optlab.training.world import ALONE, World

# A batch -> its loss, a scalar or one per stacked replicate; gradients are left in the parameters.
Gradient = Callable[..., Tensor]
Step = Callable[..., Tensor]  # a batch -> its loss before the step


def make_gradient(
    model: nn.Module,
    loss: Loss,
    world: World = ALONE,
    own: Callable[[Tensor], None] | None = None,
) -> Gradient:
    """A function that computes the loss of a batch and leaves its gradients in the parameters.

    ``own`` computes the gradients of a loss in place of a plain ``backward``
    (`protocol.backward_of`).

    The loss is a scalar that stays on the device. With several ranks, whose model is that of
    `World.wrap`, the gradients are those of the whole batch, however unevenly its examples are
    shared, and the losses of all ranks add up to that of the batch.
    """
    one = next(model.parameters()).new_ones(())
    mean, total = loss.mean, loss.total

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        value = mean(model(x), y)
        backward(value, one)
        return value.detach()

    def other_gradient(x: Tensor, y: Tensor) -> Tensor:
        value = mean(model(x), y)
        own(value)  # type: ignore[misc]
        return value.detach()

    def shared_gradient(x: Tensor, y: Tensor, examples: int) -> Tensor:
        # Summed, not averaged, since a share may be empty; times the world size, since
        # DistributedDataParallel averages over the ranks.
        value = total(model(x), y) / loss.divisor(examples)
        (value * world.size).backward()
        return value.detach()

    if own is not None:
        return other_gradient
    return gradient if world.size == 1 else shared_gradient


def make_step(
    gradient: Gradient,
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler | None = None,
    graph: bool = False,
) -> Step:
    """A function that takes one step on one batch, and one step of the schedule.

    It returns what ``gradient`` returns, the loss before the step. With ``graph`` the step is
    recorded as a CUDA graph.
    """
    update, wanted = update_of(optimizer), protocol.of(type(optimizer))

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None  # as zero_grad does, without its bookkeeping

    def step(*batch: Any) -> Tensor:
        value = gradient(*batch)
        update()
        clear()
        return value

    take: Step = _with_closure(optimizer, gradient, clear) if wanted.closure else step
    if wanted.backward == "fused_backward":
        take = gradient  # which changes the weights too
    if graph:
        take = graphs.Graphed(take, optimizer, varying=schedule is not None)
    return take if schedule is None else _scheduled(take, schedule)


def _with_closure(
    optimizer: torch.optim.Optimizer, gradient: Gradient, clear: Callable[[], None]
) -> Step:
    """A step that evaluates the loss itself, any number of times."""
    losses: list[Tensor] = []  # of one step, which does not always return the first of them
    evaluate: list[Callable[[], Tensor]] = []

    def step(*batch: Any) -> Tensor:
        def closure() -> Tensor:
            clear()
            with torch.enable_grad():  # some steps call it within no_grad
                losses.append(gradient(*batch))
            return losses[-1]

        losses.clear()
        clear()
        evaluate[:] = [closure]
        cast(Any, optimizer).step(closure)
        return losses[0]

    if protocol.of(type(optimizer)).first_step:
        protocol.give_first_gradients(optimizer, lambda: evaluate[0]())
    return step


def _scheduled(take: Step, schedule: LRScheduler) -> Step:
    def step(*batch: Any) -> Tensor:
        value = take(*batch)
        schedule.step()
        return value

    return step


def backward(value: Tensor, one: Tensor) -> None:
    """``value.backward(one)``, by a direct call of the autograd engine.

    What PyTorch does before that call (it compares shapes and copies the thread's context for its
    compiler) takes a fifth of a small network's step. The engine has no public name.
    """
    _ENGINE.run_backward(
        (value,), (one,), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


_ENGINE: Any = torch.autograd.Variable._execution_engine  # type: ignore[attr-defined]


def update_of(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """``optimizer.step``, for PyTorch's own optimizers without its wrappers.

    PyTorch wraps ``step`` in a profiler record, hooks (none is registered here) and a guard for
    its compiler. For a small network these take longer than the step itself.
    """
    cls = type(optimizer)
    if not cls.__module__.startswith("torch.optim.") or protocol.of(cls).closure:
        return optimizer.step
    bare = inspect.unwrap(cls.step)
    cast(Any, optimizer)._opt_called = True  # schedulers look for it at their first step
    no_gradient = torch.no_grad()

    def update() -> None:
        with no_gradient:
            bare(optimizer)

    return update
