"""Reading a study: defaults filled in, every mistake found before anything runs.

A study is checked twice, against the JSON schema and against what the program knows (optimizers,
knobs, data sets, networks); its run table is then checked row by row. All mistakes are collected
and each is told in one line: file and line, key, value, and what would be right.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from optlab import custom, grid, models, optimizers, schedules, search_plan, sources
from optlab.errors import DataError, UserError
from optlab.wording import allowed as _allowed
from optlab.wording import show as _show

SCHEMAS = Path(__file__).parents[2] / "schemas"
INHERITED = ("seeds", "device", "threads", "precision")
RESERVED = (
    *("all", "prepare_data", "train", "tables", "figures", "study", "clean"),
    *("search_worker", "retrain", "search_tables"),
)

Key = tuple[str | int, ...]
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.1 reads 1e-5 as text: without a point it is no number there. Its user meant one.
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_TEXTS = ("study", "title", "archives", "datasets", "models", "source", "file", "network")


class StudyError(UserError):
    """The mistakes of a study, one line each."""


class Mistakes:
    """Collects mistakes, each with the place of its key in the study's file."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._places: dict[Key, str] = {}

    def read(self, file: str) -> str:
        """The file's text, whose lines are remembered; what cannot be read is a mistake."""
        try:
            text = Path(file).read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=Loader)
        except (OSError, ValueError, yaml.YAMLError) as error:
            self.lines.append(_unreadable(file, error))
            return ""
        self._places.setdefault((), f"{file}: ")
        if root is not None:
            self._walk(root, (), file)
        return text

    def add(self, key: Key, message: str) -> None:
        """Note that what stands at ``key`` is wrong, and why."""
        where = next((self._places[key[:n]] for n in _shorter(key) if key[:n] in self._places), "")
        name = ".".join(map(str, key)) or "the study"
        line = f"{where}{name}: {message}"
        if line not in self.lines:
            self.lines.append(line)

    def check(self) -> None:
        """Raise `StudyError` if there were any."""
        if self.lines:
            raise StudyError("\n".join(self.lines))

    def _walk(self, node: yaml.Node, key: Key, file: str) -> None:
        if key not in self._places or not key:
            self._places[key] = f"{file}:{node.start_mark.line + 1}: "
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for name, child in node.value:
                inner = (*key, name.value)
                self._places[inner] = f"{file}:{name.start_mark.line + 1}: "
                if name.value in seen:
                    self.add(inner, "this key stands twice; the first would be lost")
                seen.add(name.value)
                self._walk(child, inner, file)
        elif isinstance(node, yaml.SequenceNode):
            for number, child in enumerate(node.value):
                self._walk(child, (*key, number), file)


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
    except yaml.YAMLError as error:
        raise StudyError(_unreadable(str(path), error)) from error
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
    return _resolve(config, mistakes)


def part(study: Mapping[str, Any], exercise: str) -> dict[str, Any]:
    """The resolved study reduced to one exercise and what that exercise uses."""
    settings = study["exercises"][exercise]
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
    _check_schema(study, mistakes)
    mistakes.check()
    _fill(study)
    _check_names(study, mistakes)
    mistakes.check()
    _check_runs(study, mistakes)
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


def _check_schema(study: Any, mistakes: Mistakes) -> None:
    schema = _schema("config")
    for error in _validator(schema).iter_errors(study):
        _add_schema_error(error, mistakes)


def _schema(name: str) -> dict[str, Any]:
    return yaml.load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"), Loader=Loader)


