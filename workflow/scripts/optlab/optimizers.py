"""Optimizers: what a study calls them, the PyTorch class behind each, and the knobs it takes.

The table is read at every parse of the workflow, so torch is imported only where an optimizer
is built. An optimizer of the user's own is named ``path/to/file.py:Class`` or
``package.module:Class`` and takes whatever knobs the study gives it. Its colour and its label are
in `optlab.style` and `optlab.pictures`: changing those trains nothing again.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optlab import custom, models
from optlab.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Knob:
    """What values a knob may take: a test, and the words that say what passes it."""

    accepts: Callable[[Any], bool]
    allowed: str


def _number(low: float, high: float = sys.float_info.max, open_low: bool = False) -> Callable:
    def accepts(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (low < value if open_low else low <= value) and value < high

    return accepts


def _whole(low: int, high: int) -> Knob:
    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Knob(accepts, f"a whole number from {low} to {high}")


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
    "rho": _FRACTION,
    "nesterov": _FLAG,
    "ns_steps": _whole(1, 99),
    "d": Knob(_number(1), "a finite number of at least 1"),
    "beta2_decay": Knob(_number(-1, 0), "a number of at least -1 and below 0"),
    "history_size": _whole(1, 1000),
    "step_sizes": Knob(_pair(_POSITIVE.accepts, True), "two step sizes as [1e-06, 50]"),
}

# The knobs that every path and table shows, even at their default.
SHOWN = ("lr", "momentum")


@dataclass(frozen=True)
class Optimizer:
    """One entry of the table.

    Attributes:
        cls: the name of the class in ``torch.optim``, or ``package.module:Class``.
        knobs: knob -> its default, PyTorch's own unless a comment says why not; ``lr`` has none,
            a study or ``grid`` gives it.
        grid: the learning rates tried where a study names none.
        fixed: arguments that make this entry what it is, and no study can change.
        fused: whether PyTorch has a fused step for it on CPU and CUDA alike.
        elementwise: whether each weight's step depends on that weight's own gradients alone, so
            that the parameters of several replicates may be stacked in one tensor.
        capturable: whether its step never waits for a value from the device nor takes a branch
            by one, so that it may be recorded in a CUDA graph.
        skip: why a run (`optlab.grid.Run`) makes no sense with it; None where it does.
    """

    cls: str
    knobs: Mapping[str, Any]
    grid: tuple[float, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    fused: bool = False
    elementwise: bool = True
    capturable: bool = True
    skip: Callable[[Any], str | None] = lambda run: None


def _skip_muon(run: Any) -> str | None:
    if run.network in ("linear", "softmax"):
        return f"the network {run.network} has no hidden matrix: Muon would be plain AdamW"
    return None


def _skip_rprop(run: Any) -> str | None:
    if run.schedule != "constant":
        return "Rprop takes its learning rate at the first step only: a schedule changes nothing"
    return None


def _skip_lbfgs(run: Any) -> str | None:
    if run.batch_size != "full":
        return "L-BFGS compares gradients of one and the same loss: it needs batch_size full"
    usual = models.options(run.network) if run.network in models.NETWORKS else {}
    if {**usual, **run.network_options}.get("dropout"):
        return "L-BFGS searches along a line on one and the same loss, which dropout changes"
    if run.schedule != "constant":
        return "L-BFGS finds the length of each step by a line search: a schedule has no meaning"
    return None


_MOMENTS = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
_ADAM = {**_MOMENTS, "amsgrad": False}
_ADAM_GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_MOMENTUM_GRID = (0.001, 0.01, 0.03, 0.1, 0.3)

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer("SGD", {"weight_decay": 0.0}, (0.001, 0.01, 0.1, 0.5, 1.0), fused=True),
    # The momentum of SGD is the field's 0.9: with PyTorch's 0 there would be none.
    "momentum": Optimizer(
        "SGD",
        {"momentum": 0.9, "weight_decay": 0.0, "dampening": 0.0},
        _MOMENTUM_GRID,
        fused=True,
    ),
    "nesterov": Optimizer(
        "SGD",
        {"momentum": 0.9, "weight_decay": 0.0},
        _MOMENTUM_GRID,
        fixed={"nesterov": True},
        fused=True,
    ),
    "adagrad": Optimizer(
        "Adagrad",
        {"lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
        (0.001, 0.003, 0.01, 0.03, 0.1),
        fused=True,
    ),
    "adadelta": Optimizer(
        "Adadelta", {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0}, (0.1, 0.3, 1.0, 3.0, 10.0)
    ),
    "rmsprop": Optimizer(
        "RMSprop",
        {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        _ADAM_GRID,
    ),
    "adam": Optimizer("Adam", _ADAM, _ADAM_GRID, fused=True),
    "adamw": Optimizer("AdamW", {**_ADAM, "weight_decay": 0.01}, _ADAM_GRID, fused=True),
    "nadam": Optimizer("NAdam", {**_MOMENTS, "momentum_decay": 0.004}, _ADAM_GRID),
    "radam": Optimizer("RAdam", _MOMENTS, _ADAM_GRID),
    "adamax": Optimizer("Adamax", _MOMENTS, _ADAM_GRID),
    "adafactor": Optimizer(
        "Adafactor",
        {"beta2_decay": -0.8, "d": 1.0, "weight_decay": 0.0},
        (0.003, 0.01, 0.03, 0.1, 0.3),  # relative to the size of the weights
        elementwise=False,
        capturable=False,
    ),
    # Which parameters Muon trains, and what trains the others: see the class.
    "muon": Optimizer(
        "optlab.muon:MuonWithAdamW",
        {"momentum": 0.95, "nesterov": True, "ns_steps": 5, **_MOMENTS, "weight_decay": 0.1},
        _ADAM_GRID,
        elementwise=False,
        capturable=False,
        skip=_skip_muon,
    ),
    "rprop": Optimizer(
        "Rprop",
        {"etas": [0.5, 1.2], "step_sizes": [1e-6, 50]},
        (1e-4, 1e-3, 1e-2),
        skip=_skip_rprop,
    ),
    # One iteration a step, not PyTorch's 20: an epoch then is one iteration. Its line search, of
    # at most 25 evaluations, shows in the seconds; without one, all would hang on the rate.
    "lbfgs": Optimizer(
        "LBFGS",
        {"history_size": 100},
        (0.1, 0.3, 1.0, 3.0),
        fixed={"max_iter": 1, "max_eval": 26, "line_search_fn": "strong_wolfe"},
        elementwise=False,
        capturable=False,
        skip=_skip_lbfgs,
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
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    knobs: Mapping[str, Any],
    capturable: bool = False,
) -> torch.optim.Optimizer:
    """The optimizer ``name`` over ``parameters`` with the run's knobs.

    Args:
        capturable: whether its step is to be recorded in a CUDA graph. Some then count their steps
            on the GPU in float32, which rounds the corrections that they take from the count.

    Raises:
        UserError: the optimizer refuses its knobs, or one of the user's own cannot be loaded.
    """
    import torch

    weights = list(parameters)
    keywords = {k: tuple(v) if isinstance(v, list) else v for k, v in knobs.items()}
    entry = OPTIMIZERS.get(name)
    if entry is None:
        return custom.call(name, weights, **keywords)
    if entry.fused:
        keywords["fused"] = True
    cls = custom.load(entry.cls) if ":" in entry.cls else getattr(torch.optim, entry.cls)
    if capturable and "capturable" in inspect.signature(cls).parameters:
        keywords["capturable"] = True
    try:
        return cls(weights, **keywords, **entry.fixed)
    except ValueError as error:  # what only PyTorch knows, as nesterov with a momentum of 0
        raise UserError(f"the optimizer {name} refuses {keywords}: {error}") from error


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step evaluates the loss by itself, as often as it likes: L-BFGS and its kin."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def restore(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load a state to the last digit: PyTorch gives some tensors the type of the weights."""
    import torch

    optimizer.load_state_dict(dict(saved))
    parts = getattr(optimizer, "parts", (optimizer,))
    for part, state in zip(parts, saved.get("parts", (saved,)), strict=True):
        parameters = [p for group in part.param_groups for p in group["params"]]
        for number, values in state.get("state", {}).items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    loaded = part.state[parameters[number]]
                    loaded[name] = value.to(loaded[name].device, copy=True)
