"""Batch normalisation where several processes share a batch.

A BatchNorm layer normalises the examples that it is given, which are a process's share of a batch.
With ``sync_batch_norm`` its sums are those over all processes, so that it normalises the whole
batch. ``nn.SyncBatchNorm`` does so on GPUs only.
"""

import copy
import random
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from optlab.errors import UserError
from optlab.training.batches import Batches
from optlab.training.settings import Settings
from optlab.training.world import World

NOTE = (
    "BatchNorm normalises each process's share of a batch (sync_batch_norm: true: the whole batch)"
)


def prepare(model: nn.Module, batches: Batches, settings: Settings, world: World) -> None:
    """Synchronise the layers that are to be, before the model is trained.

    Raises:
        UserError: a batch is too small for a layer.
    """
    if reason := refuses(model, batches, settings, world.size):
        raise UserError(reason)
    for layer in _layers(model) if world.size > 1 else ():
        theirs = isinstance(layer, nn.SyncBatchNorm) and settings.device != "cpu"
        if _is_synchronised(layer, settings) and not theirs:
            _replace(layer, lambda x, *args, **keywords: _over_ranks(world, x, *args, **keywords))


def notes(model: nn.Module, settings: Settings, processes: int) -> list[str]:
    """What makes the results of the run depend on the number of processes, in a line each."""
    shared = [layer for layer in _layers(model) if not _is_synchronised(layer, settings)]
    return [NOTE] if shared and processes > 1 else []


def refuses(model: nn.Module, batches: Batches, settings: Settings, processes: int) -> str | None:
    """Why a layer cannot be trained on the last batch of an epoch, the smallest; None if all can.

    PyTorch refuses a single value per channel. Vectors have one value per channel and example,
    images usually more.
    """
    single = [layer for layer, values in _values(model, batches, settings) if values == 1]
    synchronised = all(_is_synchronised(layer, settings) for layer in single)
    least = (2 if synchronised else 2 * processes) * settings.accumulation
    if not single or batches.last >= least:
        return None
    examples = (batches.per_epoch - 1) * batches.size + batches.last
    given = f"{batches.last} of {examples} in batches of {batches.size}"
    given += f" shared by {processes} processes" if processes > 1 else ""
    fits = [size for size in range(1, examples + 1) if (examples % size or size) >= least]
    other = min(fits, key=lambda size: abs(size - batches.size), default=None)
    cures = [f"another batch_size, such as {other}"] if other else []
    cures += ["sync_batch_norm: true"] if not synchronised and batches.last > 1 else []
    right = f"; use {', or '.join(cures)}" if cures else ""
    each = "" if synchronised or processes == 1 else " and process"
    each += " and part of it (accumulation)" if settings.accumulation > 1 else ""
    return f"BatchNorm needs 2 examples a step{each}, but the last batch has {given}{right}"


def averages(model: nn.Module) -> bool:
    """Whether layers keep running averages, by which they normalise in evaluation."""
    return any(layer.track_running_stats for layer in _layers(model))


def _layers(model: nn.Module) -> Iterator[_BatchNorm]:
    return (layer for layer in model.modules() if isinstance(layer, _BatchNorm))


def _is_synchronised(layer: _BatchNorm, settings: Settings) -> bool:
    return settings.sync_batch_norm or isinstance(layer, nn.SyncBatchNorm | _OnAnyDevice)


class _OnAnyDevice(_BatchNorm):
    """What an ``nn.SyncBatchNorm`` becomes where that, or DistributedDataParallel, refuses it."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Like ``nn.SyncBatchNorm`` it takes any number of dimensions from two up."""


class _Instead(TorchFunctionMode):
    """In this context PyTorch calls ``function`` in place of its own batch normalisation."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__()
        self._function = function

    def __torch_function__(
        self, called: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        function = self._function if called is functional.batch_norm else called
        return function(*args, **(kwargs or {}))


def _replace(layer: _BatchNorm, function: Callable[..., Tensor]) -> None:
    """Make a layer call ``function`` in training; all else of it, also of a subclass, stays."""
    if isinstance(layer, nn.SyncBatchNorm):
        cast(Any, layer).__class__ = _OnAnyDevice
    own = type(layer)

    def forward(self: Any, x: Tensor) -> Tensor:
        if not self.training:
            return cast(Any, own).forward(self, x)
        with _Instead(function):
            return cast(Any, own).forward(self, x)

    cast(Any, layer).forward = MethodType(forward, layer)


def _values(model: nn.Module, batches: Batches, settings: Settings) -> list[tuple[_BatchNorm, int]]:
    """Each layer that normalises in training, with its values per channel of one example.

    They are found by a forward pass of a copy, in which the layers pass on what they are given.
    """
    found: list[tuple[_BatchNorm, int]] = []
    if not any(True for _ in _layers(model)):
        return found
    before = random.getstate()
    devices = [settings.device] if settings.device != "cpu" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            trial = copy.deepcopy(model)
            for layer in _layers(trial):
                _replace(layer, _noting(found, layer))
            x, _ = batches.take(torch.tensor([0]))
            type(trial).forward(trial.train(), x)  # without what `precision.mix` puts around it
        except Exception:  # of the user's own code: the training will report it
            return found
        finally:
            random.setstate(before)
    return found


def _noting(found: list[tuple[_BatchNorm, int]], layer: _BatchNorm) -> Callable[..., Tensor]:
    def note(x: Tensor, *_: Any, **__: Any) -> Tensor:
        found.append((layer, x.numel() // x.shape[1]))
        return x

    return note


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all ranks, whose gradient is the sum over all ranks."""

    @staticmethod
    def forward(context: Any, world: World, values: Tensor) -> Tensor:
        context.world = world
        return world.sum(values.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return None, _Sum.apply(context.world, gradient)


def _over_ranks(
    world: World,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``functional.batch_norm`` in training, with sums over all ranks; a share may be empty."""
    others, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    own = wide.new_tensor([wide.numel() / wide.shape[1]])
    total: Any = _Sum.apply(world, torch.cat([wide.sum(others), own]))
    count, mean = total[-1].detach(), total[:-1] / total[-1].detach()
    centred = wide - mean.view(shape)  # a second sum, since a difference of squares loses digits
    variance = cast(Any, _Sum.apply(world, centred.square().sum(others))) / count
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    scale = torch.rsqrt(variance + eps)
    y = centred * (scale if weight is None else scale * weight).view(shape)
    return (y if bias is None else y + bias.view(shape)).to(x.dtype)
