"""How a mistake is worded: the value that is wrong, and what would have been allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any


def allowed(wrong: Any, known: Iterable[str]) -> str:
    """The names that are allowed, and the one that was probably meant."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(str(wrong), names, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}allowed: {', '.join(names)}"


def show(value: Any) -> str:
    """A value as its user might have written it, cut where it is long."""
    if isinstance(value, str):
        return repr(value)
    shown = json.dumps(value, default=str, ensure_ascii=False)
    return shown if len(shown) <= 80 else shown[:77] + "..."
