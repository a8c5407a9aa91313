"""Figures of the tables as a paper writes them: accuracies in per cent, signs, powers of ten."""

import math
import re
from typing import Any

from optlab.page.wording import NONE, name_of, number

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def heading(column: str, difference: bool = False) -> str:
    """A column of the tables in words, with its unit."""
    unit = {"accuracy": "points" if difference else "%", "seconds": "s"}.get(
        column.rpartition("_")[2], ""
    )
    return ", ".join(filter(None, ("difference" if difference else name_of(column), unit)))


def figure(column: str, value: float) -> str:
    """A cell of a column: accuracies have two digits behind the point, others four in all."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    text = f"{100 * value:.2f}" if column.endswith("accuracy") else number(value)
    return signed(re.sub(r"e(-?)0*(\d+)$", _power, text))


def _power(match: re.Match[str]) -> str:
    return f"×10{(match[1] + match[2]).translate(_RAISED)}"


def signed(text: str) -> str:
    """With a minus sign in place of a hyphen."""
    return re.sub(r"^-", "−", text)


def estimate(column: str, mean: float, low: float, high: float) -> str:
    """A figure with its interval: 92.72 (92.68–92.76)."""
    shown = figure(column, mean)
    if any(end is None or math.isnan(end) for end in (low, high)):
        return shown
    between = " to " if low < 0 else "–"
    return f"{shown} ({figure(column, low)}{between}{figure(column, high)})"


def of_row(row: Any, column: str, unit: str | None = None) -> str:
    """The figure of a row of a table with its interval; ``unit`` is a column like it."""
    ends = (row.get(f"{column}{end}", math.nan) for end in ("", "_low", "_high"))
    return estimate(unit or column, *ends)
