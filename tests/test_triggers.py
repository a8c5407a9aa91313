"""What makes a rule run again is what its program imports, and nothing else."""

import ast
from pathlib import Path

import pytest

from optlab import triggers
from optlab.triggers import NEUTRAL, SCRIPTS, TRIGGERS


def closure(program):
    """The files, relative to the programs' folder, that a program imports, at once or later."""
    found, waiting = set(), [program]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported(ast.parse((SCRIPTS / name).read_text(encoding="utf-8")))
    return found


def imported(tree):
    for node in ast.walk(without_type_checking(tree)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optlab"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("optlab")]
        else:
            continue
        for name in names:
            yield from files_of(name.split("."))


def without_type_checking(tree):
    class Remove(ast.NodeTransformer):
        def visit_If(self, node):
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else node

    return Remove().visit(tree)


def files_of(parts):
    """The file of a module, or of the module that has this name in it, and its packages."""
    for length in range(1, len(parts) + 1):
        place = Path(*parts[:length])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if (SCRIPTS / file).is_file():
                yield file.as_posix()


def triggering(rule):
    return {file.relative_to(SCRIPTS).as_posix() for file in triggers.files(rule)}


def is_in(file, place):
    return file == place or file.startswith(f"{place}/")


def is_neutral(file):
    return any(is_in(file, name) for name in NEUTRAL)


@pytest.mark.parametrize("rule", TRIGGERS)
def test_a_program_imports_its_triggers_and_what_is_neutral(rule):
    reached = closure(TRIGGERS[rule][0])
    for place in TRIGGERS[rule]:
        assert any(is_in(file, place) for file in reached), f"{place} is not imported"
    missing = sorted(file for file in reached - triggering(rule) if not is_neutral(file))
    assert not missing, "imported, but no edit of it runs the rule again"


def test_what_is_neutral_exists_and_is_imported():
    everything = set().union(*(closure(places[0]) for places in TRIGGERS.values()))
    for name in NEUTRAL:
        assert (SCRIPTS / name).exists()
        assert any(is_in(file, name) for file in everything), name


def test_the_digest_changes_with_every_file_of_the_trigger(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    monkeypatch.setattr(triggers, "SCRIPTS", tmp_path / "scripts")
    for rule in TRIGGERS:
        triggers.digest.cache_clear()
        before = triggers.digest(rule)
        for file in triggers.files(rule):
            text = file.read_bytes()
            file.write_bytes(text + b"\n")
            triggers.digest.cache_clear()
            assert triggers.digest(rule) != before, file
            file.write_bytes(text)
    triggers.digest.cache_clear()


def test_parts_are_files_of_their_own():
    specs = ["optlab.parts.networks.mlp:build", "torch.optim:SGD", "my/nets.py:Net"]
    assert triggers.module_files(specs) == ["optlab/parts/networks/mlp.py"]
    parts = SCRIPTS / "optlab/parts"
    for file in parts.rglob("*.py"):
        others = {f for f in closure(file.relative_to(SCRIPTS).as_posix()) if "/parts/" in f}
        own = {file.relative_to(SCRIPTS).as_posix()}
        assert {f for f in others if not f.endswith("__init__.py")} <= own, file
