"""The metrics of finished runs, read fast: of 10,000 files only what is needed is parsed."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optlab.catalogue import tasks
from optlab.errors import DamagedError, UserError
from optlab.runs import metrics, record
from optlab.study import confirmation
from optlab.study.run import Run

# Figures of a run, taken from the last row of each of its seeds; those of other metrics than the
# accuracy follow where they were measured.
FIGURES = (
    *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
    *("best_epoch", "best_test_loss", "best_test_accuracy", "seconds"),
)
CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
_COLUMNS = ("seed", "status", "epoch", "step", "seconds")


@dataclass(frozen=True)
class Curve:
    """One seed of a run over time; every array is [evaluations], NaN where there is no figure."""

    seed: int
    status: str
    epoch: NDArray[np.float64]
    step: NDArray[np.float64]
    seconds: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]

    @property
    def diverged(self) -> bool:
        return self.status == "diverged"

    @property
    def metrics(self) -> list[str]:
        """The metrics that were measured on training data, besides the accuracy."""
        more = tasks.more_figures(self.values)
        return [name.removeprefix("train_") for name in more if name.startswith("train_")]

    def of(self, figure: str) -> NDArray[np.float64]:
        """The values of a figure; NaN where it was not measured."""
        found = self.values.get(figure)
        return np.full(len(self.epoch), np.nan) if found is None else found


def figures_in(columns: Iterable[str]) -> list[str]:
    """The figures of runs whose metrics have these columns."""
    return [*FIGURES, *tasks.more_figures(columns)]


def curves_in(columns: Iterable[str]) -> list[str]:
    """The figures that are measured at every evaluation of runs with these columns."""
    more = tasks.more_figures(columns)
    return [*CURVES, *(name for name in more if name.startswith(("train_", "val_")))]


def finals(runs: Iterable[Run]) -> pd.DataFrame:
    """The last row of each seed of each run, indexed by the run's path and the seed.

    Raises:
        UserError: a run has no metrics, or lacks a seed.
        DamagedError: files that are not what was written; all of them are named.
    """
    lines: dict[bytes, list[bytes]] = {}
    paths: dict[bytes, list[str]] = {}
    damaged: list[DamagedError] = []
    for run in runs:
        try:
            header, own = last_lines(run)
        except DamagedError as error:
            damaged.append(error)
            continue
        lines.setdefault(header, []).extend(own)
        paths.setdefault(header, []).extend([run.path] * len(own))
    if damaged:
        files = [file for error in damaged for file in error.files]
        raise DamagedError("\n".join(map(str, damaged)), files)
    frames = []
    for header, own in lines.items():
        content = io.BytesIO(b"\n".join([header, *own]))
        frames.append(pd.read_csv(content, sep="\t").assign(path=paths[header]))
    return pd.concat(frames).set_index(["path", "seed"])


def evaluations(runs: Iterable[Run]) -> pd.DataFrame:
    """Every row of every run and each of its seeds, its path in front."""
    frames = []
    for run in runs:
        rows = pd.read_csv(io.BytesIO(_content(run)), sep="\t").assign(path=run.path)
        frames.append(rows[rows["seed"].isin(run.seed_numbers)])
    everything = pd.concat(frames, ignore_index=True)
    return everything[["path", *everything.columns.drop("path")]]


def last_lines(run: Run) -> tuple[bytes, list[bytes]]:
    """The header of a run's metrics, and the last line of each of its seeds.

    Lines before the last are skipped, not split.
    """
    content = _content(run)
    try:
        header, body = content.split(b"\n", 1)
        if not body.endswith(b"\n"):
            raise ValueError("cut off")
        # All rows of a file begin alike up to the seed, by which each seed's last is found.
        before = body.split(b"\t", _names(header).index("seed"))[:-1]
        start = b"\t".join([*before, b""])
        columns, lines = header.count(b"\t"), []
        for seed in run.seed_numbers:
            at = body.rfind(b"%s%d\t" % (start, seed))
            if at < 0 or (at and body[at - 1 : at] != b"\n"):
                raise _damaged(run, f"seed {seed} is missing")
            line = body[at : body.index(b"\n", at)]
            if line.count(b"\t") != columns:
                raise ValueError("cells are missing")
            lines.append(line)
    except ValueError as error:
        raise _damaged(run, "not a metrics file of this program") from error
    return header, lines


def curves(run: Run) -> list[Curve]:
    """The evaluations of each seed of the run.

    Raises:
        UserError: the run has no metrics, or they are not readable.
    """
    content = _content(run)
    try:
        header, *lines, _ = content.split(b"\n")
        names = _names(header)
        column = {name: names.index(name) for name in (*_COLUMNS, *curves_in(names))}
        rows = [line.split(b"\t") for line in lines]
        blocks = groupby(rows, key=lambda row: int(row[column["seed"]]))
        return [
            _curve(seed, list(block), column) for seed, block in blocks if seed in run.seed_numbers
        ]
    except (ValueError, IndexError) as error:
        raise _damaged(run, "not a metrics file of this program") from error


def _curve(seed: int, rows: list[list[bytes]], column: Mapping[str, int]) -> Curve:
    def values(name: str) -> NDArray[np.float64]:
        return np.array([float(row[column[name]] or "nan") for row in rows])

    return Curve(
        seed=seed,
        status=rows[-1][column["status"]].decode(),
        epoch=values("epoch"),
        step=values("step"),
        seconds=values("seconds"),
        values={name: values(name) for name in column if name not in _COLUMNS},
    )


def grain(run: Run, figure: str) -> float:
    """The resolution of a figure of a run: 1 / examples for accuracies, by the run's record.

    Training accuracies may be those of a part of the examples.
    """
    part, _, metric = figure.removeprefix("best_").partition("_")
    sizes = record.read(run.folder).get("sizes", {})
    size = sizes.get({"val": "validation"}.get(part, part), 0)
    if not tasks.is_share(metric) or not size:
        return 0.0
    return 1 / (min(size, run.train_loss_examples) if part == "train" else size)


def _content(run: Run) -> bytes:
    path = Path(run.folder, "metrics.tsv")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        message = f"{path}: there is no such file; has this run been trained?"
        raise DamagedError(message, [confirmation.file_of(run)]) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if not record.describes(run.folder, content):
        raise _damaged(run, "damaged: not the metrics that run.json describes")
    return content


@lru_cache
def _names(header: bytes) -> list[str]:
    names = header.decode().rstrip("\r").split("\t")
    if names[: len(metrics.COLUMNS)] != list(metrics.COLUMNS):
        raise ValueError("other columns")
    return names


def _damaged(run: Run, what: str) -> DamagedError:
    """The error; the job that chose a setting may have trained the run, so it is done again."""
    path = f"{run.folder}/metrics.tsv"
    return DamagedError(f"{path}: {what}", [path, confirmation.file_of(run)])
