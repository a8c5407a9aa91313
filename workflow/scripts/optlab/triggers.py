"""What makes a rule run again: its program, and the packages that its results depend on.

Snakemake compares a rule's parameters with those of the last call. One of them is a digest of the
files named here, so that an edit of them, and of nothing else, runs the rule again. A test compares
each list with what the program really imports.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).parents[1]
SUFFIXES = (".py", ".html", ".css", ".js")  # the last three of the page

_TRAINING = ("optlab/__init__.py", "optlab/strata.py", "optlab/training")
_RESULTS = ("optlab/__init__.py", "optlab/results", "optlab/values.py")
_WORDS = tuple(
    f"optlab/figures/{name}.py"
    for name in ("__init__", "lettering", "looks", "plan", "reader", "words")
)
_TRIALS = ("optlab/search/__init__.py", "optlab/search/trials")

# Rule -> its program and, relative to the programs' folder, files and packages.
TRIGGERS: dict[str, tuple[str, ...]] = {
    "train": ("train.py", *_TRAINING),
    "search_worker": ("search.py", *_TRAINING, *_TRIALS),
    "retrain": ("retrain.py", *_TRAINING, "optlab/search"),
    "confirm": ("confirm.py", *_RESULTS),
    "tables": ("tables.py", *_RESULTS),
    "figures": ("figures.py", *_RESULTS, "optlab/figures"),
    "page": ("page.py", *_RESULTS, "optlab/page", *_WORDS),
}

# What programs import besides, and why an edit of it cannot change a result of theirs.
NEUTRAL = {
    "optlab/command_line": "options are compared as the rule's parameters",
    "optlab/errors.py": "messages",
    "optlab/files.py": "how a file is written, not what",
    "optlab/locks.py": "who writes, not what",
    "optlab/triggers.py": "the digests themselves",
    "optlab/custom": "imports what the settings name, which are triggers by themselves",
    "optlab/values.py": "the text of settings is in the path of a run",
    "optlab/catalogue": "a run carries what it uses of an entry; tables and figures get the rest",
    "optlab/data": "the prepared data set is an input",
    "optlab/study": "the study is resolved into the rule's parameters",
    "optlab/training/__init__.py": "(of tables and figures) settings only, see below",
    "optlab/training/settings.py": "(of tables and figures) the fields of a run",
    "optlab/training/world.py": "(of tables and figures) by way of the machine",
    "optlab/strata.py": "(of tables and figures) by way of the data",
    "optlab/machine": "where a job runs, not what it computes",
    "optlab/runs": "the files of a run, whose format has a test",
}


@cache
def digest(rule: str, *parts: str) -> str:
    """A digest of the content of a rule's files, and of ``parts``, as `module_files` gives them."""
    found = hashlib.sha256()
    for file in [*files(rule), *(SCRIPTS / part for part in parts)]:
        found.update(f"{file.relative_to(SCRIPTS)} ".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def files(rule: str) -> list[Path]:
    """The files that trigger a rule."""
    places = [SCRIPTS / name for name in TRIGGERS[rule]]
    return sorted(
        file
        for place in places
        for file in (place.rglob("*.*") if place.is_dir() else [place])
        if file.suffix in SUFFIXES
    )


def module_files(specs: Iterable[str]) -> list[str]:
    """The files, relative to the programs' folder, of the specs that name code of this package."""
    modules = (spec.partition(":")[0] for spec in specs if spec.startswith("optlab."))
    return [f"{module.replace('.', '/')}.py" for module in dict.fromkeys(modules)]
