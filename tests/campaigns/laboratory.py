"""A finished study by Snakemake itself, copied for each case that needs one, and what it holds."""

import atexit
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import bases
from core import ROOT, figures_of

CLOCKED = (
    "seconds",
    "minutes",
    "_per_",
    "memory",
    "speedup",
    "efficiency",
    "karp",
    "serial",
    "other_work",
    "warnings",
)
SNAKEMAKE = [
    sys.executable,
    "-m",
    "snakemake",
    "--snakefile",
    str(ROOT / "Snakefile"),
    "--cores",
    "2",
]


def snakemake(folder: Path, *words: str, **options: Any) -> subprocess.Popen:
    """The call of a study in a folder, as from a terminal."""
    command = [*SNAKEMAKE, "--configfile", "study.yaml", *words]
    output = (folder / "told.txt").open("w")
    return subprocess.Popen(
        command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        start_new_session=True, **options,
    )  # fmt: skip


def call(folder: Path, *words: str, seconds: float = 180) -> tuple[int, str]:
    """The exit status of Snakemake, and what it printed."""
    process = snakemake(folder, *words)
    status = process.wait(seconds)
    return status, (folder / "told.txt").read_text(encoding="utf-8")


@cache
def finished(name: str) -> Path:
    """The folder of a small study that is finished; it is made once and never changed."""
    folder = Path(tempfile.mkdtemp(prefix="optlab-finished-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    prepared(folder, bases.TEXTS[name])
    status, told = call(folder)
    assert status == 0, told
    return folder


def prepared(folder: Path, text: str) -> None:
    bases.write_own(folder)
    (folder / "study.yaml").write_text(text, encoding="utf-8")


def copied(name: str, folder: Path) -> None:
    """Copy a finished study with the times of its files, by which Snakemake plans."""
    shutil.copytree(finished(name), folder, dirs_exist_ok=True, symlinks=True)


def content(folder: Path) -> dict[str, Any]:
    """Every number that a study has found, without what a clock says."""
    found: dict[str, Any] = {}
    results = folder / "results"
    for file in sorted(results.rglob("metrics.tsv")):
        found[_name(file, folder)] = figures_of(file)
    for file in sorted(results.glob("*/tables/*.tsv")):
        found[_name(file, folder)] = table(file)
    for file in sorted(results.rglob("confirmed.json")):
        found[_name(file, folder)] = json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(results.rglob("*.svg")):
        found[_name(file, folder)] = "a picture"
    return found


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [
        {
            # The time that further seeds would take is at the end of an open verdict.
            name: re.sub(r", [^,]* (s|min|h)$", "", value)
            for name, value in row.items()
            if not any(word in name for word in CLOCKED)
        }
        for row in rows
    ]


def differences(folder: Path, name: str, leave: str = "") -> list[str]:
    """The files whose numbers differ from those of the finished study."""
    here, there = content(folder), content(finished(name))
    files = [file for file in {**there, **here} if here.get(file) != there.get(file)]
    return [file for file in files if not leave or leave not in file]


def _name(file: Path, folder: Path) -> str:
    return os.path.relpath(file, folder)
