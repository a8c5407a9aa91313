"""Runs in words, for titles, legends and names of files."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from optlab.catalogue import optimizers, tasks
from optlab.study.run import Run
from optlab.values import text

# Kinds of character (Unicode's categories) that are not written: control characters, halves of
# pairs, ends of lines and paragraphs.
_UNWRITTEN = ("Cc", "Cs", "Zl", "Zp")
# Those that turn the direction of what follows, beyond the end of the text that has them.
_TURNS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """A title, a name or a value of the user's, as one line that a picture can show."""
    kept = (" " if unicodedata.category(c) in _UNWRITTEN or c in _TURNS else c for c in text)
    return " ".join("".join(kept).split())


def figure(name: str) -> str:
    """A figure of the tables in words: validation loss for ``val_loss``."""
    measured = tasks.measured_in(name) or ""
    metric = tasks.of_figure(name)
    place = name.removesuffix(f"_{measured}").split("_")
    parts = {"train": "training", "val": "validation"}
    return " ".join(
        [*(parts.get(part, part) for part in place), metric.label if metric else "loss"]
    )


def values(run: Run) -> dict[str, Any]:
    """The settings in which runs of one optimizer can differ: its knobs and further axes."""
    return {**run.knobs, **run.axes}


def varied(runs: Iterable[Run]) -> list[str]:
    """The settings that have several values among these runs; never the learning rate."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for name, value in values(run).items():
            found.setdefault(name, set()).add(text(value))
    return [name for name, texts in found.items() if len(texts) > 1 and name != "lr"]


def label(run: Run) -> str:
    """The name of a run's optimizer; SGD on the whole training set is gradient descent, GD."""
    is_descent = run.optimizer == "sgd" and run.batch_size == "full"
    return "GD" if is_descent else optimizer(run.optimizer)


def optimizer(name: str) -> str:
    """The name of an optimizer in legends and headings."""
    return plain(optimizers.of(name).label)


def told_apart(labels: Sequence[str], optimizers: Sequence[str]) -> list[str]:
    """These labels, each with more of the name of its optimizer, or a number, where some are equal.

    Two classes of the user's may have one name, in different files, and a class the name of an
    optimizer of the catalogue, such as RMSprop and RMSProp.
    """
    folded = Counter(map(str.casefold, labels))
    shared = {label for label in labels if folded[label.casefold()] > 1}
    own = {name for name in optimizers if ":" in name}
    longer = [
        f"{label} ({plain(name.rpartition(':')[0])})" if label in shared and name in own else label
        for label, name in zip(labels, optimizers, strict=True)
    ]
    return numbered(longer)


def names(optimizers: Sequence[str]) -> list[str]:
    """`optimizer` of each of these, no two the same."""
    return told_apart([optimizer(name) for name in optimizers], optimizers)


def labels(runs: Sequence[Run]) -> list[str]:
    """`label` of each run, no two the same."""
    return told_apart([label(run) for run in runs], [run.optimizer for run in runs])


def numbered(labels: Sequence[str]) -> list[str]:
    """These labels, with a number behind each that an earlier one equals."""
    seen: Counter[str] = Counter()
    found = []
    for label in labels:
        seen[label] += 1
        found.append(f"{label} ({seen[label]})" if seen[label] > 1 else label)
    return found


def knobs(run: Run, names: Iterable[str] | None = None) -> str:
    """Settings of a run, as ``lr 0.01, momentum 0.8``.

    Without ``names``: the learning rate and the settings that differ from their defaults.
    """
    if names is None:
        defaults = optimizers.complete(run.optimizer, {})
        names = [k for k, v in run.shown_knobs.items() if k == "lr" or v or v != defaults.get(k)]
        names += list(run.changed)
    found = values(run)
    return ", ".join(f"{name} {plain(text(found[name]))}" for name in names if name in found)


def settings(run: Run, names: Iterable[str] | None = None) -> str:
    """The optimizer of a run and its `knobs`, as ``Momentum, lr 0.01, momentum 0.8``."""
    return ", ".join(filter(None, (label(run), knobs(run, names))))
