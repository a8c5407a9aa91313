"""Reading a study: defaults filled in, every mistake found before anything runs.

A study is checked twice, against the JSON schema and against what the program knows (optimizers,
knobs, data sets, networks); its run table is then checked row by row. All mistakes are collected
and each is told in one line: file and line, key, value, and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from optlab import checks, grid, schedules, schema, search_plan, sources
from optlab.errors import UserError
from optlab.mistakes import Loader, Mistakes, StudyError, unreadable

INHERITED = ("seeds", "device", "threads", "precision", "replicates")

# YAML 1.1 reads 1e-5 as text: without a point it is no number there. Its user meant one.
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_TEXTS = ("study", "title", "archives", "datasets", "models", "source", "file", "network", "claim")


def load(path: str | Path) -> dict[str, Any]:
    """The resolved study of the YAML file ``path``, of a user's or of a results folder.

    Raises:
        StudyError: the file cannot be read or has mistakes; one line for each.
    """
    mistakes = Mistakes()
    text = mistakes.read(str(path))
    mistakes.check()
    try:
        config = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StudyError(unreadable(str(path), error)) from error
    return _resolve(config, mistakes)


def resolve(config: Mapping[str, Any] | None, files: Iterable[str] = ()) -> dict[str, Any]:
    """The study with every default filled in and every number in its one form.

    Args:
        config: what the configuration file holds.
        files: the configuration files, to tell the line of a mistake.

    Raises:
        StudyError: the mistakes, one line for each.
    """
    mistakes = Mistakes()
    for file in files:
        mistakes.read(file)
    mistakes.check()
    return _resolve(config, mistakes)


def part(study: Mapping[str, Any], exercise: str) -> dict[str, Any]:
    """The resolved study reduced to one exercise and what its jobs use."""
    whole = study["exercises"][exercise]
    settings = {key: value for key, value in whole.items() if key != "claims"}
    return {
        "study": study["study"],
        **{
            key: {name: study[key][name] for name in settings.get(key, ()) if name in study[key]}
            for key in ("datasets", "models")
        },
        "exercises": {exercise: settings},
    }


def _resolve(config: Any, mistakes: Mistakes) -> dict[str, Any]:
    study = _plain(config)
    schema.check(study, mistakes)
    mistakes.check()
    _fill(study)
    checks.names(study, mistakes)
    mistakes.check()
    checks.runs(study, mistakes)
    mistakes.check()
    return _ordered(study)


def dump(study: Mapping[str, Any]) -> str:
    """The study as YAML text, which `load` reads again."""
    return yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True, width=100)


def _plain(value: Any, key: str = "") -> Any:
    """A copy in which keys are texts and numbers are numbers, each in its one form."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if isinstance(value, str) and key not in _TEXTS and _NUMBER.fullmatch(value):
        return grid.canonical(float(value))
    return grid.canonical(value)


def _fill(study: dict[str, Any]) -> None:
    """What the schema cannot fill in: inherited settings, knobs and built-in data sets."""
    definition = {"file": None, "validation": None, "split_seed": 0, "subset": None}
    for exercise in study["exercises"].values():
        for key in INHERITED:
            exercise.setdefault(key, study[key])
        if search_plan.is_search(exercise):
            search_plan.fill(exercise)
        else:
            exercise["optimizers"] = {
                name: grid.knob_values(name, given or {})
                for name, given in exercise["optimizers"].items()
            }
            if exercise["kind"] == "sweep":
                exercise["schedules"] = [_schedule(given) for given in exercise["schedules"]]
        for name in exercise["datasets"]:
            if name in sources.SOURCES and name != "npz":
                study["datasets"].setdefault(name, {"source": name, **definition})


def _schedule(given: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """A schedule in its one form; one that has a mistake as it is, for `_check_names` to tell."""
    try:
        return schedules.text(given)
    except UserError:
        return given


def _ordered(study: Mapping[str, Any]) -> dict[str, Any]:
    """The study with its keys in the schema's order: a default spelled out changes no text."""
    top = schema.load("config")

    def ordered(settings: Mapping[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
        return {key: settings[key] for key in level["properties"] if key in settings}

    def level_of(kind: str, one: Mapping[str, Any]) -> Mapping[str, Any]:
        return top["$defs"][kind if one.get("kind", "sweep") == "sweep" else one["kind"]]

    return ordered(
        {
            **study,
            **{
                key: {name: ordered(one, level_of(kind, one)) for name, one in study[key].items()}
                for key, kind in (("datasets", "dataset"), ("exercises", "exercise"))
            },
        },
        top,
    )
