"""What a study may name: data sets, networks, optimizers, knobs, and rows of the run table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from optlab import (
    claims,
    custom,
    grid,
    models,
    optimizers,
    resources,
    scaling_plan,
    schedules,
    schema,
    search_plan,
    sources,
)
from optlab.errors import DataError, UserError
from optlab.mistakes import Key, Mistakes
from optlab.wording import allowed as _allowed
from optlab.wording import show as _show

RESERVED = (
    *("all", "prepare_data", "train", "tables", "figures", "study", "clean"),
    *("search_worker", "retrain", "search_tables", "scaling_tables"),
)


def names(study: dict[str, Any], mistakes: Mistakes) -> None:
    for name, dataset in study["datasets"].items():
        _check_dataset(("datasets", name), dataset, mistakes)
    for name, model in study["models"].items():
        _check_model(("models", name), model, mistakes)
    for name, exercise in study["exercises"].items():
        key: Key = ("exercises", name)
        rules = (*RESERVED, *(f"figures_{other}" for other in study["exercises"]))
        if name in rules:
            mistakes.add(key, f"an exercise cannot be called '{name}': a rule has this name")
        known = [*study["datasets"], *(s for s in sources.SOURCES if s != "npz")]
        for number, dataset in enumerate(exercise["datasets"]):
            if dataset not in known:
                message = f"unknown data set {_show(dataset)}; {_allowed(dataset, known)}"
                mistakes.add((*key, "datasets", number), message)
        if search_plan.is_search(exercise):
            for place, message in search_plan.mistakes(study, exercise):
                mistakes.add((*key, *place), message)
            continue
        for number, model in enumerate(exercise["models"]):
            if model not in study["models"]:
                _check_network((*key, "models", number), model, study["models"], mistakes)
        if scaling_plan.is_scaling(exercise):
            for place, message in scaling_plan.mistakes(exercise):
                mistakes.add((*key, *place), message)
        for number, schedule in enumerate(exercise.get("schedules", ())):
            try:
                schedules.text(schedule)
            except UserError as error:
                mistakes.add((*key, "schedules", number), str(error))
        for optimizer, knobs in exercise["optimizers"].items():
            _check_optimizer((*key, "optimizers", optimizer), optimizer, knobs, mistakes)


def _check_dataset(key: Key, dataset: dict[str, Any], mistakes: Mistakes) -> None:
    source = dataset["source"]
    if source not in sources.SOURCES:
        allowed = _allowed(source, sources.SOURCES)
        mistakes.add((*key, "source"), f"unknown source {_show(source)}; {allowed}")
    elif source == "npz" and not dataset["file"]:
        mistakes.add(key, "source npz needs the key 'file': the path of your .npz file")
    elif source != "npz" and dataset["file"]:
        mistakes.add((*key, "file"), f"only source npz reads a file; source {source} has its own")
    elif source == "npz" and not _is_file(dataset["file"]):
        _check_file((*key, "file"), dataset["file"], mistakes)
    else:
        try:
            sources.prepared_path(str(key[-1]), dataset)
        except DataError as error:
            mistakes.add(key, str(error))


def _check_model(key: Key, model: dict[str, Any], mistakes: Mistakes) -> None:
    network = model["network"]
    _check_network((*key, "network"), network, (), mistakes)
    if network in models.NETWORKS:
        known = models.options(network)
        for option, value in model.items():
            if option == "network":
                continue
            if option not in known:
                message = f"the network {network} has no such option; {_allowed(option, known)}"
                mistakes.add((*key, option), message)
            elif reason := models.refuses(option, value, known[option]):
                mistakes.add((*key, option), f"{_show(value)} is not allowed; {reason}")


def _check_network(key: Key, network: str, named: Iterable[str], mistakes: Mistakes) -> None:
    if custom.is_custom(network):
        _check_custom(key, network, mistakes)
    elif network not in models.NETWORKS:
        known = [*models.NETWORKS, *named]
        mistakes.add(
            key,
            f"unknown network {_show(network)}; {_allowed(network, known)}, "
            "or your own as path/to/file.py:name",
        )


def _check_custom(key: Key, spec: str, mistakes: Mistakes) -> None:
    place, _, name = spec.rpartition(":")
    file = custom.source_file(spec)
    if not name.isidentifier() or not (file or all(p.isidentifier() for p in place.split("."))):
        mistakes.add(key, f"{_show(spec)} is neither path/to/file.py:name nor package.module:name")
    elif file:
        _check_file(key, file, mistakes)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _check_file(key: Key, file: str, mistakes: Mistakes) -> None:
    if not _is_file(file):
        mistakes.add(key, f"there is no file {file} (seen from {Path.cwd()})")


def _check_optimizer(
    key: Key, name: str, knobs: Mapping[str, list[Any]], mistakes: Mistakes
) -> None:
    entry = optimizers.OPTIMIZERS.get(name)
    if entry is None and not custom.is_custom(name):
        known = list(optimizers.OPTIMIZERS)
        mistakes.add(
            key,
            f"unknown optimizer; {_allowed(name, known)}, "
            "or your own as path/to/file.py:Class or package.module:Class",
        )
        return
    if entry is None:
        _check_custom(key, name, mistakes)
    if entry is None and "lr" not in knobs:
        mistakes.add(key, "an optimizer of your own needs the key 'lr': its learning rates")
    for knob, values in knobs.items():
        known = ["lr", *entry.knobs] if entry else [knob]
        if knob not in known:
            message = f"the optimizer {name} has no knob '{knob}'; {_allowed(knob, known)}"
            mistakes.add((*key, knob), message)
            continue
        if not optimizers.refuses(knob, values) and optimizers.refuses(knob, values[0]):
            message = f"{_show(values)} is one value; write [{_show(values)}]"
            mistakes.add((*key, knob), message)
            continue
        for number, value in enumerate(values):
            if allowed := optimizers.refuses(knob, value):
                mistakes.add((*key, knob, number), f"{_show(value)} is not allowed; {allowed}")


def runs(study: dict[str, Any], mistakes: Mistakes) -> None:
    """The run table, row by row; and that what an exercise compares is in its grid."""
    table = grid.runs(study)
    validator = schema.validator(schema.load("runs"))
    seen: set[str] = set()
    for run in table:
        key: Key = ("exercises", run.exercise)
        if run.path in seen:
            mistakes.add(key, f"two runs would share the folder {run.path}")
        seen.add(run.path)
        _check_batch(key, run, study["datasets"][run.dataset], mistakes)
        row = {name: getattr(run, name) for name in validator.schema["properties"]}
        for error in validator.iter_errors(row):
            name = ".".join(map(str, error.absolute_path))
            mistakes.add(key, f"the run {run.path}: {name}: {error.message}")
    for name, exercise in study["exercises"].items():
        rows = [run for run in table if run.exercise == name]
        if not rows and not search_plan.is_search(exercise):
            reasons = dict.fromkeys(why for run, why in grid.skipped(study) if run.exercise == name)
            mistakes.add(("exercises", name), f"nothing is left to train: {'; '.join(reasons)}")
        known = list(exercise.get("optimizers", ()))
        for number, settings in enumerate(exercise.get("compare", ())):
            if wrong := claims.misplaced(settings, known, rows):
                mistakes.add(("exercises", name, "compare", number, *wrong[0]), wrong[1])
        for place, message in claims.mistakes(exercise.get("claims", ()), known, rows):
            mistakes.add(("exercises", name, "claims", *place), message)


def _check_batch(
    key: Key, run: grid.Run, definition: Mapping[str, Any], mistakes: Mistakes
) -> None:
    """A batch of all processes has to fit into the training set, where its size is known."""
    if isinstance(run.batch_size, str):
        return
    changed = definition["subset"] is not None or definition["validation"] is not None
    examples = resources.known_examples(run.data, definition["source"], changed)
    if examples is not None and run.batch_size > examples:
        together = f" ({run.gpus} processes together)" if run.gpus > 1 else ""
        mistakes.add(
            (*key, "batch_sizes"),
            f"a batch of {run.batch_size}{together} is more than the {examples} training examples "
            f"of {run.dataset}; use at most {examples}",
        )
