"""Numbers in words, and what the terms of the page mean."""

import math

from optlab.catalogue import tasks
from optlab.figures import words
from optlab.results import pairs
from optlab.runs import progress
from optlab.values import text

NONE = "–"

# Term -> what it means, shown beside it. The longer ones first: each is explained where it stands.
TERMS = {
    "validation accuracy": "share of the validation examples that are classified correctly; "
    "settings are chosen on it",
    "validation loss": "loss on the validation examples; settings are chosen on it",
    "training loss": "loss on the training examples, after the last epoch",
    "test accuracy": "share of the test examples that are classified correctly, after the last "
    "epoch; optimizers are compared by it",
    "test loss": "loss on the test examples, after the last epoch",
    "confirmation seeds": "random seeds that took no part in the choice of the setting",
    "not told apart": "neither a difference nor equivalence is shown yet: more seeds are needed",
    "equivalent": "the difference is shown to be smaller than the margin that the study states",
    "worse": "a difference from the first in rank is shown, at an error rate of 5 % for all "
    "comparisons of the exercise together",
    "open": "neither a difference nor equivalence is shown yet",
    "points": "of accuracy: hundredths of all examples",
    "diverged": "the loss became infinite, not a number, or very large",
    "seeds": "repetitions that differ in what is random: initial weights and order of examples",
    "speed-up": "time of one process divided by that of several, for the same work",
    "pruned": "stopped early, since it did worse than other trials at the same epoch",
    "trials": "settings that the search has tried",
}


def figure(name: str, value: float) -> str:
    """The value of a column of the tables: an accuracy in per cent, else four digits."""
    if value is None or math.isnan(value):
        return NONE
    return f"{100 * value:.2f} %" if tasks.is_share(name) else number(value)


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}".replace("e+", "e")


def interval(name: str, low: float, high: float) -> str:
    """An interval in brackets; nothing where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    if tasks.is_share(name):
        return f"[{100 * low:.2f}, {100 * high:.2f}]"
    return f"[{number(low)}, {number(high)}]"


def difference(name: str, value: float) -> str:
    """A difference of a figure, with its sign."""
    if math.isnan(value):
        return ""
    if tasks.is_share(name):
        size = pairs.amount(abs(float(f"{value:.2g}")), name)
    else:
        size = f"{abs(value):.2g}"
    return f"{'−' if value < 0 else '+'}{size}"


def name_of(column: str) -> str:
    """A column of the tables in words."""
    if tasks.measured_in(column):
        return words.figure(column)
    return NAMES.get(column, column.replace("_", " "))


NAMES = {
    "lr": "learning rate",
    "gpus": "processes",
    "seconds": "training time",
    "model": "network",
    "dataset": "data set",
}


def listed(names: list[str], most: int = 8) -> str:
    """Names as a list; beyond ``most`` of them, how many others there are."""
    left = len(names) - most
    shown = names if left <= 1 else names[:most]
    more = [f"and {text(left)} others"] if left > 1 else []
    return ", ".join([*shown, *more])


def seconds(value: float) -> str:
    """A time in words."""
    if math.isnan(value):
        return NONE
    if value < 1:
        return f"{1000 * value:.3g} ms"
    if value < 90:
        return f"{value:.3g} s"
    return progress.duration(value)
