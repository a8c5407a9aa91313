"""Reading a study: defaults filled in, and every mistake found before anything runs.

A study is checked against the JSON schema, then against the catalogue, and its run table row by
row. All mistakes are collected; each is one line: file, line, key, value, what would be right.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from optlab.catalogue import datasets
from optlab.study import checks, kinds, schema
from optlab.study.mistakes import Loader, Mistakes
from optlab.values import canonical

INHERITED = ("seeds", "device", "threads", "precision", "replicates")

# YAML 1.1 takes 1e-5 for a text, since it has no point; the user meant a number.
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_TEXTS = ("study", "title", "archives", "datasets", "models", "source", "file", "network", "claim")

# First line of a resolved study, which is not checked again while its hash is right.
_RESOLVED = "# Resolved, do not edit: "


def load(path: str | Path) -> dict[str, Any]:
    """The resolved study of a YAML file: a user's, or ``study.yaml`` of a results folder.

    Raises:
        UserError: the file cannot be read or has mistakes; one line for each.
    """
    mistakes = Mistakes()
    text = mistakes.read(str(path))
    first, _, rest = text.partition("\n")
    if first == _RESOLVED + _hash(rest):
        return yaml.load(rest, Loader=Loader)
    return _resolve(mistakes.load(text, str(path)), mistakes)


def resolve(config: Mapping[str, Any] | None, files: Iterable[str] = ()) -> dict[str, Any]:
    """A configuration with every default filled in and every number in its one form.

    Args:
        config: the content of the configuration file.
        files: the configuration files, for the line numbers of mistakes.

    Raises:
        UserError: the mistakes, one line for each.
    """
    mistakes = Mistakes()
    for file in files:
        mistakes.load(mistakes.read(file), file)
    return _resolve(config, mistakes)


def dump(study: Mapping[str, Any]) -> str:
    """A resolved study as text that `load` reads without checking it again."""
    text = yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True, width=100)
    return f"{_RESOLVED}{_hash(text)}\n{text}"


def part(
    study: Mapping[str, Any], exercise: str, leave: Collection[str] = ("claims",)
) -> dict[str, Any]:
    """A resolved study reduced to one exercise, without some of its keys."""
    whole = study["exercises"][exercise]
    settings = {key: value for key, value in whole.items() if key not in leave}
    return {
        "study": study["study"],
        **{
            key: {name: study[key][name] for name in settings.get(key, ()) if name in study[key]}
            for key in ("datasets", "models")
        },
        "exercises": {exercise: settings},
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _resolve(config: Any, mistakes: Mistakes) -> dict[str, Any]:
    mistakes.check()
    study = _plain(config)
    schema.check(study, mistakes)
    mistakes.check()
    _fill(study)
    checks.check_names(study, mistakes)
    mistakes.check()
    checks.check_runs(study, mistakes)
    mistakes.check()
    return _ordered(study)


def _plain(value: Any, key: str = "") -> Any:
    """A copy in which keys are texts and numbers are numbers, each in its one form."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if isinstance(value, str) and key not in _TEXTS and _NUMBER.fullmatch(value):
        return canonical(float(value))
    return canonical(value)


def _fill(study: dict[str, Any]) -> None:
    """What the schema cannot fill in: inherited settings, knobs and built-in data sets."""
    for exercise in study["exercises"].values():
        for key in INHERITED:
            exercise.setdefault(key, study[key])
        kinds.of(exercise).fill(exercise)
        for name in exercise["datasets"]:
            if name in datasets.BUILT_IN:
                study["datasets"].setdefault(name, datasets.built_in(name))


def _ordered(study: Mapping[str, Any]) -> dict[str, Any]:
    """The study with its keys in the schema's order: a default spelled out changes no text."""
    top = schema.load("config")

    def ordered(settings: Mapping[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
        return {key: settings[key] for key in level["properties"] if key in settings}

    def sections(key: str) -> dict[str, Any]:
        found = study[key].items()
        return {name: ordered(one, top["$defs"][one.get("kind", "dataset")]) for name, one in found}

    parts = {key: sections(key) for key in ("datasets", "exercises")}
    return ordered({**study, **parts}, top)