def _validator(schema: dict[str, Any]) -> Any:
    """A validator that fills in defaults on its way (the recipe of jsonschema's own FAQ)."""
    from jsonschema import Draft202012Validator, validators

    properties_of = Draft202012Validator.VALIDATORS["properties"]

    def fill(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            for key, subschema in properties.items():
                if "default" in subschema:
                    instance.setdefault(key, copy.deepcopy(subschema["default"]))
        yield from properties_of(validator, properties, instance, schema)

    return validators.extend(Draft202012Validator, {"properties": fill})(schema)


def _add_schema_error(error: Any, mistakes: Mistakes) -> None:
    key, value, rule = tuple(error.absolute_path), error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = list(error.schema.get("properties", {}))
            for name in value:
                if name not in known:
                    mistakes.add((*key, name), f"unknown key; {_allowed(name, known)}")
        case "required":
            for name in rule:
                if name not in value:
                    mistakes.add(key, f"the key '{name}' is missing")
        case "enum":
            mistakes.add(key, f"{_show(value)} is not known; {_allowed(value, rule)}")
        case "type" if value is None:
            mistakes.add(key, f"nothing is given; it takes {_requirement(error.schema)}")
        case "type" if rule == "string":
            mistakes.add(key, f"{_show(value)} is not a text; write '{_show(value)}'")
        case "type" if rule == "array":
            mistakes.add(key, f"{_show(value)} is not a list; write [{_show(value)}]")
        case "minItems":
            mistakes.add(key, "the list is empty; give at least one value")
        case "minProperties":
            mistakes.add(key, "is empty; give at least one")
        case "uniqueItems":
            twice = next(v for n, v in enumerate(value) if v in value[:n])
            mistakes.add(key, f"{_show(twice)} stands twice in the list")
        case "anyOf":
            mistakes.add(key, f"{_show(value)} is not allowed; a whole number from 1 up, or full")
        case "pattern":
            key = (*key, value) if "propertyNames" in error.schema_path else key
            mistakes.add(key, f"{_show(value)} cannot be a name; use {error.schema['description']}")
        case "not":
            mistakes.add(key, f"{_show(value)} is taken: results/{value} holds something else")
        case _:
            mistakes.add(key, f"{_show(value)} is not allowed; {_requirement(error.schema)}")


def _requirement(schema: Mapping[str, Any]) -> str:
    kinds = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "object": "keys with values",
        "array": "a list of values",
    }
    kind = schema.get("type", "value")
    kind = [kind] if isinstance(kind, str) else kind
    words = " or ".join(kinds.get(k, str(k)) for k in kind if k != "null")
    limits = [f"at least {schema['minimum']}"] if "minimum" in schema else []
    limits += [f"at most {schema['maximum']}"] if "maximum" in schema else []
    return f"{words} {' and '.join(limits)}".strip()


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
    schema = _schema("config")

    def ordered(settings: Mapping[str, Any], level: Mapping[str, Any]) -> dict[str, Any]:
        return {key: settings[key] for key in level["properties"] if key in settings}

    def level_of(kind: str, one: Mapping[str, Any]) -> Mapping[str, Any]:
        return schema["$defs"]["search" if search_plan.is_search(one) else kind]

    return ordered(
        {
            **study,
            **{
                key: {name: ordered(one, level_of(kind, one)) for name, one in study[key].items()}
                for key, kind in (("datasets", "dataset"), ("exercises", "exercise"))
            },
        },
        schema,
    )


def _check_names(study: dict[str, Any], mistakes: Mistakes) -> None:
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
        for number, schedule in enumerate(exercise["schedules"]):
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
    elif source == "npz" and not Path(dataset["file"]).is_file():
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
    if file := custom.source_file(spec):
        _check_file(key, file, mistakes)


def _check_file(key: Key, file: str, mistakes: Mistakes) -> None:
    if not Path(file).is_file():
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


def _check_runs(study: dict[str, Any], mistakes: Mistakes) -> None:
    """The run table, row by row; and that what an exercise compares is in its grid."""
    table = grid.runs(study)
    validator = _validator(_schema("runs"))
    seen: set[str] = set()
    for run in table:
        key: Key = ("exercises", run.exercise)
        if run.path in seen:
            mistakes.add(key, f"two runs would share the folder {run.path}")
        seen.add(run.path)
        row = {name: getattr(run, name) for name in validator.schema["properties"]}
        for error in validator.iter_errors(row):
            name = ".".join(map(str, error.absolute_path))
            mistakes.add(key, f"the run {run.path}: {name}: {error.message}")
    for name, exercise in study["exercises"].items():
        rows = [run for run in table if run.exercise == name]
        if not rows and exercise["kind"] == "sweep":
            reasons = dict.fromkeys(why for run, why in grid.skipped(study) if run.exercise == name)
            mistakes.add(("exercises", name), f"nothing is left to train: {'; '.join(reasons)}")
        for number, settings in enumerate(exercise.get("compare", ())):
            key = ("exercises", name, "compare", number)
            optimizer, known = settings["optimizer"], exercise["optimizers"]
            if optimizer not in known:
                allowed = _allowed(optimizer, known)
                message = f"{_show(optimizer)} is not in this exercise; {allowed}"
                mistakes.add((*key, "optimizer"), message)
            elif not any(grid.matches(run, settings) for run in rows):
                mistakes.add(key, f"{_show(settings)} is not in the exercise's grid")


def _shorter(key: Key) -> Iterator[int]:
    return iter(range(len(key), -1, -1))


def _unreadable(file: str, error: Exception) -> str:
    """In one line why a file cannot be read, with the line where its YAML breaks."""
    if isinstance(error, OSError):
        return f"{file}: cannot be read: {error.strerror}"
    mark = getattr(error, "problem_mark", None)
    place = f"{file}:{mark.line + 1}" if mark else file
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{place}: not valid YAML: {problem}"
