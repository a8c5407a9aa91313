"""The optimizer of a run and its learning-rate scheduler, built and restored."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from optlab import custom
from optlab.errors import UserError
from optlab.training.settings import Settings


def build(
    settings: Settings, parameters: Iterable[Tensor], capturable: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of a run.

    Args:
        settings: the run.
        parameters: what the optimizer trains.
        capturable: whether the step will be recorded in a CUDA graph. Some optimizers then keep
            the step count as a float32 tensor, so their bias corrections differ in the last digits.

    Raises:
        UserError: the optimizer refuses its arguments, or a user's own cannot be imported.
    """
    known = _parameters(custom.load(settings.optimizer_class))
    keywords = {
        name: _typed(value, known[name].default if name in known else None)
        for name, value in settings.arguments.items()
    }
    if settings.fused:
        keywords["fused"] = True
    if capturable and "capturable" in known:
        keywords["capturable"] = True
    return custom.call(settings.optimizer_class, list(parameters), **keywords)


def _parameters(target: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # of a user's own, which need not be a class
        return {}


def _typed(value: Any, default: Any) -> Any:
    """A value of the type of the parameter's default: settings write the float 0.0 as 0."""
    if isinstance(value, list | tuple):
        fits = isinstance(default, list | tuple) and len(default) == len(value)
        defaults = default if fits else [None] * len(value)
        return tuple(_typed(*pair) for pair in zip(value, defaults, strict=True))
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and isinstance(default, float) else value


def build_scheduler(
    settings: Settings, optimizer: torch.optim.Optimizer, steps: int
) -> LRScheduler | None:
    """The scheduler of a run of ``steps`` steps; None for a constant learning rate.

    Raises:
        UserError: a user's own optimizer has no learning rate that a scheduler could set.
    """
    if settings.scheduler is None:
        return None
    if not all("lr" in group for group in optimizer.param_groups):
        raise UserError("the optimizer has no 'lr' in its parameter groups for a schedule to set")
    build = custom.load(settings.scheduler)
    return build(optimizer, steps, settings.arguments.get("lr", 0.0), **settings.scheduler_options)


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step evaluates the loss itself, any number of times, as that of L-BFGS does."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def restore(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load a state exactly: ``load_state_dict`` casts some tensors to the type of the weights."""
    optimizer.load_state_dict(dict(saved))
    parts = getattr(optimizer, "parts", (optimizer,))
    for part, state in zip(parts, saved.get("parts", (saved,)), strict=True):
        parameters = [p for group in part.param_groups for p in group["params"]]
        for number, values in state.get("state", {}).items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    loaded = part.state[parameters[number]]
                    loaded[name] = value.to(loaded[name].device, copy=True)
