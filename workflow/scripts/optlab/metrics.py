"""The metrics of a run: a TSV with one row per seed and evaluation, written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The contract: these columns in this order, more may follow (knobs that are not at their default).
COLUMNS = (
    *("exercise", "dataset", "model", "optimizer", "lr", "momentum", "batch_size", "gpus"),
    *("device", "seed", "epoch", "step", "train_loss", "train_accuracy", "val_loss"),
    *("val_accuracy", "test_loss", "test_accuracy", "seconds", "status"),
    *("best_epoch", "best_test_loss", "best_test_accuracy"),
)

Row = dict[str, Any]


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as TSV: an absent figure is an empty cell, a float has all its digits."""
    extra = [name for name in (rows[0] if rows else ()) if name not in COLUMNS]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*COLUMNS, *extra], delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def read(path: Path) -> list[Row]:
    """The rows of a metrics file, every cell as text."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def write_atomically(path: Path, content: str, durable: bool = True) -> None:
    """Write a text file so that it is seen whole or not at all: see `atomically`."""
    with atomically(path, durable) as temporary:
        temporary.write_text(content, encoding="utf-8")


def write_table(path: Path, lines: Iterable[Iterable[str]]) -> None:
    """Write a TSV from its cells, the header's first."""
    write_atomically(path, "".join("\t".join(line) + "\n" for line in lines))


@contextmanager
def atomically(path: Path, durable: bool = True) -> Iterator[Path]:
    """A name to write to: the file is seen whole or not at all, whenever the process is killed.

    A file that is not ``durable`` may be lost when the machine itself fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # a disk that is full does not say of which file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
