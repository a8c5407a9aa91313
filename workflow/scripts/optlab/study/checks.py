"""Checks of a study beyond the schema: its names, and the rows of its run table."""

from collections.abc import Mapping
from typing import Any

from optlab.data.identity import known_examples
from optlab.errors import Key
from optlab.study import kinds, names, schema, table
from optlab.study.mistakes import Mistakes
from optlab.study.run import Run

# The names of all rules; `figures_<exercise>` is one for each exercise.
RULES = ("all", "prepare_data", "study", "train", "search_worker", "retrain", "tables")


def check_names(study: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Check all names in the study, and what each kind of exercise requires."""
    for name, dataset in study["datasets"].items():
        mistakes.add_all(("datasets", name), names.data_set(name, dataset))
    for name, model in study["models"].items():
        mistakes.add_all(("models", name), names.model(model))
    rules = (*RULES, *(f"figures_{name}" for name in study["exercises"]))
    for name, exercise in study["exercises"].items():
        key: Key = ("exercises", name)
        if name in rules:
            mistakes.add(key, f"an exercise cannot be called '{name}': a rule has this name")
        mistakes.add_all(key, names.data_sets(study, exercise["datasets"]))
        mistakes.add_all(key, kinds.of(exercise).mistakes(study, exercise))


def check_runs(study: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Check each row of the run table, and what each kind of exercise requires of its runs."""
    runs = table.runs(study)
    validator = schema.validator(schema.load("runs"))
    seen: set[str] = set()
    for run in runs:
        key: Key = ("exercises", run.exercise)
        if run.path in seen:
            mistakes.add(key, f"two runs would share the folder {run.path}")
        seen.add(run.path)
        _check_batch(key, run, study["datasets"][run.dataset], mistakes)
        row = {name: getattr(run, name) for name in validator.schema["properties"]}
        for error in validator.iter_errors(row):
            name = ".".join(map(str, error.absolute_path))
            mistakes.add(key, f"the run {run.path}: {name}: {error.message}")
    skipped = table.skipped(study)
    for name, exercise in study["exercises"].items():
        own = [run for run in runs if run.exercise == name]
        reasons = dict.fromkeys(why for run, why in skipped if run.exercise == name)
        if reasons and not own:
            mistakes.add(("exercises", name), f"nothing is left to train: {'; '.join(reasons)}")
        mistakes.add_all(("exercises", name), kinds.of(exercise).run_mistakes(exercise, own))


def _check_batch(key: Key, run: Run, definition: Mapping[str, Any], mistakes: Mistakes) -> None:
    """A batch must not exceed the training set, if its size is known before preparation."""
    examples = known_examples(run.data, definition)
    if examples is not None and isinstance(run.batch_size, int) and run.batch_size > examples:
        together = f" ({run.gpus} processes together)" if run.gpus > 1 else ""
        mistakes.add(
            (*key, "batch_sizes"),
            f"a batch of {run.batch_size}{together} is more than the {examples} training examples "
            f"of {run.dataset}; use at most {examples}",
        )
