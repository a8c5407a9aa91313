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

from optlab.catalogue import datasets, networks, schedules
from optlab.data import known
from optlab.errors import Key, Mistake, below
from optlab.study import confirmation, kinds, misfits, names, notation, schema, spellings, table
from optlab.study.mistakes import AS_WRITTEN, Mistakes
from optlab.study.run import Run
from optlab.values import canonical

INHERITED = (
    *("seeds", "device", "threads", "precision", "sync_batch_norm", "replicates", "vary"),
    *("confirm", "margin", "extend", "keep_weights", "log"),
)

# A quoted number, or one that Snakemake's options give as a text, is a number.
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_TEXTS = (
    *("study", "title", "archives", "datasets", "models", "source", "file", "network"),
    *("test_file", "target", "drop", "folder"),
    *("claim", "unanswered"),
)

LONGEST_TEXT = 120_000  # bytes; Linux allows a command line of 131,072
MOST_RUNS = 100_000  # of an exercise, all of which are read into memory

# Of a folder's name, in bytes. A file system allows 255, and a benchmark adds to the last one.
LONGEST = 220

# The names of all rules but those that are of one exercise.
RULES = (
    *("all", "prepare_data", "study", "train", "confirm", "search_worker", "retrain"),
    *("tables", "figures_study", "page"),
)
OF_EXERCISES = ("figures", "train")  # rules of which an exercise has, or may have, its own

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
        return notation.load(rest)
    return _resolve(mistakes.load(text, str(path)), mistakes)


def of_files(files: Iterable[str], words: Iterable[str] = ()) -> dict[str, Any]:
    """The resolved study of Snakemake's configuration files and its options ``--config``.

    Snakemake has read them as YAML 1.1, and its keys are no longer those that were written.

    Args:
        files: later ones overwrite what is in earlier ones.
        words: ``key=value``, which overwrite what is in files.

    Raises:
        UserError: the mistakes, one line for each.
    """
    mistakes, content = Mistakes(), None
    for file in files:
        content = _over(content, mistakes.load(mistakes.read(file), file))
    for word in words:
        key, _, value = word.partition("=")
        try:
            content = _over(content, {key: notation.load(value)})
        except (ValueError, KeyError, yaml.YAMLError):
            content = _over(content, {key: value})
    return _resolve(content, mistakes)


def resolve(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """A configuration with every default filled in and every number in its one form.

    Raises:
        UserError: the mistakes, one line for each.
    """
    return _resolve(config, Mistakes())


def dump(study: Mapping[str, Any]) -> str:
    """A resolved study as text that `load` reads without checking it again."""
    text = notation.dump(study)
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


def _over(before: Any, after: Any) -> Any:
    """Content with the keys of another one put over it, at every level."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return after
    return {**before, **{key: _over(before.get(key), one) for key, one in after.items()}}


def _resolve(config: Any, mistakes: Mistakes) -> dict[str, Any]:
    mistakes.check()
    study = _plain(config)
    for key, text in mistakes.written.items():
        _write(study, key, text)
    mistakes.check(schema.mistakes(study))
    mistakes.check(spellings.settle(study, mistakes.spelled))
    _fill(study)
    mistakes.check(_of_names(study))
    mistakes.check(_of_runs(study))
    mistakes.check(_of_texts(study))
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
    """Put back the text of a number, unless a later file or option has another number there."""
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
    rules = (*RULES, *(f"{rule}_{name}" for name in study["exercises"] for rule in OF_EXERCISES))
    for name, exercise in study["exercises"].items():
        key = ("exercises", name)
        if name in rules:
            yield key, f"an exercise cannot be called '{name}': a rule has this name"
        if (size := table.size(exercise)) > MOST_RUNS:
            yield key, f"its grid has {size} runs; at most {MOST_RUNS} are allowed"
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
        yield from below(key, _misfits(run, study["datasets"][run.dataset]))
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


def _of_texts(study: Mapping[str, Any]) -> Iterator[Mistake]:
    """Texts that are too long for the command lines of jobs."""
    for unit in table.units(study):
        if len(unit.text()) > LONGEST_TEXT:
            words = f"{len(unit.runs)} settings of {unit.runs[0].optimizer} on a problem are more"
            yield ("exercises", unit.runs[0].exercise), f"{words} than a job can be told; use fewer"
    if len(dump(study).encode()) > LONGEST_TEXT:
        yield (), f"is longer than the {LONGEST_TEXT} bytes that a job can be told; divide it"


def _misfits(run: Run, definition: Mapping[str, Any]) -> Iterator[Mistake]:
    """What of a run does not fit its data set, or the file system."""
    examples = known.sizes(definition)[0]
    if run.subset is not None:
        examples = run.subset - run.subset_validation
    if isinstance(run.batch_size, int) and run.batch_size > examples:
        together = f" ({run.gpus} processes together)" if run.gpus > 1 else ""
        yield (
            ("batch_sizes",),
            f"a batch of {run.batch_size}{together} is more than the {examples} training examples "
            f"of {run.dataset}; use at most {examples}",
        )
    batches = -(-examples // run.batch_size) if isinstance(run.batch_size, int) else 1
    if reason := schedules.unfit(run.schedule, run.epochs * batches):
        yield ("schedules",), reason
    yield from misfits.of_axes(run, definition)
    found = known.source(definition)
    if reason := networks.unfit(run.network, run.network_options, found.shape, found.task):
        yield ("models",), f"{run.model} on {run.dataset}: {reason}"
    for part in run.path.split("/"):
        if len(part.encode()) > LONGEST:
            words = f"the folder {part[:40]}… of a run would have a name of {len(part.encode())}"
            yield (), f"{words} bytes; shorten names, or give knobs fewer digits: at most {LONGEST}"


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
