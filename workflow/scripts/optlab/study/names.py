"""Checks of what a study names against the catalogue: data sets, networks, optimizers and knobs.

Each function yields mistakes, whose keys are relative to the section that it checks.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from optlab import custom
from optlab.catalogue import axes, networks, optimizers, tasks
from optlab.catalogue import knobs as knob_rules
from optlab.catalogue.datasets import BUILT_IN, FILES
from optlab.data import identity, known
from optlab.errors import DataError, Key, Mistake, UserError, allowed, below, show

Mistakes = Iterator[Mistake]


def data_set(name: str, definition: Mapping[str, Any]) -> Mistakes:
    """A data set that the study defines."""
    if (found := list(identity.mistakes(definition))) or (
        found := [
            ((key,), missing)
            for key in FILES
            if definition.get(key) and (missing := _missing(definition[key]))
        ]
    ):
        yield from found
    elif definition.get("folder") and not os.path.isdir(definition["folder"]):
        yield ("folder",), f"there is no folder {definition['folder']} (seen from {Path.cwd()})"
    else:
        try:
            identity.prepared_path(name, definition)
            known.sizes(definition)
        except DataError as error:
            key, _, message = str(error).partition(": ")
            yield ((key,), message) if key in definition else ((), str(error))


def data_sets(study: Mapping[str, Any], names: Iterable[str]) -> Mistakes:
    """The data sets of an exercise."""
    known = [*study["datasets"], *BUILT_IN]
    for number, name in enumerate(names):
        if name not in known:
            yield ("datasets", number), f"unknown data set {show(name)}; {allowed(name, known)}"


def varied(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Mistakes:
    """What the seeds of an exercise vary, which its data sets must have."""
    for number, what in enumerate(exercise["vary"]):
        for name in exercise["datasets"]:
            definition = study["datasets"].get(name)
            if definition is None or any(identity.mistakes(definition)):
                continue  # reported elsewhere
            if what in ("split", "subset") and task(study, name) == tasks.NEXT_TOKEN:
                words = f"the data set {name} is a text, which is divided in its order"
                yield ("vary", number), f"{what}: {words}: there is nothing to draw"
            elif what == "subset" and definition["subset"] is None:
                yield ("vary", number), f"subset: the data set {name} has no subset to vary"
            elif what == "split" and (reason := _undrawn(definition)):
                yield ("vary", number), f"split: the data set {name} {reason}"


def _undrawn(definition: Mapping[str, Any]) -> str | None:
    """Why the validation examples of a data set cannot be drawn again."""
    try:
        if known.source(definition).validation is not None:
            return "has a validation set of its own, which is not drawn"
        return None if known.sizes(definition)[1] else "has no validation examples to draw"
    except DataError:
        return None  # reported elsewhere


def kept(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Mistakes:
    """The best weights are those of the lowest validation loss, which a data set must have."""
    for name in exercise["datasets"] if exercise["keep_weights"] == "best" else ():
        definition = study["datasets"].get(name)
        if definition is None or any(identity.mistakes(definition)):
            continue  # reported elsewhere
        with suppress(DataError):  # reported elsewhere
            if known.source(definition).validation is None and not known.sizes(definition)[1]:
                words = f"the data set {name} has no validation examples to judge by; use last"
                yield ("keep_weights",), f"best: {words}"


def judged(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Mistakes:
    """Loss and metrics by which an exercise is judged, which its data sets must have."""
    wanted: dict[Key, str] = {
        ("metrics", i): name for i, name in enumerate(exercise.get("metrics") or ())
    }
    if exercise.get("metric", "auto") not in ("auto", "loss"):
        wanted["metric",] = exercise["metric"]
    if exercise.get("target_accuracy") is not None:
        wanted["target_accuracy",] = "accuracy"
    for key, name in wanted.items():
        if custom.is_custom(name):
            yield from below(key, own_code(name))
        if reason := tasks.refuses_metric(name):
            yield key, reason
    kinds = {name: task(study, name) for name in exercise["datasets"]}
    for name, kind in kinds.items():
        if kind is None:
            continue
        for key, metric in wanted.items():
            known = tasks.metric_named(tasks.column(metric))
            if known and known.tasks and kind not in known.tasks:
                yield key, f"{_HAS[kind].format(name)}, so no {known.label}"
    if loss := exercise.get("loss"):
        yield from below(("loss",), _loss(loss, kinds))


_HAS = {
    tasks.CLASSIFICATION: "the data set {} has classes",
    tasks.REGRESSION: "the data set {} has no classes",
    tasks.NEXT_TOKEN: "the data set {} is a text",
}


def _loss(loss: str, kinds: Mapping[str, str | None]) -> Mistakes:
    """A loss, given the task of each data set."""
    if custom.is_custom(loss):
        yield from own_code(loss)
        return
    for name, kind in kinds.items():
        if kind and loss not in (known := tasks.TASKS[kind].losses):
            words = f"{_HAS[kind].format(name)}; {allowed(loss, known)}"
            yield (), f"{show(loss)} is no loss of it: {words}, or your own as path/to/file.py:name"


def task(study: Mapping[str, Any], name: str) -> str | None:
    """The task of a data set; None where it has a mistake, which is reported elsewhere."""
    definition = study["datasets"].get(name)
    if definition is None or any(data_set(name, definition)):
        return None
    return known.source(definition).task


def model(definition: Mapping[str, Any]) -> Mistakes:
    """A network with options that the study defines."""
    name = definition["network"]
    yield from below(("network",), network(name))
    yield from options(name, {k: v for k, v in definition.items() if k != "network"})


def options(name: str, given: Mapping[str, Any]) -> Mistakes:
    """Options of a network; those of the user's own network cannot be checked."""
    if name not in networks.NETWORKS:
        return
    known = networks.of(name).options
    for option, value in given.items():
        if option not in known:
            message = f"the network {name} has no such option"
            yield (option,), f"{message}; {allowed(option, known)}"
        elif reason := networks.refuses(option, value, known[option]):
            yield (option,), f"{show(value)} is not allowed; {reason}"


