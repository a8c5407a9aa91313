"""What a study names, each in its one form: ``Adam`` and ``adam`` plan the very same runs.

This comes before anything looks a name up. A name that the study itself defines is as it is
written there, and is never taken for another one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from optlab.catalogue import axes, optimizers, spelling
from optlab.catalogue.datasets import BUILT_IN, SOURCES
from optlab.catalogue.networks import NETWORKS
from optlab.errors import Key, Mistake, UserError, below, show
from optlab.values import known

Form = Callable[[Any], Any]  # what is written -> its one form


def settle(study: dict[str, Any], spelled: dict[Key, Key]) -> Iterator[Mistake]:
    """Replace all names by their one form; two spellings of one name in a list are a mistake.

    Args:
        study: a configuration that its schema has checked.
        spelled: gets each key that is replaced: the new one -> the one that is written.
    """
    for definition in study["datasets"].values():
        definition["source"] = known(definition["source"], SOURCES)
    for definition in study["models"].values():
        definition["network"] = known(definition["network"], NETWORKS)
    forms: dict[str, Form] = {
        "optimizer": _text(spelling.optimizer),
        "dataset": _names([*study["datasets"], *BUILT_IN]),
        "model": _names([*study["models"], *NETWORKS]),
        "network": _names(NETWORKS),
        **{name: _form(axis) for name, axis in axes.AXES.items()},
    }
    for name, exercise in study["exercises"].items():
        yield from below(("exercises", name), _exercise(exercise, forms))
        for written in list(exercise.get("optimizers", ())):
            key = ("exercises", name, "optimizers")
            form = spelling.optimizer(written)
            exercise["optimizers"][form] = exercise["optimizers"].pop(written)  # the order stays
            spelled[*key, form] = (*key, written)


def _exercise(exercise: dict[str, Any], forms: dict[str, Form]) -> Iterator[Mistake]:
    """Replace the names in all but the keys of an exercise."""
    optimizer = exercise.get("space", {}).get("optimizer", {})
    lists: dict[Key, tuple[Any, str]] = {
        ("datasets",): (exercise.get("datasets"), "dataset"),
        ("models",): (exercise.get("models"), "model"),
        **{(axes.key(name),): (values, name) for name, values in axes.given(exercise).items()},
        ("space", "optimizer", "choices"): (optimizer.get("choices"), "optimizer"),
    }
    for key, (values, what) in lists.items():
        if values:
            for number, words in _twice(values, forms[what]):
                yield (*key, number), words
            values[:] = map(forms[what], values)
    written = list(exercise.get("optimizers", ()))
    for number, words in _twice(written, forms["optimizer"]):
        yield ("optimizers", written[number]), words
    for settings in (exercise, *_settings(exercise)):
        settings |= {
            name: form(settings[name])
            for name, form in forms.items()
            if name in settings and not isinstance(settings[name], list)
        }


def _settings(exercise: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The settings that an exercise compares and claims, and what its optimizers wrap."""
    found = [exercise.get("compare")]
    found += [value for claim in exercise["claims"] for value in claim.values()]
    grids = exercise.get("optimizers", {}).values()
    found += [grid.get(optimizers.BASE) for grid in grids if grid]
    for value in found:
        listed = value if isinstance(value, list) else [value]
        yield from (one for one in listed if isinstance(one, dict))


def _twice(written: Sequence[Any], form: Form) -> Iterator[tuple[int, str]]:
    """What in a list says the same as something before it."""
    forms = [form(value) for value in written]
    for number, value in enumerate(forms):
        if (first := forms.index(value)) < number:
            both = f"{show(written[first])} and {show(written[number])}"
            yield number, f"{both} are the same; keep one of the two"


def _text(form: Callable[[str], str]) -> Form:
    return lambda value: form(value) if isinstance(value, str) else value


def _names(names: Iterable[str]) -> Form:
    return _text(lambda name: known(name, names))


def _form(axis: axes.Axis) -> Form:
    def form(given: Any) -> Any:
        try:
            return axis.form(given)
        except UserError:
            return given  # reported with what else the exercise names

    return form
