"""The optimizer of a run and its learning-rate scheduler, built and restored."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from optlab import custom
from optlab.errors import UserError, allowed
from optlab.training import groups, protocol
from optlab.training.settings import Settings

Parameters = Mapping[str, inspect.Parameter]

# Arguments that a class without defaults for them gets from the run.
_PARAMETERS = ("params", "parameters", "param_groups")
_MODEL = ("model", "module", "net", "network")
_NAMED = ("named_params", "named_parameters")
_BASE = ("optimizer", "base", "base_optimizer", "inner_optimizer")
_STEPS = ("num_iterations", "total_iterations", "num_steps", "total_steps", "max_steps",
          "num_training_steps")  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What a run has that an optimizer may ask for.

    Attributes:
        model: the network.
        named: what is trained, by name: its parameters, or those of stacked replicates.
        epochs, steps, examples: of the whole training; examples of the training set.
    """

    model: nn.Module
    named: Mapping[str, Tensor]
    epochs: int = 1
    steps: int = 1
    examples: int = 1

    @classmethod
    def of(cls, parameters: Iterable[Tensor]) -> "Context":
        """Parameters of which nothing else is known."""
        return cls(nn.Module(), {str(number): p for number, p in enumerate(parameters)})

    def facts(self) -> dict[str, Any]:
        """Names of constructor arguments, and what they get."""
        return {
            **dict.fromkeys(_MODEL, self.model),
            **{name: list(self.named.items()) for name in _NAMED},
            **dict.fromkeys(_STEPS, self.steps),
            **dict.fromkeys(("num_epochs", "max_epochs"), self.epochs),
            **dict.fromkeys(
                ("num_batches_per_epoch", "steps_per_epoch"), self.steps // self.epochs
            ),
            **dict.fromkeys(("num_data", "num_examples", "dataset_size"), self.examples),
        }


def build(settings: Settings, context: Context, capturable: bool = False) -> torch.optim.Optimizer:
    """The optimizer of a run.

    Args:
        settings: the run.
        context: what it trains, and what it may ask for.
        capturable: whether the step will be recorded in a CUDA graph. Some optimizers then keep
            the step count as a float32 tensor, so their bias corrections differ in the last digits.

    Raises:
        UserError: the optimizer refuses its arguments, or a user's own cannot be imported.
    """
    spec = settings.optimizer_class
    cls = custom.load(spec)
    known = _parameters(cls)
    given = dict(settings.arguments)
    if settings.fused:
        given["fused"] = True
    if capturable and "capturable" in known:
        given["capturable"] = True
    if settings.base and not any(name in known for name in _BASE):
        raise UserError(f"{spec} wraps no other optimizer; leave out 'base'")
    if custom.is_ours(spec) or spec.startswith("torch.optim:"):
        if not custom.is_ours(spec):
            _check_names(spec, cls, given)
        return custom.call(spec, _groups(settings, context, cls), **_typed_all(given, known))
    return _foreign(settings, context, cls, given)


def _foreign(settings: Settings, context: Context, cls: Any, given: dict[str, Any]) -> Any:
    """An optimizer of somebody else's, whose arguments are named in many ways."""
    spec, known = settings.optimizer_class, _parameters(cls)
    wraps = next((name for name in _BASE if name in known), "")
    base = _base(settings, wraps, given, known)
    first = next(iter(known), "")
    takes = [name for name in known if name in _PARAMETERS]
    _check_names(spec, cls, list(given))
    keywords = _typed_all(given, known)
    required = [n for n, p in known.items() if p.default is p.empty and p.kind in _NAMEABLE]
    facts: dict[str, Any] = context.facts()
    arguments: list[Any] = []
    for name in [first, *required]:
        if name in keywords or (arguments and name == first):
            continue
        if name == wraps:
            value = _instance(settings, context, base) if not takes else custom.load(base["class"])
            keywords |= {} if not takes else _base_arguments(base)
        elif name in facts:
            value = facts[name]
        elif name in takes or name == first:
            value = _groups(settings, context, cls)
        else:
            words = "which is no knob of the study, and which a run does not have"
            raise UserError(f"{spec} needs '{name}', {words}")
        if name == first:
            arguments.append(value)
        else:
            keywords[name] = value
    return custom.call(spec, *arguments, **keywords)


_NAMEABLE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _base(
    settings: Settings, wraps: str, given: dict[str, Any], known: Parameters
) -> dict[str, Any]:
    """The optimizer that another one wraps, with the learning rate if the other takes none."""
    spec = settings.optimizer_class
    if not settings.base:
        if wraps and known[wraps].default is inspect.Parameter.empty:
            example = "base: {optimizer: adam}"
            raise UserError(f"{spec} wraps another optimizer; name it, as in {example}")
        return {}
    base = {"class": settings.base["class"], "arguments": dict(settings.base["arguments"])}
    if "lr" in given and "lr" not in known:
        base["arguments"]["lr"] = given.pop("lr")
    return base


def _instance(settings: Settings, context: Context, base: Mapping[str, Any]) -> Any:
    inner = custom.load(base["class"])
    return custom.call(base["class"], _groups(settings, context, inner), **_base_arguments(base))


def _base_arguments(base: Mapping[str, Any]) -> dict[str, Any]:
    inner = custom.load(base["class"])
    _check_names(base["class"], inner, base["arguments"])
    return _typed_all(base["arguments"], _parameters(inner))


def _groups(settings: Settings, context: Context, cls: Any) -> Any:
    decays = settings.no_weight_decay
    if decays and "weight_decay" not in _parameters(cls):
        raise UserError(f"no_weight_decay: {settings.optimizer_class} has no weight_decay")
    return groups.of(context.named, context.model, cls, decays)


def _check_names(spec: str, cls: Any, names: Iterable[str]) -> None:
    """Refuse knobs that the class would take without using them: many have ``**kwargs``."""
    classes = cls.__mro__ if isinstance(cls, type) else (cls,)
    signatures = [_parameters(c) for c in classes if c not in (object, torch.optim.Optimizer)]
    named = {n for found in signatures for n, p in found.items() if p.kind in _NAMEABLE}
    known = named - {*_PARAMETERS, *_MODEL, *_NAMED, *_BASE, "defaults"}
    if not known and any(p.kind is p.VAR_KEYWORD for found in signatures for p in found.values()):
        return
    for name in names:
        if name not in known:
            hint = allowed(name, sorted(known)) if known else "it takes the parameters alone"
            raise UserError(f"{spec} has no argument '{name}'; {hint}")


def _parameters(target: Any) -> Parameters:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # of a user's own, which need not be a class
        return {}


def _typed_all(given: Mapping[str, Any], known: Parameters) -> dict[str, Any]:
    defaults = {name: known[name].default if name in known else None for name in given}
    return {name: _typed(value, defaults[name]) for name, value in given.items()}


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
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(f"{settings.optimizer_class} is no torch.optim.Optimizer for a schedule")
    if not all("lr" in group for group in optimizer.param_groups):
        raise UserError("the optimizer has no 'lr' in its parameter groups for a schedule to set")
    build = custom.load(settings.scheduler)
    rate = settings.arguments.get("lr", optimizer.param_groups[0]["lr"])
    return build(optimizer, steps, rate, **settings.scheduler_options)


def check_processes(optimizer: Any, processes: int) -> None:
    """Raise `UserError` where the gradients of several processes could not be averaged."""
    found = protocol.of(type(optimizer))
    if processes > 1 and (found.backward or found.create_graph):
        name = type(optimizer).__name__
        raise UserError(f"{name} computes gradients in its own way, which needs gpus: 1")


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
