"""Whether an optimizer can be continued from its ``state_dict``, found out by doing so.

PyTorch's own can. One of somebody else's may keep a part of its state elsewhere, and a run that
continues without it would give other numbers.
"""

import copy
import random
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from optlab import custom
from optlab.training import losses, optimizers, protocol, stepping
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings

STEPS = 2


def is_known(settings: Settings) -> bool:
    """Whether the optimizer is one of ours or of PyTorch's, so that nothing has to be tried."""
    specs = [settings.optimizer_class, *([settings.base["class"]] if settings.base else [])]
    return all(custom.is_ours(spec) or spec.startswith("torch.optim:") for spec in specs)


def is_exact(
    settings: Settings, context: optimizers.Context, optimizer: Any, data: Dataset, batch: Any
) -> bool:
    """Whether a new optimizer with the same state takes the same steps as a copy of this one.

    Args:
        context: as that with which ``optimizer`` was built.
        batch: on which the steps are taken.
    """
    if protocol.of(type(optimizer)).backward:
        return False  # it is tied to its own network, of which a copy would be another
    before = (torch.get_rng_state(), random.getstate())
    try:
        memo: dict[int, Any] = {}
        model, copied = copy.deepcopy(context.model, memo), _copy(optimizer, memo)
        vars(copied).pop("first_step", None)  # `stepping` sets it anew
        other = copy.deepcopy(context.model)
        named = dict(other.named_parameters())
        parts = (other, named, context.epochs, context.steps, context.examples)
        restored = optimizers.build(settings, optimizers.Context(*parts))
        optimizers.restore(restored, copy.deepcopy(optimizer.state_dict()))
        loss, ends = losses.of(settings, data, smoothed=True), []
        for network, one in ((model, copied), (other, restored)):
            torch.set_rng_state(before[0])
            random.setstate(before[1])
            ends.append(_stepped(network, one, loss, batch))
        return all(map(torch.equal, *ends)) and _same(_beside(copied), _beside(restored))
    except Exception:  # of the user's own code: it cannot be copied, or not be restored
        return False
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])


def _beside(optimizer: Any) -> dict[str, Any]:
    """What an optimizer remembers beside its state: a counter may act only every tenth step."""
    known = ("state", "param_groups", "defaults", "first_step")
    found = vars(optimizer).items()
    return {name: value for name, value in found if name not in known and name[:1] != "_"}


def _same(one: Any, other: Any) -> bool:
    """Whether two values say the same, as far as they are numbers, texts, tensors, or hold such."""
    if isinstance(one, torch.optim.Optimizer):
        return _same(_beside(one), _beside(other))
    if isinstance(one, Tensor):
        return (not isinstance(one, nn.Parameter) and torch.equal(one, other)) or one.requires_grad
    if isinstance(one, Mapping):
        return len(one) == len(other) and all(map(_same, one.values(), other.values()))
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other if isinstance(one, bool | int | float | str) else True


def _copy(optimizer: Any, memo: dict[int, Any]) -> Any:
    """A copy of all attributes: ``copy.deepcopy`` leaves out what PyTorch does not know."""
    copied = object.__new__(type(optimizer))
    memo[id(optimizer)] = copied
    for inner in vars(optimizer).values():
        if isinstance(inner, torch.optim.Optimizer) and id(inner) not in memo:
            _copy(inner, memo)
    vars(copied).update(copy.deepcopy(vars(optimizer), memo))
    return copied


def _stepped(model: nn.Module, optimizer: Any, loss: losses.Loss, batch: Any) -> list[Tensor]:
    """The weights after some steps."""
    parameters = list(model.parameters())
    gradient = stepping.make_gradient(model, loss, own=protocol.backward_of(optimizer))
    step = stepping.make_step(gradient, parameters, optimizer)
    for _ in range(STEPS):
        step(*batch)
    return [parameter.detach() for parameter in parameters]
