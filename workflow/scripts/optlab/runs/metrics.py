"""The metrics of a run: a TSV with one row per seed and evaluation."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The contract: these columns in this order. Knobs that are not at their default may follow, and
# figures of metrics other than the accuracy.
COLUMNS = (
    *("exercise", "dataset", "model", "optimizer", "lr", "momentum", "batch_size", "gpus"),
    *("device", "seed", "epoch", "step", "train_loss", "train_accuracy", "val_loss"),
    *("val_accuracy", "test_loss", "test_accuracy", "seconds", "status"),
    *("best_epoch", "best_test_loss", "best_test_accuracy"),
)

Row = dict[str, Any]


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as TSV: an absent figure is an empty cell, a float has all its digits."""
    names = dict.fromkeys(name for row in rows for name in row)
    extra = [name for name in names if name not in COLUMNS]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*COLUMNS, *extra], delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def read(path: Path) -> list[Row]:
    """The rows of a metrics file, every cell as text."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))
