"""What the code that a setting names depends on: files of the user's tree, and packages.

Files are found by reading their import statements, without running anything: this is done in
Snakemake's own process. What an import finds elsewhere, in the standard library or an installed
package, is no file of the user's.
"""

import ast
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from optlab.custom import is_ours, place_of, source_file

# Of these the version counts anyway, or they are part of Python.
UNCOUNTED = ("torch", "optlab")


def files(specs: Iterable[str]) -> list[str]:
    """The user's files that the code of these specs reaches."""
    here = os.getcwd()
    return list(dict.fromkeys(file for spec in specs for file in _closure(spec, here)))


def missed(followed: Iterable[str], modules: Iterable[str]) -> list[str]:
    """The user's files among imported modules that are not among those that were followed."""
    here = os.getcwd()
    known = {os.path.realpath(file) for file in [*followed, __file__]}
    found = (getattr(sys.modules.get(name), "__file__", None) for name in modules)
    ours = str(Path(__file__).parents[2])
    own = [f for f in found if f and _is_own(f) and not f.startswith(ours)]
    return sorted(_short(file, here) for file in own if os.path.realpath(file) not in known)


def packages(specs: Iterable[str]) -> dict[str, str]:
    """The installed packages that the specs name, each with its version."""
    tops = {spec.partition(":")[0].partition(".")[0] for spec in specs if not source_file(spec)}
    found = {top: _version(top) for top in sorted(tops) if top not in UNCOUNTED}
    return {top: version for top, version in found.items() if version}


@cache
def _version(top: str) -> str:
    """The version of the installed package that has this module; empty where there is none."""
    if top in sys.stdlib_module_names or _own_origin(top, os.getcwd()):
        return ""
    for name in dict.fromkeys([top, *metadata.packages_distributions().get(top, ())]):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return ""


@cache  # each of thousands of runs asks for it
def _closure(spec: str, here: str) -> tuple[str, ...]:
    """The files that the code of a spec reaches, its own first."""
    first = source_file(spec) or _own_module_file(spec.partition(":")[0], here)
    if is_ours(spec) or not first:
        return ()
    root = place_of(first)[0].resolve()
    found, waiting = {_short(first, here): None}, [Path(first).resolve()]
    seen = set(waiting)
    while waiting:
        for file in _imported(waiting.pop(), root):
            if file not in seen:
                seen.add(file)
                waiting.append(file)
                found[_short(file, here)] = None
    return tuple(found)


def _own_module_file(module: str, here: str) -> str | None:
    """The file of a module of the user's tree; None for an installed or a missing one."""
    top, *names = module.split(".")
    if not (origin := _own_origin(top, here)):
        return None
    return str(next(_candidates(Path(origin).parent, names), "")) if names else origin


@cache
def _own_origin(top: str, here: str) -> str:
    """The file of a module of the user's; empty for one of Python or of an installed package."""
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        return str(next(_candidates(Path(here), [top]), ""))
    origin = found.origin or ""
    return origin if _is_own(origin) else ""


def _is_own(file: str) -> bool:
    """Whether a file is Python that is neither part of the language nor of an installed package."""
    path, python = Path(file), Path(sysconfig.get_path("stdlib"))
    packaged = {"site-packages", "dist-packages"} & set(path.parts)
    return path.suffix == ".py" and not packaged and not path.is_relative_to(python)


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """The files below ``root`` that a file's import statements name."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError):
        return  # told where the file is imported
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _all(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = root
            names = node.module.split(".") if node.module else []
            if node.level:
                base = file.parents[node.level - 1]
            yield from _all(base, names)
            for alias in node.names:  # a name may be a module of the package
                yield from _all(base, [*names, alias.name])


def _all(base: Path, names: list[str]) -> Iterator[Path]:
    """The files of a module, and of the packages that it is in, which are imported before it."""
    for length in range(len(names) + 1):
        yield from _candidates(base, names[:length])


def _candidates(base: Path, names: list[str]) -> Iterator[Path]:
    path = base.joinpath(*names)
    plain = [path.parent / f"{path.name}.py"] if names else []
    yield from (file for file in (path / "__init__.py", *plain) if file.is_file())


def _short(file: str | Path, here: str) -> str:
    """A path as Snakemake wants it: without ./ and //, relative below the working directory."""
    path = os.path.normpath(file)
    return os.path.relpath(path, here) if path.startswith(f"{here}{os.sep}") else path
