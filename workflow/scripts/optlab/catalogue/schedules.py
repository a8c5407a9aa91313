"""Learning-rate schedules: what a study calls them, and their options.

A schedule is written as its name and the options that are not at their default: ``cosine``,
``warmup_cosine,warmup=0.2``; a study may also write ``{name: warmup_cosine, warmup: 0.2}``. The
learning rate of a run is the highest that its schedule reaches. Lengths are shares of the run, so
that one schedule fits runs of every length.
"""

from collections.abc import Mapping
from typing import Any

from optlab.errors import UserError, allowed
from optlab.values import known

CONSTANT = "constant"

# Name -> option -> default. Each schedule but `constant` is built by optlab.parts.schedules.<name>.
SCHEDULES: dict[str, dict[str, float]] = {
    CONSTANT: {},
    "step": {"drops": 2, "gamma": 0.1},
    "cosine": {"final": 0},
    "one_cycle": {"warmup": 0.3, "start": 0.04, "final": 4e-6},
    "warmup": {"warmup": 0.1},
    "warmup_cosine": {"warmup": 0.1, "final": 0},
}

OPTIONS = {
    "drops": "how often the rate is multiplied by gamma, evenly spread over the run",
    "gamma": "the factor of each drop",
    "warmup": "the share of the run in which the rate rises to its highest",
    "start": "the rate before the first step, as a share of the highest",
    "final": "the rate at the end, as a share of the highest",
}


def text(schedule: str | Mapping[str, Any]) -> str:
    """The schedule in its one form, as tables and the command line write it.

    Raises:
        UserError: an unknown schedule or option, or a value that it does not take.
    """
    name, options = _parse(schedule)
    if name not in SCHEDULES:
        raise UserError(f"unknown schedule '{name}'; {allowed(name, SCHEDULES)}")
    defaults = SCHEDULES[name]
    for option, value in options.items():
        if option not in defaults:
            has = f"it has {', '.join(defaults)}" if defaults else "it has none"
            raise UserError(f"the schedule {name} has no option '{option}'; {has}")
        if reason := refuses(option, value):
            raise UserError(f"{option} = {value} is not allowed; {reason}")
    changed = [
        f"{k}={options[k]:.15g}" for k in defaults if options.get(k, defaults[k]) != defaults[k]
    ]
    return ",".join([name, *changed])


def builder(schedule: str) -> tuple[str | None, dict[str, float]]:
    """The function that builds a schedule's scheduler (None: constant), and all of its options."""
    name, options = _parse(schedule)
    if name == CONSTANT:
        return None, {}
    return f"optlab.parts.schedules.{name}:build", {**SCHEDULES[name], **options}


def refuses(option: str, value: Any) -> str | None:
    """What would be right instead of ``value``, if it is wrong for this option."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if option == "drops":
        return None if number and value in range(1, 101) else "a whole number from 1 to 100"
    if option == "final":
        return None if number and 0 <= value <= 1 else "a number from 0 to 1"
    return None if number and 0 < value < 1 else "a number above 0 and below 1"


def unfit(schedule: str, steps: int) -> str | None:
    """Why a run of so many steps is too short for a schedule; None where it is not."""
    name, options = _parse(schedule)
    least = {"warmup": 2, "warmup_cosine": 2, "one_cycle": 3}.get(name, 1)
    if name == "step":
        least = int({**SCHEDULES[name], **options}["drops"]) + 1
    if steps >= least:
        return None
    return f"{schedule} needs at least {least} steps, and a run has {steps}; use more epochs"


def _parse(schedule: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(schedule, Mapping):
        options = dict(schedule)
        return known(str(options.pop("name", "")), SCHEDULES), options
    name, *pairs = str(schedule).split(",")
    options = {}
    for pair in pairs:
        option, equals, value = pair.partition("=")
        try:
            options[option.strip()] = float(value)
        except ValueError:
            options[option.strip()] = value if equals else None
    return known(name.strip(), SCHEDULES), options