def network(name: str, named: Iterable[str] = ()) -> Mistakes:
    """A network; ``named`` are the models that the study defines."""
    if custom.is_custom(name):
        yield from own_code(name)
    elif name not in networks.NETWORKS:
        known = allowed(name, [*networks.NETWORKS, *named])
        yield (), f"unknown network {show(name)}; {known}, or your own as path/to/file.py:name"


def grid(study: Mapping[str, Any], exercise: Mapping[str, Any]) -> Mistakes:
    """The networks, optimizers and other axes of a sweep or a scaling exercise."""
    for number, name in enumerate(exercise["models"]):
        if name not in study["models"]:
            yield from below(("models", number), network(name, study["models"]))
    for name, values in axes.given(exercise).items():
        for number, value in enumerate(values):
            try:
                axes.AXES[name].form(value)
            except UserError as error:
                yield (axes.key(name), number), str(error)
    for name, given in exercise["optimizers"].items():
        yield from below(("optimizers", name), optimizer(name, given))


def optimizer(name: str, given: Mapping[str, list[Any]]) -> Mistakes:
    """An optimizer and the values of its knobs."""
    if custom.is_custom(name):
        yield from own_code(name)
    elif name not in optimizers.OPTIMIZERS:
        known = allowed(name, optimizers.OPTIMIZERS)
        own = "or your own as path/to/file.py:Class or package.module:Class"
        yield (), f"unknown optimizer; {known}, {own}"
        return
    for knob, values in given.items():
        yield from _knob(name, knob, values)
    if name in optimizers.OPTIMIZERS and optimizers.UNDECAYED in given:
        decays = given.get("weight_decay", [optimizers.of(name).knobs.get("weight_decay")])
        if not any(decays):
            yield (optimizers.UNDECAYED,), "changes nothing, since weight_decay is 0; give one"


def _knob(optimizer: str, knob: str, values: list[Any]) -> Mistakes:
    known = optimizers.knobs_of(optimizer) or [knob]

    def refuses(value: Any) -> str | None:
        return knob_rules.refuses(optimizer, knob, value)

    if knob == optimizers.BASE and custom.is_custom(optimizer):
        yield from below((knob,), _bases(values))
    elif knob == optimizers.UNDECAYED and knob in known:
        for number, words in enumerate(values):
            if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
                yield (knob, number), f"{show(words)} is not allowed; names, as [bias, norm]"
    elif knob not in known:
        others = [name for name in optimizers.OPTIMIZERS if knob in optimizers.knobs_of(name)]
        hint = f"{', '.join(others)} have it; " if others else ""
        message = f"the optimizer {optimizer} has no knob '{knob}'"
        yield (knob,), f"{message}; {hint}{allowed(knob, known)}"
    elif not refuses(values) and refuses(values[0]):
        yield (knob,), f"{show(values)} is one value; write [{show(values)}]"
    elif custom.is_custom(optimizer):  # only its class knows its rules; the rate is an axis
        for number, value in enumerate(values):
            if knob == "lr" and (reason := knob_rules.FINITE.refuses(value)):
                yield (knob, number), f"{show(value)} is not allowed; {reason}"
    else:
        for number, value in enumerate(values):
            if reason := refuses(value):
                yield (knob, number), f"{show(value)} is not allowed; {reason}"


def _bases(given: list[Any]) -> Mistakes:
    """The optimizers that another one wraps, each a mapping of its name and its knobs."""
    for number, base in enumerate(given):
        if not isinstance(base, Mapping) or "optimizer" not in base:
            yield (
                (number,),
                f"{show(base)} is not allowed; write {{optimizer: adam}}, with its knobs",
            )
            continue
        knobs = {name: [value] for name, value in base.items() if name != "optimizer"}
        yield from below((number,), optimizer(str(base["optimizer"]), knobs))


def own_code(spec: str) -> Mistakes:
    """The user's own code, named as path/to/file.py:name or package.module:name."""
    place, _, name = spec.rpartition(":")
    file = custom.source_file(spec)
    if not name.isidentifier() or not (file or all(p.isidentifier() for p in place.split("."))):
        yield (), f"{show(spec)} is neither path/to/file.py:name nor package.module:name"
    elif file and set(file) & set("{}<>"):
        yield (), f"{show(file)} has {{, }}, < or >, which Snakemake would replace; rename the file"
    elif file and (missing := _missing(file)):
        yield (), missing


def _missing(file: str) -> str | None:
    return None if os.path.isfile(file) else f"there is no file {file} (seen from {Path.cwd()})"
