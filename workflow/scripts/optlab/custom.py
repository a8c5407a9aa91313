"""The user's own networks and optimizers: ``path/to/file.py:name``, ``package.module:name``."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from optlab.errors import UserError


def is_custom(spec: str) -> bool:
    """Whether ``spec`` names something outside this package."""
    return ":" in spec


def source_file(spec: str) -> str | None:
    """The file that ``path/to/file.py:name`` lies in; None for ``package.module:name``."""
    place = spec.rpartition(":")[0]
    return place if place.endswith(".py") else None


def load(spec: str) -> Any:
    """The object that ``spec`` names.

    Raises:
        UserError: the file, the module or the name in it does not exist or does not import.
    """
    place, _, name = spec.rpartition(":")
    try:
        module = _from_file(place) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise UserError(f"{spec}: cannot import {place}: {error!r}") from error
    if not hasattr(module, name):
        raise UserError(f"{spec}: there is no '{name}' in {place}")
    return getattr(module, name)


def call(spec: str, *arguments: Any, **keywords: Any) -> Any:
    """Call what ``spec`` names; arguments that it refuses are the user's error, in one line."""
    target = load(spec)
    try:
        return target(*arguments, **keywords)
    except (TypeError, ValueError) as error:
        raise UserError(f"{spec} refuses {keywords or 'its arguments'}: {error}") from error


def _from_file(place: str) -> Any:
    if not Path(place).is_file():
        raise FileNotFoundError(place)
    module_spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module
