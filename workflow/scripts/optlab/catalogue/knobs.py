"""Knobs of optimizers (their hyperparameters), and the values that each of them takes."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """Which values a knob or another setting takes, and the same in words."""

    accepts: Callable[[Any], bool]
    allowed: str

    def refuses(self, value: Any) -> str | None:
        """What would be right instead of ``value``, if it is wrong."""
        return None if self.accepts(value) else self.allowed


def _number(low: float, high: float = sys.float_info.max, open_low: bool = False) -> Callable:
    def accepts(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (low < value if open_low else low <= value) and value < high

    return accepts


def whole(low: int, high: float = math.inf) -> Rule:
    """The rule of whole numbers in a range."""

    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    words = "up" if high == math.inf else f"to {high}"
    return Rule(accepts, f"a whole number from {low} {words}")


def _pair(accepts_item: Callable[[Any], bool], ordered: bool = False) -> Callable:
    def accepts(value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) != 2:
            return False
        return all(map(accepts_item, value)) and (not ordered or value[0] < value[1])

    return accepts


FINITE = Rule(_number(-sys.float_info.max), "a finite number")
_RATE = Rule(_number(0), "a finite number of at least 0")
FRACTION = Rule(_number(0, 1), "a number of at least 0 and below 1")
_POSITIVE = Rule(_number(0, open_low=True), "a finite number above 0")
FLAG = Rule(lambda value: isinstance(value, bool), "true or false")

KNOBS: dict[str, Rule] = {
    "lr": _RATE,
    "momentum": FRACTION,
    "weight_decay": _RATE,
    "dampening": FRACTION,
    "betas": Rule(_pair(_number(0, 1)), "two numbers of at least 0 and below 1, as [0.9, 0.999]"),
    "eps": _POSITIVE,
    "alpha": FRACTION,
    "amsgrad": FLAG,
    "centered": FLAG,
    "lr_decay": _RATE,
    "momentum_decay": _RATE,
    "initial_accumulator_value": _RATE,
    "etas": Rule(_pair(_POSITIVE.accepts, True), "two factors as [0.5, 1.2], the smaller first"),
    "rho": FRACTION,
    "nesterov": FLAG,
    "ns_steps": whole(1, 99),
    "d": Rule(_number(1), "a finite number of at least 1"),
    "beta2_decay": Rule(_number(-1, 0), "a number of at least -1 and below 0"),
    "history_size": whole(1, 1000),
    "step_sizes": Rule(_pair(_POSITIVE.accepts, True), "two step sizes as [1e-06, 50]"),
}

# Knobs that paths and tables always show; others only where they are not at their default.
SHOWN = ("lr", "momentum")


def refuses(knob: str, value: Any) -> str | None:
    """What would be right instead of ``value``, if it is wrong for this knob."""
    return KNOBS[knob].refuses(value) if knob in KNOBS else None
