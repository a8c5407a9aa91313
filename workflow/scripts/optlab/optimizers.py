"""Optimizers: what a study calls them, the PyTorch class behind each, and the knobs it takes.

The table is read at every parse of the workflow, so torch is imported only where an optimizer
is built. An optimizer of the user's own is named ``path/to/file.py:Class`` or
``package.module:Class`` and takes whatever knobs the study gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optlab import custom
from optlab.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Knob:
    """What values a knob may take: a test, and the words that say what passes it."""

    accepts: Callable[[Any], bool]
    allowed: str


def _number(low: float, high: float = float("inf"), open_low: bool = False) -> Callable:
    def accepts(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (low < value if open_low else low <= value) and value < high

    return accepts


def _pair(accepts_item: Callable[[Any], bool], ordered: bool = False) -> Callable:
    def accepts(value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) != 2:
            return False
        return all(map(accepts_item, value)) and (not ordered or value[0] < value[1])

    return accepts


_RATE = Knob(_number(0), "a finite number of at least 0")
_FRACTION = Knob(_number(0, 1), "a number of at least 0 and below 1")
_POSITIVE = Knob(_number(0, open_low=True), "a finite number above 0")
_FLAG = Knob(lambda value: isinstance(value, bool), "true or false")

KNOBS: dict[str, Knob] = {
    "lr": _RATE,
    "momentum": _FRACTION,
    "weight_decay": _RATE,
    "dampening": _FRACTION,
    "betas": Knob(_pair(_number(0, 1)), "two numbers of at least 0 and below 1, as [0.9, 0.999]"),
    "eps": _POSITIVE,
    "alpha": _FRACTION,
    "amsgrad": _FLAG,
    "centered": _FLAG,
    "lr_decay": _RATE,
    "momentum_decay": _RATE,
    "initial_accumulator_value": _RATE,
    "etas": Knob(_pair(_POSITIVE.accepts, True), "two factors as [0.5, 1.2], the smaller first"),
    "step_sizes": Knob(_pair(_POSITIVE.accepts, True), "two step sizes as [1e-06, 50]"),
}

# The knobs that every path and table shows, even at their default.
SHOWN = ("lr", "momentum")


@dataclass(frozen=True)
class Optimizer:
    """One entry of the table.

    Attributes:
        cls: the name of the class in ``torch.optim``.
        knobs: knob -> PyTorch's default; ``lr`` has none, a study or ``grid`` gives it.
        grid: the learning rates tried where a study names none.
        fixed: arguments that make this entry what it is, and no study can change.
        fused: whether PyTorch has a fused step for it on CPU and CUDA alike.
    """

    cls: str
    knobs: Mapping[str, Any]
    grid: tuple[float, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    fused: bool = False


_ADAM = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
_ADAM_GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_SGD_GRID = (0.001, 0.01, 0.1, 0.5, 1.0)

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer("SGD", {"weight_decay": 0.0}, _SGD_GRID, fused=True),
    "momentum": Optimizer(
        "SGD",
        {"momentum": 0.9, "weight_decay": 0.0, "dampening": 0.0},
        (0.001, 0.01, 0.03, 0.1, 0.3),
        fused=True,
    ),
    "nesterov": Optimizer(
        "SGD",
        {"momentum": 0.9, "weight_decay": 0.0},
        (0.001, 0.01, 0.03, 0.1, 0.3),
        fixed={"nesterov": True},
        fused=True,
    ),
    "adagrad": Optimizer(
        "Adagrad",
        {"lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
        (0.001, 0.003, 0.01, 0.03, 0.1),
        fused=True,
    ),
    "rmsprop": Optimizer(
        "RMSprop",
        {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        _ADAM_GRID,
    ),
    "adam": Optimizer("Adam", _ADAM, _ADAM_GRID, fused=True),
    "adamw": Optimizer("AdamW", {**_ADAM, "weight_decay": 0.01}, _ADAM_GRID, fused=True),
    "nadam": Optimizer(
        "NAdam",
        {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 0.004},
        _ADAM_GRID,
    ),
    "radam": Optimizer(
        "RAdam", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}, _ADAM_GRID
    ),
    "adamax": Optimizer(
        "Adamax", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}, _ADAM_GRID
    ),
    "rprop": Optimizer(
        "Rprop", {"etas": [0.5, 1.2], "step_sizes": [1e-6, 50]}, (1e-4, 1e-3, 1e-2)
    ),
}


def refuses(knob: str, value: Any) -> str | None:
    """What would be right instead of ``value``, if it is wrong for this knob."""
    rule = KNOBS.get(knob)
    return None if rule is None or rule.accepts(value) else rule.allowed


def complete(name: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs of one run, defaults filled in.

    Raises:
        UserError: an unknown optimizer or knob, or a value that it does not take.
    """
    entry = OPTIMIZERS.get(name)
    if entry is None and not custom.is_custom(name):
        raise UserError(f"unknown optimizer '{name}'; there are {', '.join(OPTIMIZERS)}")
    full = {"lr": entry.grid[len(entry.grid) // 2], **entry.knobs, **knobs} if entry else knobs
    for knob, value in knobs.items():
        if entry and knob not in ("lr", *entry.knobs):
            known = ", ".join(("lr", *entry.knobs))
            raise UserError(f"the optimizer {name} has no knob '{knob}'; it has {known}")
        if allowed := refuses(knob, value):
            raise UserError(f"{knob} = {value} is not allowed; {allowed}")
    return dict(full)


def build(
    name: str, parameters: Iterable[torch.nn.Parameter], knobs: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer ``name`` over ``parameters`` with the run's knobs.

    Raises:
        UserError: an optimizer of the user's own cannot be loaded or refuses its knobs.
    """
    import torch

    keywords = {k: tuple(v) if isinstance(v, list) else v for k, v in knobs.items()}
    entry = OPTIMIZERS.get(name)
    if entry is None:
        return custom.call(name, parameters, **keywords)
    if entry.fused:
        keywords["fused"] = True
    return getattr(torch.optim, entry.cls)(parameters, **keywords, **entry.fixed)
