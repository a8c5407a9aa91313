"""The values of options: each a function of its text that argparse calls.

A value that is not allowed is one line that says what is.
"""

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optlab.catalogue import knobs as knob_rules
from optlab.errors import allowed
from optlab.training.settings import VARIABLE

MOST = 10**9  # the limit of epochs and sizes, as in the schema of a study


def checked(read: Callable[[str], Any], fits: Callable[[Any], object], words: str) -> Callable:
    def value(text: str) -> Any:
        try:
            found = read(text)
        except (ValueError, OverflowError):
            found = None
        if found is None or not fits(found):
            raise argparse.ArgumentTypeError(f"'{text}' is not allowed; {words}")
        return found

    return value


def up_to(most: int, least: int = 1) -> Callable:
    words = f"a whole number from {least} to {most}"
    return checked(int, lambda number: least <= number <= most, words)


def whole(text: str) -> int:
    """A whole number that a study may have, too."""
    number = checked(int, lambda number: number >= 1, "a whole number from 1 up")(text)
    if number > MOST:
        raise argparse.ArgumentTypeError(f"'{text}' is not allowed; at most {MOST}")
    return number


positive = checked(float, lambda number: 0 < number < math.inf, "a number above 0")
rate = checked(float, knob_rules.KNOBS["lr"].accepts, knob_rules.KNOBS["lr"].allowed)
batch_size = checked(
    lambda text: text if text == "full" else int(text),
    lambda size: size == "full" or 1 <= size <= MOST,
    "a whole number from 1 up, or full",
)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
name = checked(str, NAME.fullmatch, "up to 100 letters, digits, '-' and '_', a letter first")
folder = checked(lambda text: Path(text) if text else None, lambda path: True, "name a folder")
study_file = checked(lambda text: text or None, lambda text: True, "name the file of a study")
file = checked(
    lambda text: text or None, lambda text: not os.path.isdir(text), "name a file, not a folder"
)


def vary(text: str) -> list[str]:
    given = text.split(",")
    for what in given:
        if what not in VARIABLE:
            raise argparse.ArgumentTypeError(f"'{what}' is not known; {allowed(what, VARIABLE)}")
    return [what for what in VARIABLE if what in given]
