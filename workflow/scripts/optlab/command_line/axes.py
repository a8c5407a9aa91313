"""The options of ``train.py`` for the axes of a grid, and for the length of the training."""

import argparse
from collections.abc import Callable
from typing import Any

from optlab.catalogue.axes import AXES, Axis
from optlab.command_line import knobs, values
from optlab.errors import UserError


def add(group: Any) -> None:
    """Add the options; ``--minutes`` are in place of ``--epochs``."""
    length = group.add_mutually_exclusive_group()
    length.add_argument("--epochs", default=50, type=values.whole, metavar="N",
                        help="passes over the data (50)")  # fmt: skip
    for name, axis in AXES.items():
        both = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
        words = axis.words if name == "minutes" else f"{axis.words} ({axis.default})"
        place = length if name == "minutes" else group
        place.add_argument(*both, default=axis.default, type=_value(axis), metavar="VALUE",
                           help=words)  # fmt: skip


def _value(axis: Axis) -> Callable[[str], Any]:
    def value(text: str) -> Any:
        try:
            return axis.form(knobs.value(text) if axis.is_number else text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return value
