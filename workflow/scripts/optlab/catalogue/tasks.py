"""Tasks: what data sets are for, with the losses and the metrics that a study may name for each.

A loss of the user's own is named ``path/to/file.py:function`` or ``package.module:function``, as a
metric is. As in scikit-learn, the name of a metric says which values are better: of one that ends
in ``_score`` or ``_accuracy`` the high ones, of ``_error``, ``_loss`` or ``_deviance`` the low.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from optlab import custom
from optlab.errors import allowed

CLASSIFICATION, REGRESSION, NEXT_TOKEN = "classification", "regression", "next_token"

SQUARED_ERROR_SUM = "squared_error_sum"


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        losses: those that it can be trained with and their names in figures; the first is usual.
        metrics: those that are measured beside the loss unless a study names others.
    """

    losses: Mapping[str, str]
    metrics: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """The usual loss."""
        return next(iter(self.losses))


TASKS = {
    CLASSIFICATION: Task({"cross_entropy": "cross entropy"}, ("accuracy",)),
    REGRESSION: Task(
        {
            "mse": "mean squared error",
            "mae": "mean absolute error",
            "huber": "Huber loss",
            SQUARED_ERROR_SUM: "sum of squares",
        },
        ("r2",),
    ),
    NEXT_TOKEN: Task({"cross_entropy": "cross entropy"}, ("bits_per_character",)),
}
LOSSES = {name: words for task in TASKS.values() for name, words in task.losses.items()}


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        label: its name in figures and tables.
        tasks: of which it is one; empty where nobody knows.
        higher: whether high values are better.
        least, most: the values that are possible.
    """

    label: str
    tasks: tuple[str, ...] = ()
    higher: bool = False
    least: float = float("-inf")
    most: float = float("inf")


METRICS = {
    "accuracy": Metric("accuracy", (CLASSIFICATION,), True, 0, 1),
    "r2": Metric("R²", (REGRESSION,), True, most=1),
    "rmse": Metric("RMSE", (REGRESSION,), least=0),
    "bits_per_character": Metric("bits per character", (NEXT_TOKEN,), least=0),
    "perplexity": Metric("perplexity", (NEXT_TOKEN,), least=1),
}
OF_SYMBOLS = [name for name, one in METRICS.items() if NEXT_TOKEN in one.tasks]
TOP = re.compile(r"top_([1-9][0-9]{0,3})_accuracy")
_HIGHER, _LOWER = ("_score", "_accuracy"), ("_error", "_loss", "_deviance")
ENDINGS = (*_HIGHER, *_LOWER)
_PARTS = re.compile(r"(?:retrained_)?((?:best_)?(?:train|val|test))_(.+)")


def metric_named(name: str) -> Metric | None:
    """The metric of this name in the columns of a table; None if that is not one."""
    if name in METRICS:
        return METRICS[name]
    if found := TOP.fullmatch(name):
        return Metric(f"top-{found[1]} accuracy", (CLASSIFICATION,), True, 0, 1)
    if name.isidentifier() and name.endswith(ENDINGS):
        return Metric(name.replace("_", " "), higher=name.endswith(_HIGHER))
    return None


def column(metric: str) -> str:
    """The name of a metric in the columns of a table: of the user's own, its function's."""
    return metric.rpartition(":")[2]


def measured_in(figure: str) -> str | None:
    """What a column such as ``val_accuracy`` holds: loss, the name of a metric, or None."""
    found = _PARTS.fullmatch(figure)
    known = found and (found[2] == "loss" or metric_named(found[2]))
    return found[2] if found and known else None


def of_figure(figure: str) -> Metric | None:
    """The metric of a column such as ``val_accuracy``; None for a loss and for other columns."""
    name = measured_in(figure)
    return metric_named(name) if name and name != "loss" else None


def more_figures(columns: Iterable[str]) -> list[str]:
    """Those of the columns that are figures of metrics other than the accuracy."""
    return [name for name in columns if measured_in(name) not in (None, "loss", "accuracy")]


def is_share(figure: str) -> bool:
    """Whether a column holds shares of examples, such as accuracies."""
    return figure.endswith("accuracy")


def tops_at_one(figure: str) -> bool:
    """Whether a column holds shares, of examples or of a variance, whose distance from 1 counts."""
    metric = of_figure(figure)
    return is_share(figure) or (metric is not None and metric.most == 1)


def sign(figure: str) -> int:
    """1 where lower values of a column are better, -1 where higher ones are."""
    metric = of_figure(figure)
    return -1 if is_share(figure) or (metric is not None and metric.higher) else 1


def refuses_metric(metric: str) -> str | None:
    """Why a metric cannot be measured, whatever the data; None where it can."""
    if custom.is_custom(metric):
        if column(metric).endswith(ENDINGS):
            return None
        words = "whose ending says which values are better"
        return f"name the function *_score or *_error, {words}, as scikit-learn does"
    if metric in METRICS or TOP.fullmatch(metric):
        return None
    known = allowed(metric, [*METRICS, "top_5_accuracy"])
    return f"unknown metric {metric}; {known}, or your own as path/to/file.py:name_score"
