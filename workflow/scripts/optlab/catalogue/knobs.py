"""Knobs of optimizers (their hyperparameters), and the values that each of them takes."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Knob:
    """The rule for a knob's values, and the same rule in words."""

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

# Knobs that paths and tables always show; others only where they are not at their default.
SHOWN = ("lr", "momentum")


def refuses(knob: str, value: Any) -> str | None:
    """What would be right instead of ``value``, if it is wrong for this knob."""
    rule = KNOBS.get(knob)
    return None if rule is None or rule.accepts(value) else rule.allowed
