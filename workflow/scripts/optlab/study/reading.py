"""Reading a study: defaults filled in, and every mistake found before anything runs.

A study is checked against the JSON schema, then against the catalogue, and its run table row by
row. All mistakes are collected; each is one line: file, line, key, value, what would be right.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from optlab.catalogue import datasets
from optlab.data.identity import known_examples
from optlab.errors import Key, Mistake, below
from optlab.study import confirmation, kinds, names, schema, table
from optlab.study.mistakes import AS_WRITTEN, Loader, Mistakes
from optlab.study.run import Run
from optlab.values import canonical

INHERITED = (
    *("seeds", "device", "threads", "precision", "replicates", "vary"),
    *("confirm", "margin", "extend"),
)

# YAML 1.1 takes 1e-5 for a text, since it has no point; the user meant a number.
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_TEXTS = (
    *("study", "title", "archives", "datasets", "models", "source", "file", "network"),
    *("claim", "unanswered"),
)

# The names of all rules; `figures_<exercise>` is one for each exercise.
RULES = (
    *("all", "prepare_data", "study", "train", "confirm", "search_worker", "retrain"),
    *("tables", "figures_study"),
)

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
    study: Mapping[str, Any], *exercises: str, leave: Collection[str] = ("claims",)
) -> dict[str, Any]:
    """A resolved study reduced to some exercises, without some of their keys."""
    settings = {
        name: {key: value for key, value in study["exercises"][name].items() if key not in leave}
        for name in exercises
    }

    def named(key: str) -> dict[str, Any]:
        names = dict.fromkeys(name for one in settings.values() for name in one.get(key, ()))
        return {name: study[key][name] for name in names if name in study[key]}

    parts = {key: named(key) for key in ("datasets", "models")}
    # An optimizer may have one learning rate where the whole study, and no exercise, extends grids.
    extends = study["extend"] and any("extend" in one for one in settings.values())
    shared = {"extend": study["extend"]} if extends else {}
    return {"study": study["study"], **shared, **parts, "exercises": settings}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _resolve(config: Any, mistakes: Mistakes) -> dict[str, Any]:
    mistakes.check()
    study = _plain(config)
    for key, text in mistakes.written.items():
        _write(study, key, text)
    mistakes.check(schema.mistakes(study))
    _fill(study)
    mistakes.check(_of_names(study))
    mistakes.check(_of_runs(study))
    return _ordered(study)


def _plain(value: Any, key: str = "") -> Any:
    """A copy in which keys are texts and numbers are numbers, each in its one form."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in value]
    if key == AS_WRITTEN and not isinstance(value, bool | None):
        return str(value)
    if isinstance(value, str) and key not in _TEXTS and _NUMBER.fullmatch(value):
        return canonical(float(value))
    return canonical(value)


def _write(study: Any, key: Key, text: str) -> None:
    """Put back the text of a number, unless the configuration has another number there.

    Snakemake reads the YAML itself, and later files and options overwrite what is in earlier ones.
    """
    *path, last = key
    with suppress(KeyError, IndexError, TypeError, ValueError):
        for name in path:
            study = study[name]
        if float(study[last]) == float(text):
            study[last] = text


def _fill(study: dict[str, Any]) -> None:
    """What the schema cannot fill in: inherited settings, knobs and built-in data sets."""
    for exercise in study["exercises"].values():
        for key in INHERITED:
            exercise.setdefault(key, study[key])
        kinds.of(exercise).fill(exercise)
        for name in exercise["datasets"]:
            if name in datasets.BUILT_IN:
                study["datasets"].setdefault(name, datasets.built_in(name))


def _of_names(study: Mapping[str, Any]) -> Iterator[Mistake]:
    """Mistakes in what the study names, and in what each kind of exercise requires."""
    for name, dataset in study["datasets"].items():
        yield from below(("datasets", name), names.data_set(name, dataset))
    for name, model in study["models"].items():
        yield from below(("models", name), names.model(model))
    yield from confirmation.shared_mistakes(study)
    rules = (*RULES, *(f"figures_{name}" for name in study["exercises"]))
    for name, exercise in study["exercises"].items():
        key = ("exercises", name)
        if name in rules:
            yield key, f"an exercise cannot be called '{name}': a rule has this name"
        yield from below(key, names.data_sets(study, exercise["datasets"]))
        yield from below(key, kinds.of(exercise).mistakes(study, exercise))


def _of_runs(study: Mapping[str, Any]) -> Iterator[Mistake]:
    """Mistakes in rows of the run table, and in what each kind of exercise requires of its runs."""
    runs, skipped = table.runs(study), table.skipped(study)
    validator = schema.validator(schema.load("runs"))
    seen: set[str] = set()
    optimizers: dict[str, str] = {}
    for run in runs:
        key = ("exercises", run.exercise)
        if run.path in seen:
            yield key, f"two runs would share the folder {run.path}"
        seen.add(run.path)
        if optimizers.setdefault(run.unit, run.optimizer) != run.optimizer:
            same = f"{optimizers[run.unit]} and {run.optimizer} would share a folder; rename one"
            yield (*key, "optimizers"), same
        if message := _too_large(run, study["datasets"][run.dataset]):
            yield (*key, "batch_sizes"), message
        row = {name: getattr(run, name) for name in validator.schema["properties"]}
        for error in validator.iter_errors(row):
            name = ".".join(map(str, error.absolute_path))
            yield key, f"the run {run.path}: {name}: {error.message}"
    for name, exercise in study["exercises"].items():
        own = [run for run in runs if run.exercise == name]
        reasons = dict.fromkeys(why for run, why in skipped if run.exercise == name)
        if reasons and not own:
            yield ("exercises", name), f"nothing is left to train: {'; '.join(reasons)}"
        yield from below(("exercises", name), kinds.of(exercise).run_mistakes(exercise, own))


def _too_large(run: Run, definition: Mapping[str, Any]) -> str | None:
    """Why a batch is too large, if the size of the training set is known before preparation."""
    examples = known_examples(run.data, definition)
    if run.subset is not None:
        examples = run.subset - run.subset_validation
    if examples is None or not isinstance(run.batch_size, int) or run.batch_size <= examples:
        return None
    together = f" ({run.gpus} processes together)" if run.gpus > 1 else ""
    return (
        f"a batch of {run.batch_size}{together} is more than the {examples} training examples "
        f"of {run.dataset}; use at most {examples}"
    )


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
