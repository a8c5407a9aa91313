"""The options of ``train.py`` for knobs: one for each of the catalogue's, and ``--knob``."""

import argparse
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from optlab.catalogue.knobs import KNOBS
from optlab.errors import UserError
from optlab.values import canonical

NAMES = tuple(name for name in KNOBS if name != "lr")  # of which there is an option with more names
_HELP = "{options}\nEach takes a value, as --momentum 0.9, --betas 0.9,0.999 or --nesterov true. \
--list says which knobs an optimizer has, and their defaults."


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options, which the help names in one paragraph."""
    options = {name: f"--{name.replace('_', '-')}" for name in NAMES}
    words = _HELP.format(options=" ".join(options.values())).splitlines()
    text = "\n".join(textwrap.fill(line, 76, break_on_hyphens=False) for line in words)
    group = parser.add_argument_group("knobs of the optimizer", text)
    for name, option in options.items():
        both = dict.fromkeys((option, f"--{name}"))  # a knob is written with _ in a study
        group.add_argument(*both, dest=f"knob_{name}", type=value, help=argparse.SUPPRESS)
    group.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE",
                       help="a knob of an optimizer of your own; may be repeated")  # fmt: skip


def given(arguments: argparse.Namespace, others: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs that a command line gives; ``others`` are those of ``--knob``.

    Raises:
        UserError: one of them is given in two ways.
    """
    options = {name: getattr(arguments, f"knob_{name}") for name in NAMES} | {"lr": arguments.lr}
    found = {name: value for name, value in options.items() if value is not None}
    for name in found:
        if name in others:
            raise UserError(f"--knob {name}: is given by --{name.replace('_', '-')}, too")
    return {**others, **found}


def variant(optimizer: str, knobs: dict[str, Any]) -> str:
    """The catalogue's name of PyTorch's SGD with the knobs that it is given."""
    if optimizer != "sgd" or not knobs.keys() & {"momentum", "nesterov", "dampening"}:
        return optimizer
    return "nesterov" if knobs.pop("nesterov", False) else "momentum"


def pairs(option: str, words: Sequence[str]) -> dict[str, Any]:
    """The names and values of an option that takes NAME=VALUE; what is not JSON is a text.

    Raises:
        UserError: a word is no such pair.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UserError(f"{option}: '{word}' is not NAME=VALUE")
        found[name] = text
        with suppress(ValueError, RecursionError):
            found[name] = canonical(json.loads(text))
        if re.fullmatch(r"{[^{}\[\]\"]*}", text):  # as in a study: {optimizer: adam, lr: 0.1}
            inner = (part.partition(":") for part in text.strip("{}").split(","))
            found[name] = {key.strip(): value(item.strip()) for key, _, item in inner}
    return found


def value(text: str) -> Any:
    """What is written: JSON, a number or truth value of Python's, or several after commas."""
    with suppress(ValueError, RecursionError):
        return canonical(json.loads(text))
    if "," in text:
        return [value(part) for part in text.strip("[()]").split(",")]
    with suppress(ValueError):
        return canonical(float(text))
    return {"true": True, "false": False}.get(text.strip().lower(), text)
