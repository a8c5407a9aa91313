"""Code that a setting names: ``path/to/file.py:name`` or ``package.module:name``.

A file of the user's own is imported as Python would from its folder, so that it finds its
neighbours; a file inside a package is imported as a module of that package. `reach` says, without
importing it, on which files and packages the code depends. Imports only `errors`.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from optlab.custom import operators
from optlab.errors import UserError, is_out_of_memory


def is_custom(spec: str) -> bool:
    """Whether ``spec`` names code, not an entry of the catalogue."""
    return ":" in spec


def own(names: Iterable[str | None]) -> list[str]:
    """Those of some names that are code, not entries of the catalogue."""
    return [name for name in names if name and is_custom(name)]


def is_ours(spec: str) -> bool:
    """Whether ``spec`` names code of this package."""
    return spec.startswith("optlab.")


def source_file(spec: str) -> str | None:
    """The file of ``path/to/file.py:name``; None for ``package.module:name``."""
    place = spec.rpartition(":")[0]
    return place if place.endswith(".py") else None


def place_of(file: str | Path) -> tuple[Path, str]:
    """The folder from which a file is imported, and its name as a module there.

    The folder is the one that holds the file, or the outermost package that it is part of.
    """
    path = Path(os.path.abspath(file))
    folder, names = path.parent, [path.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back the working directory, and whether PyTorch computes gradients, after user's code."""
    torch, here = sys.modules.get("torch"), os.getcwd()
    enabled = torch.is_grad_enabled() if torch else True
    try:
        yield
    finally:
        if os.getcwd() != here:
            os.chdir(here)
        if torch and torch.is_grad_enabled() != enabled:
            torch.set_grad_enabled(enabled)


def load(spec: str) -> Any:
    """The object that ``spec`` names.

    Raises:
        UserError: the file, the module or the name in it does not exist, or importing it fails.
    """
    place, _, name = spec.rpartition(":")
    try:
        with undisturbed():
            module = _module(place)
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
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
        with undisturbed():
            return target(*arguments, **keywords)
    except (TypeError, ValueError, AssertionError, KeyError, NotImplementedError) as error:
        if is_ours(spec):  # a fault of this package, which needs its traceback
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        plain = {k: v for k, v in keywords.items() if isinstance(v, _PLAIN)}
        raise UserError(f"{spec} refuses {plain or 'its arguments'}: {text}") from error


_PLAIN = (bool, int, float, str, list, tuple, type(None))


def _module(place: str) -> ModuleType:
    if not source_file(f"{place}:"):
        _find_in(os.getcwd(), first=False)
        return operators.importing(lambda: importlib.import_module(place))
    if not Path(place).is_file():
        raise FileNotFoundError(place)
    folder, name = place_of(place)
    return operators.importing(lambda: _own_module(Path(place), folder, name))


def _own_module(file: Path, folder: Path, name: str) -> ModuleType:
    """The module of a user's file, imported once in a process.

    A file that stands alone is registered under a name that no other module has: it may be called
    as a module of the standard library is.
    """
    _find_in(str(folder), first=True)
    if "." in name:
        return importlib.import_module(name)
    unique = f"own_{name}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    if unique not in sys.modules:
        module_spec = importlib.util.spec_from_file_location(unique, file)
        assert module_spec is not None and module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[unique] = module  # before it runs: `dataclasses` and others look for it there
        try:
            module_spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[unique]
            raise
    return sys.modules[unique]


def _find_in(folder: str, first: bool) -> None:
    """Have Python look for modules in a folder.

    With ``first``, the files in it come before installed packages, as for a script. A module that
    another file has imported from its own folder under one of their names is forgotten.
    """
    if folder in sys.path:
        return
    sys.path.insert(0 if first else len(sys.path), folder)
    importlib.invalidate_caches()
    if not first:
        return
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        beside = _neighbour(folder, name.partition(".")[0])
        if beside and origin and not origin.startswith((folder + os.sep, *_KEPT)):
            del sys.modules[name]


# Modules that are never imported anew, even if a user's file has their name: those of Python and of
# packages, on which much else holds references, and our own.
_KEPT = (
    *(f"{path}{os.sep}" for path in (sys.base_prefix, sys.prefix)),
    f"{Path(__file__).parents[2]}{os.sep}",
)


def _neighbour(folder: str, name: str) -> bool:
    return os.path.isfile(f"{folder}/{name}.py") or os.path.isfile(f"{folder}/{name}/__init__.py")
