"""Knobs of optimizers (their hyperparameters), and the values that each of them takes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Of any number: products of two of them, and quotients by 1 - beta, are still 32-bit floats.
LARGEST = 1e15


@dataclass(frozen=True)
class Rule:
    """Which values a knob or another setting takes, and the same in words."""

    accepts: Callable[[Any], bool]
    allowed: str

    def refuses(self, value: Any) -> str | None:
        """What would be right instead of ``value``, if it is wrong."""
        if self.accepts(value):
            return None
        large = _is_number(value) and LARGEST < abs(value) < math.inf
        return f"at most {LARGEST:g}" if large and self.accepts(LARGEST) else self.allowed


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(low: float, high: float = math.inf, open_low: bool = False) -> Callable:
    def accepts(value: Any) -> bool:
        if not _is_number(value) or abs(value) > LARGEST:
            return False
        return (low < value if open_low else low <= value) and value < high

    return accepts


def positive(value: Any) -> bool:
    """Whether a value is a finite number above 0."""
    return _number(0, open_low=True)(value)


def whole(low: int, high: int | None = None) -> Rule:
    """The rule of whole numbers in a range; without ``high``, of any that a tensor can have."""

    def accepts(value: Any) -> bool:
        fits = isinstance(value, int) and not isinstance(value, bool)
        return fits and low <= value <= (LARGEST if high is None else high)

    return Rule(accepts, f"a whole number from {low} {'up' if high is None else f'to {high}'}")


def _pair(first: Callable[[Any], bool], second: Callable[[Any], bool]) -> Callable:
    def accepts(value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) != 2:
            return False
        return first(value[0]) and second(value[1])

    return accepts


def _ordered(value: Any) -> bool:
    return _pair(_RATE.accepts, _POSITIVE.accepts)(value) and value[0] <= value[1]


FINITE = Rule(_number(-LARGEST), "a finite number")
_RATE = Rule(_number(0), "a finite number of at least 0")
FRACTION = Rule(_number(0, 1), "a number of at least 0 and below 1")
_POSITIVE = Rule(_number(0, open_low=True), "a finite number above 0")
FLAG = Rule(lambda value: isinstance(value, bool), "true or false")

KNOBS: dict[str, Rule] = {
    "lr": _RATE,
    "momentum": FRACTION,
    "weight_decay": _RATE,
    "dampening": Rule(_number(0, math.nextafter(1, 2)), "a number from 0 to 1"),
    "betas": Rule(
        _pair(FRACTION.accepts, FRACTION.accepts),
        "two numbers of at least 0 and below 1, as [0.9, 0.999]",
    ),
    "eps": _POSITIVE,
    "alpha": FRACTION,
    "amsgrad": FLAG,
    "centered": FLAG,
    "lr_decay": _RATE,
    "momentum_decay": _RATE,
    "initial_accumulator_value": _RATE,
    "etas": Rule(
        _pair(_number(0, 1, open_low=True), _number(1, open_low=True)),
        "two factors as [0.5, 1.2], one below 1 and one above",
    ),
    "rho": FRACTION,
    "nesterov": FLAG,
    "ns_steps": whole(1, 99),
    "d": Rule(_number(1), "a finite number of at least 1"),
    "beta2_decay": Rule(_number(-1, math.nextafter(0, 1)), "a number from -1 to 0"),
    "history_size": whole(1, 1000),
    "step_sizes": Rule(_ordered, "two step sizes as [1e-06, 50], the smaller first"),
}

# What an optimizer does not take though others with this knob do.
OWN: dict[tuple[str, str], Rule] = {
    ("lbfgs", "lr"): Rule(
        _number(1e-30), "a number of at least 1e-30: a line search needs a first step"
    ),
    ("nesterov", "momentum"): Rule(
        _number(0, 1, open_low=True), "a number above 0 and below 1: without momentum it is SGD"
    ),
}

# Knobs that paths and tables always show; others only where they are not at their default.
SHOWN = ("lr", "momentum")


def refuses(optimizer: str, knob: str, value: Any) -> str | None:
    """What would be right instead of ``value``, if it is wrong for this knob."""
    rule = OWN.get((optimizer, knob)) or KNOBS.get(knob)
    return rule.refuses(value) if rule else None
