"""The layout of the code: small modules and functions, and what is imported where."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from optlab.study import kinds, reading

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow/scripts"
MODULES = [
    file
    for folder in ("workflow", "warm", "executor/src", "screen/src", "benchmarks")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "build" not in file.parts
]


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_modules_and_functions_are_short(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, functions)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in found}
    assert {name: lines for name, lines in long.items() if lines > 40} == {}


def test_every_package_says_what_it_is_for_and_what_it_imports():
    packages = [file.parent for file in (SCRIPTS / "optlab").glob("*/__init__.py")]
    assert len(packages) == 15
    for package in packages:
        words = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
        assert words and "mport" in words, package


HEAVY = {"torch", "numpy", "pandas", "scipy", "matplotlib", "optuna", "sklearn", "torchvision"}


def heavy_after(code):
    """Which heavy packages, and Snakemake, a process has imported after some code."""
    code = f"{code}\nimport sys; print(*sorted({HEAVY | {'snakemake'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()


def test_reading_the_workflow_imports_nothing_heavy():
    common = (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8")
    imports = [line for line in common.splitlines() if line.startswith("from optlab")]
    assert len(imports) > 5
    assert heavy_after("\n".join(imports)) == []


def test_a_training_process_imports_pytorch_and_numpy_alone(tmp_path):
    words = [
        "--dataset",
        "line",
        "--model",
        "linear",
        "--batch-size",
        "full",
        "--epochs",
        "1",
        "--device",
        "cpu",
    ]
    code = f"import os, sys; sys.path.insert(0, os.getcwd()); os.chdir({str(tmp_path)!r})\n"
    code += f"import train; assert train.main({words}) == 0"
    assert heavy_after(code) == ["numpy", "torch"]
    # A run that is there already needs not even those.
    assert heavy_after(code) == []


def test_every_kind_of_exercise_has_the_same_functions():
    functions = ("fill", "mistakes", "run_mistakes", "runs", "results")
    for name, kind in kinds.KINDS.items():
        assert kind.TABLES and all(callable(getattr(kind, f)) for f in functions), name
        for table in kind.TABLES:
            assert (ROOT / f"workflow/report/{table}.rst").is_file()


def test_the_names_of_rules_are_those_that_no_exercise_can_have():
    rules = "\n".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    rules += (ROOT / "Snakefile").read_text()
    named = set(re.findall(r"^ *(?:rule|checkpoint) (\w+):", rules, re.MULTILINE))
    named |= set(re.findall(r'^ *f"\w+_{exercise}" if exercise else "(\w+)"', rules, re.MULTILINE))
    assert named == set(reading.RULES)


def test_the_environment_of_jobs_names_what_they_import():
    found = yaml.safe_load((ROOT / "workflow/envs/optlab.yaml").read_text())["dependencies"]
    names = {re.split(r"[ =<>]", line)[0] for line in found}
    assert {"pytorch", "numpy", "scipy", "pandas", "psutil", "optuna", "pyyaml"} <= names
