"""Code that a setting names: ``path/to/file.py:name`` or ``package.module:name``."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from optlab.errors import UserError


def is_custom(spec: str) -> bool:
    """Whether ``spec`` names code, not an entry of the catalogue."""
    return ":" in spec


def is_ours(spec: str) -> bool:
    """Whether ``spec`` names code of this package."""
    return spec.startswith("optlab.")


def source_file(spec: str) -> str | None:
    """The file of ``path/to/file.py:name``; None for ``package.module:name``."""
    place = spec.rpartition(":")[0]
    return place if place.endswith(".py") else None


def load(spec: str) -> Any:
    """The object that ``spec`` names.

    Raises:
        UserError: the file, the module or the name in it does not exist, or importing it fails.
    """
    place, _, name = spec.rpartition(":")
    try:
        module = _from_file(place) if source_file(spec) else importlib.import_module(place)
    except Exception as error:
        raise UserError(f"{spec}: cannot import {place}: {error!r}") from error
    if not hasattr(module, name):
        raise UserError(f"{spec}: there is no '{name}' in {place}")
    return getattr(module, name)


def call(spec: str, *arguments: Any, **keywords: Any) -> Any:
    """Call the object that ``spec`` names.

    Raises:
        UserError: it cannot be imported, or it is not ours and refuses the arguments.
    """
    target = load(spec)
    try:
        return target(*arguments, **keywords)
    except (TypeError, ValueError) as error:
        if is_ours(spec):  # a fault of this package, which needs its traceback
            raise
        raise UserError(f"{spec} refuses {keywords or 'its arguments'}: {error}") from error


def _from_file(place: str) -> Any:
    if not Path(place).is_file():
        raise FileNotFoundError(place)
    module_spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module
