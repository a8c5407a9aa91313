"""All programs of a study, called one after another as the rules of the workflow call them.

They run in processes forked from this one, so a small study takes a second or two.
"""

import shutil
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import yaml
from core import Called, apart, program

MOST_RUNS = 8
PROMPT = {  # values of a short study in place of larger ones
    "seeds": 2, "trials": 3, "workers": 1, "retrain_pruned": 1, "threads": 2, "confirm": 4,
    "extend": 1, "epoch_examples": 500,
}  # fmt: skip


class Call(NamedTuple):
    """A call of a program: its words and its standard input."""

    words: tuple[str, ...]
    stdin: str = ""


def cut(text: str, random: Random) -> str:
    """A study like this one, but small: no downloads, few short runs."""
    study = yaml.safe_load(text)
    shorten(study)
    for dataset in (study.get("datasets") or {}).values():
        if dataset["source"] in ("mnist", "fashion_mnist", "cifar10"):
            dataset["source"] = "digits"
    for exercise in study["exercises"].values():
        shorten(exercise)
        published = [name in ("mnist", "fashion_mnist", "cifar10") for name in exercise["datasets"]]
        if any(published):
            exercise["datasets"] = ["digits"]
        for key in ("datasets", "models", "batch_sizes", "schedules"):
            if isinstance(exercise.get(key), list):
                exercise[key] = random.sample(exercise[key], 1)
        exercise.pop("claims", None)
        exercise.pop("compare", None)
        cut_grid(exercise, random)
    return yaml.safe_dump(study, sort_keys=False, allow_unicode=True)


def shorten(section: dict[str, Any]) -> None:
    """Lower the numbers of a section that say how long it takes."""
    for key, most in PROMPT.items():
        value = section.get(key)
        if isinstance(value, int | float | str) and _number(value) > most:
            section[key] = most
    if "epochs" in section:
        many = section["epochs"] if isinstance(section["epochs"], list) else [section["epochs"]]
        few = [min(2, int(_number(value))) for value in many[:1]]
        section["epochs"] = few if isinstance(section["epochs"], list) else few[0]
    if "gpus" in section or section.get("kind") == "scaling":
        section["gpus"] = [1]
    if "device" in section:
        section["device"] = "cpu"


def cut_grid(exercise: dict[str, Any], random: Random) -> None:
    if not isinstance(exercise.get("optimizers"), dict):
        return
    names = list(exercise["optimizers"])
    few = sorted(random.sample(names, min(2, len(names))), key=names.index)
    exercise["optimizers"] = {name: exercise["optimizers"][name] or {} for name in few}
    for grid in exercise["optimizers"].values():
        for knob, values in grid.items():
            most = 2 if knob == "lr" else 1
            grid[knob] = random.sample(values, min(most, len(values)))


def _number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def run(folder: Path, own: bool = False) -> str | None:
    """Call every program of the study in a folder; what the first that failed has printed.

    Args:
        folder: where the study is.
        own: whether code of the user's own may fail, which is a result.
    """
    for call in calls(folder):
        called = program(*call.words, folder=folder, stdin=call.stdin, seconds=120)
        if called.status != 0 or (failed(called) and not own):
            return f"{call.words[0]}: status {called.status}: {called.told[-1500:]}"
    return None


def failed(called: Called) -> bool:
    """Whether a run was recorded as one that fails by itself."""
    return any(line.startswith("failed: ") for line in called.told.splitlines())


def calls(folder: Path) -> list[Call]:
    """The calls of all programs, in an order in which each finds what it needs."""
    made = apart(_calls, folder)
    assert made.status == 0, made.told
    return made.value


def _calls() -> list[Call]:
    from optlab import files
    from optlab.data import identity
    from optlab.study import reading, table
    from optlab.study.kinds import search

    study = reading.load("study.yaml")
    file = f"results/{study['study']}/study.yaml"
    if Path(file).is_dir():
        shutil.rmtree(file)
    files.write(Path(file), reading.dump(study))  # in place of whatever is there
    runs, found = table.runs(study), []
    used = {one.data: one.dataset for one in (*runs, *search.every(study))}
    for path, name in used.items():
        definition = study["datasets"][name]
        for one in (definition, identity.whole(definition)):
            if identity.prepared_path(name, one) == path:
                words = identity.arguments(name, one, study["archives"])
                found.append(Call(("prepare_data.py", *words, "--output", path)))
                break
    for one in runs:
        places = ("--output", one.folder, "--state", one.state, "--record-failure")
        found.append(Call(("train.py", "--settings", one.text(), *places)))
    for unit in table.units(study):
        found.append(Call(("confirm.py", "--output", unit.file), unit.text()))
    for one in search.every(study):
        words = ("--study", file, "--exercise", one.exercise, "--dataset", one.dataset)
        found += [Call(("search.py", *words, "--worker", str(n))) for n in range(one.workers)]
        found.append(Call(("retrain.py", *words)))
    folder = f"results/{study['study']}"
    found.append(Call(("tables.py", "--study", file, "--output-folder", f"{folder}/tables")))
    page = ("--tables", f"{folder}/tables", "--output", f"{folder}/index.html")
    found.append(Call(("page.py", "--study", file, *page)))
    for name in study["exercises"]:
        words = ("--exercise", name, "--output-folder", f"{folder}/figures/{name}")
        found.append(Call(("figures.py", "--study", file, *words)))
    found.append(Call(("figures.py", "--study", file, "--output-folder", f"{folder}/figures")))
    found.append(Call(("status.py", "--study", "study.yaml")))
    return found


def unfinished(folder: Path) -> list[str]:
    """Files that a program writes on the way and removes in the end."""
    hidden = [path for path in folder.rglob("*") if _is_temporary(path.relative_to(folder))]
    return sorted(str(path.relative_to(folder)) for path in hidden)


def _is_temporary(path: Path) -> bool:
    """Snakemake's folder is none of ours, and notes of what has been checked are kept."""
    if path.parts[0].startswith(".") or path.suffix == ".checked":
        return False
    return path.name.startswith(".") or path.suffix in (".tmp", ".lock") or path.name.endswith("~")
