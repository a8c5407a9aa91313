"""The network of a replicate, ours or somebody else's, with the initial weights of its seed."""

import inspect
import math
import random
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from optlab import custom
from optlab.errors import UserError
from optlab.training import precision
from optlab.training.batches import derived_seed
from optlab.training.datasets import Dataset
from optlab.training.settings import Settings

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def build(settings: Settings, data: Dataset, seed: int, rank: int = 0) -> nn.Module:
    """The network with the initial weights of ``seed``, which are drawn on the CPU in any case.

    Also seeds what the network draws in training, differently for each rank; that goes with the
    order of the examples.

    Raises:
        UserError: it refuses its arguments, or is not what a run can train.
    """
    torch.manual_seed(derived_seed("weights", settings.seed_of("weights", seed)))
    usual, dtype = torch.get_default_dtype(), precision.WEIGHTS[settings.precision]
    torch.set_default_dtype(dtype)  # for constants too
    try:
        model = _made(settings, data)
        _complete(model, data, dtype)
    finally:
        torch.set_default_dtype(usual)
    if settings.precision == "bfloat16":
        precision.mix(model, torch.device(settings.device).type)
    order = settings.seed_of("order", seed)
    torch.manual_seed(derived_seed("dropout", order, *([rank] if rank else [])))
    random.seed(derived_seed("python", order, rank))  # a user's own network may use it
    layout = torch.channels_last if settings.channels_last else torch.preserve_format
    return cast(Any, model).to(settings.device, memory_format=layout)


def seeds_itself(settings: Settings, data: Dataset) -> bool:
    """Whether a network of the user's has the same weights with two seeds that should differ."""
    if custom.is_ours(settings.network_builder) or "weights" not in settings.vary:
        return False
    one, other = (build(settings, data, seed).state_dict() for seed in (0, 1))
    return all(torch.equal(one[name], other[name]) for name in one)


def outputs(data: Dataset) -> int:
    """The number of classes, or of targets."""
    return data.classes if data.classes is not None else math.prod(data.train.y.shape[1:])


def check(output: Any, y: Tensor, data: Dataset, spec: str) -> None:
    """Raise `UserError` if an output does not fit the targets, also where it would broadcast."""
    if not isinstance(output, Tensor):
        raise UserError(f"{spec} returns {type(output).__name__}, not a tensor")
    found, count, classes = list(output.shape), len(y), data.classes
    wanted = list(y.shape) if classes is None else [*y.shape, classes]
    more = classes is not None and found[:-1] == wanted[:-1] and found[-1] > classes
    if found != wanted and not more:
        words = f"the shape {found} for {count} examples, where {wanted} is needed"
        raise UserError(f"{spec} returns {words}: {_KINDS[data.task]}")


_KINDS = {
    "classification": "a value for each class",
    "regression": "as many values as there are targets",
    "next_token": "a value for each symbol that may follow, at each place",
}


def _made(settings: Settings, data: Dataset) -> nn.Module:
    spec, options = settings.network_builder, settings.network_options
    if custom.is_ours(spec):
        return custom.call(spec, data.shape, outputs(data), **options)
    arguments, more = _arguments(spec, data, options)
    model = custom.call(spec, *arguments, **{**more, **options})
    if not isinstance(model, nn.Module):
        raise UserError(f"{spec} returns {type(model).__name__}, not a torch.nn.Module")
    if not any(True for _ in model.parameters()):
        raise UserError(f"{spec} has no parameters to train")
    return model


def _arguments(
    spec: str, data: Dataset, options: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a network is called with besides its options, by its signature.

    It is our own, (shape, outputs), or that of torchvision and timm, which take ``num_classes``
    among their keywords, or neither.
    """
    try:
        known = inspect.signature(custom.load(spec)).parameters
    except (TypeError, ValueError):
        return (data.shape, outputs(data)), {}
    if "num_classes" in options:
        return (), {}
    if "num_classes" in known:
        return (), {"num_classes": outputs(data)}
    kinds = [p.kind for p in known.values()]
    required = [
        name for name, p in known.items()
        if p.kind in _POSITIONAL and p.default is p.empty and name not in options
    ]  # fmt: skip
    several = sum(p.kind in _POSITIONAL for p in known.values()) > 1
    if (required and several) or inspect.Parameter.VAR_POSITIONAL in kinds:
        return (data.shape, outputs(data)), {}
    if required:
        words = "takes neither (shape, outputs) nor num_classes; give it as an option"
        raise UserError(f"{spec} needs '{required[0]}', but it {words}")
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return (), {"num_classes": outputs(data)}
    return (), {}


def _complete(model: nn.Module, data: Dataset, dtype: torch.dtype) -> None:
    """Give lazy layers their shapes, which they take from the first examples that they see."""
    if not any(map(is_lazy, model.parameters())):
        return
    x, _ = data.examples(data.train.x[:2].cpu(), data.train.y[:2].cpu(), dtype)
    model.eval()  # no running statistics of these examples
    with torch.no_grad():
        model(x)
    model.train()
