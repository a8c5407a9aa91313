"""Values of settings: one form for each number and name, one text for paths, tables and figures."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from optlab.errors import bare


def canonical(value: Any) -> Any:
    """The same number in its one form: 1.0 becomes 1, and 1e-3 is 0.001."""
    if isinstance(value, Mapping):
        return {name: canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def text(value: Any) -> str:
    """A value as paths and tables write it: one text for each number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "_".join(map(text, value))
    if isinstance(value, Mapping):  # the optimizer that another one wraps
        return " ".join([str(value.get("optimizer", "")), *(
            f"{name}={text(item)}" for name, item in value.items() if name != "optimizer"
        )])  # fmt: skip
    # Without the plus sign of 1e+20: a path joins its parts with one.
    return repr(canonical(value)).replace("e+", "e") if isinstance(value, float) else str(value)


def counted(number: float, thing: str) -> str:
    """A number of things in words: 1 seed, 2 seeds."""
    return f"{text(number)} {thing}{'' if number == 1 else 's'}"


def known(name: str, names: Iterable[str]) -> str:
    """The one of these names that ``name`` spells, or ``name`` itself: if none, or several.

    Spellings differ in capitals and punctuation. One of the names as it is written is that one.
    Code, ``package.module:name``, is never spelled otherwise.
    """
    names = list(names)
    if name in names or ":" in name:
        return name
    found = [one for one in names if bare(one) == bare(name)]
    return found[0] if len(found) == 1 else name


def folder(name: str) -> str:
    """A name as part of a folder's name: ``own/file.py:Sign`` becomes ``own-file.py-Sign``."""
    return re.sub(r"[^\w.=-]+", "-", name)


def pairs(values: Mapping[str, Any]) -> str:
    """Names and values as a folder's name: ``lr=0.01+momentum=0.8``."""
    return "+".join(f"{folder(name)}={folder(text(value))}" for name, value in values.items())
