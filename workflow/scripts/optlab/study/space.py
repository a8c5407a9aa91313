"""The space of a hyperparameter search: the meaning of its names, and the checks of a space.

A name of the space is ``optimizer``, ``lr`` or another knob of an optimizer that the search may
choose (drawn only if the trial's optimizer has it), ``batch_size``, a further axis of the training
(`DRAWN`), or an option of the network.
The network mlp has ``n_layers`` hidden layers of ``n_units`` units. ``n_units`` and ``dropout`` may
be ``per_layer``: then each layer of a trial has a parameter, ``n_units_l0``,
``n_units_l1`` and so on.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optlab.catalogue import axes, networks, optimizers
from optlab.catalogue import knobs as knob_rules
from optlab.catalogue.optimizers import Use
from optlab.errors import Mistake, allowed, below, show

Spec = Mapping[str, Any]  # one entry of the space, defaults filled in
Space = Mapping[str, Spec]
Suggest = Callable[[str, Spec], Any]  # name and entry of a parameter -> value

LAYERED = ("n_units", "dropout")
# Axes that say how a trial trains, and not for how long.
DRAWN = {name: axis for name, axis in axes.AXES.items()
         if name not in ("schedule", "patience", "minutes")}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """The settings that a trial trains with."""

    optimizer: str
    knobs: dict[str, Any]
    network_options: dict[str, Any]
    batch_size: int | str
    axes: dict[str, Any]


def setting(space: Space, network: str, batch_size: int | str, suggest: Suggest) -> Setting:
    """One point of the space; ``suggest`` is asked for its parameters in a fixed order."""

    def take(name: str, entry: str | None = None) -> Any:
        spec = space[entry or name]
        value = suggest(name, spec)
        lists = (c for c in spec.get("choices", ()) if isinstance(c, list))
        return next((choice for choice in lists if label(choice) == value), value)

    options: dict[str, Any] = {}
    if "n_layers" in space:
        layers = range(take("n_layers"))
        drawn: dict[str, list[Any]] = {name: [] for name in LAYERED if name in space}
        for layer in layers:
            for name, values in drawn.items():
                per_layer = space[name]["per_layer"]
                if per_layer or not layer:
                    values.append(take(f"{name}_l{layer}" if per_layer else name, name))
                else:
                    values.append(values[0])
        options = {"hidden" if name == "n_units" else name: v for name, v in drawn.items()}
    for name in networks.of(network).options:
        if name in space and name not in options:
            options[name] = take(name)
    optimizer = take("optimizer")
    has = optimizers.knobs_of(optimizer)
    knobs = {name: take(name) for name in space if name in has}
    size = take("batch_size") if "batch_size" in space else batch_size
    others = {name: axes.AXES[name].form(take(name)) for name in DRAWN if name in space}
    return Setting(optimizer, optimizers.complete(optimizer, knobs), options, size, others)


def label(choice: Any) -> Any:
    """A choice as Optuna can store it: a list becomes JSON text."""
    return json.dumps(choice) if isinstance(choice, list) else choice


def extremes(space: Space, name: str, other: Any) -> list[Any]:
    """The choices of a name, or the largest value of its range; ``other`` if it is not drawn."""
    spec = space.get(name)
    if spec is None:
        return [other]
    return list(spec["choices"]) if spec["type"] == "categorical" else [spec["high"]]


def largest(space: Space, network: str) -> Iterator[dict[str, Any]]:
    """Network options of the space, with all that is a range at its end."""
    options = networks.of(network).options
    drawn = {name: extremes(space, name, default) for name, default in options.items()}
    if "n_layers" in space and "n_units" in space:
        layers, units = (max(extremes(space, name, 1)) for name in ("n_layers", "n_units"))
        drawn["hidden"] = [[units] * layers]
    for values in itertools.product(*drawn.values()):
        yield dict(zip(drawn, values, strict=True))


def mistakes(space: Space, network: str) -> Iterator[Mistake]:
    """Every mistake of a space for a network of the catalogue."""
    chosen = [c for c in space.get("optimizer", {}).get("choices", ()) if isinstance(c, str)]
    names = _names(network, chosen)
    for name, spec in space.items():
        if name in names:
            found = list(_spec_mistakes(spec)) or _ends(name, spec, network, chosen)
            yield from below((name,), found)
        else:
            yield (name,), f"unknown name in the search space; {allowed(name, names)}"
    yield from _structure(space)


def _names(network: str, chosen: list[str]) -> list[str]:
    """The names that a space of this network and these optimizers may have."""
    layers = ["n_layers", "n_units"] if network == "mlp" else []
    knobs = [knob for optimizer in chosen for knob in optimizers.knobs_of(optimizer)]
    names = [
        "optimizer",
        "lr",
        *knobs,
        "batch_size",
        *DRAWN,
        *layers,
        *networks.of(network).options,
    ]
    return list(dict.fromkeys(names))


def _spec_mistakes(spec: Spec) -> Iterator[Mistake]:
    """Mistakes of an entry that do not depend on its name."""
    if spec["type"] == "categorical":
        if "choices" not in spec:
            yield (), "a categorical parameter needs the key 'choices': a list of values"
        for key in ("low", "high", "log"):
            if spec.get(key):
                yield (key,), f"a categorical parameter has choices, not '{key}'"
        return
    if "choices" in spec:
        yield ("choices",), f"a parameter of type {spec['type']} has low and high, not choices"
    low, high = spec.get("low"), spec.get("high")
    for key, value in (("low", low), ("high", high)):
        if value is None:
            yield (), f"the key '{key}' is missing"
        elif spec["type"] == "int" and not isinstance(value, int):
            yield (key,), f"{show(value)} is not a whole number, and the type is int"
    if low is None or high is None:
        return
    if low > high:
        yield (), f"low {show(low)} is above high {show(high)}"
    if spec["log"] and low <= 0:
        yield ("low",), f"{show(low)} has no logarithm; with log: true, low must be above 0"


def _ends(name: str, spec: Spec, network: str, chosen: list[str]) -> Iterator[Mistake]:
    """Values that the name cannot have, among all choices or the two ends of the range."""
    choices = spec.get("choices")
    if name == "optimizer" and choices is None:
        yield ("type",), "the optimizer is one of a list; use type: categorical, with choices"
        return
    values = list(enumerate(choices) if choices else ((end, spec[end]) for end in ("low", "high")))
    found = [(place, value, _refused(name, value, network, chosen)) for place, value in values]
    for place, value, reason in found:
        if reason:
            key = ("choices", place) if choices else (place,)
            yield key, f"{show(value)} is not allowed; {reason}"
    if choices or any(reason for *_, reason in found):
        return
    low, high = spec["low"], spec["high"]
    fraction = spec["type"] == "float" and _refused(name, float(low), network, chosen)
    gap = None
    if (fraction or spec["type"] == "int") and low < high:
        gap = _refused(name, int(low) + 1, network, chosen)
    if reason := gap or fraction:
        right = "categorical, with choices" if gap else "int"
        kind = "a float" if fraction else "an int"
        yield ("type",), f"{kind} is not allowed; {reason}: use type: {right}"


def _refused(name: str, value: Any, network: str, chosen: list[str]) -> str | None:
    """What would be allowed instead of ``value``; None if it is allowed."""
    if name == "optimizer":
        known = list(optimizers.OPTIMIZERS)  # a list, since a value may not be hashable
        return None if value in known else f"unknown optimizer; {allowed(value, known)}"
    if name == "batch_size" and value == "full":
        return None
    if name in DRAWN:
        return DRAWN[name].refuses(value)
    sizes = {"n_layers": 1, "n_units": 1, "batch_size": 1, **networks.of(network).options}
    if name in sizes:
        return networks.refuses(name, value, sizes[name])
    having = [one for one in chosen if name in optimizers.knobs_of(one)] or [""]
    return next(filter(None, (knob_rules.refuses(one, name, value) for one in having)), None)


def _structure(space: Space) -> Iterator[Mistake]:
    """Entries that are missing or contradict each other."""
    if "optimizer" not in space:
        yield (), "the key 'optimizer' is missing: type categorical, with the optimizers as choices"
    if "lr" not in space:
        yield (), "the key 'lr' is missing: without a learning rate there is little to search"
    for one, other in (("n_layers", "n_units"), ("n_units", "n_layers")):
        if one in space and other not in space:
            yield (one,), f"needs '{other}' beside it in the space"
    if "n_layers" in space and "hidden" in space:
        yield ("hidden",), "says the same as n_layers and n_units; keep one of the two"
    for name, spec in space.items():
        if spec["per_layer"] and name not in LAYERED:
            yield (name, "per_layer"), f"only {' and '.join(LAYERED)} differ between layers"
        elif spec["per_layer"] and "n_layers" not in space:
            yield (name, "per_layer"), "needs 'n_layers' in the space"


def entry_of(space: Space, parameter: str) -> str:
    """The entry of the space that a trial's parameter belongs to: n_units of n_units_l0."""
    return parameter if parameter in space else parameter.rpartition("_l")[0]


def useless(exercise: Mapping[str, Any]) -> Iterator[Mistake]:
    """Optimizers that a sweep would skip with some network or batch size of the space."""
    drawn, network = exercise["space"], exercise["network"]
    sizes = extremes(drawn, "batch_size", exercise["batch_size"])
    uses = [
        Use(network, options, size, axes=dict.fromkeys(DRAWN & drawn.keys(), True))
        for options in largest(drawn, network)
        for size in dict.fromkeys(sizes)
    ]
    for number, name in enumerate(drawn["optimizer"]["choices"]):
        reasons = (optimizers.of(name).cannot(use) for use in uses)
        if reason := next(filter(None, reasons), None):
            yield ("optimizer", "choices", number), f"{show(name)} makes no sense here: {reason}"
