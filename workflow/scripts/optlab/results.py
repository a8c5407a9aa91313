"""Finished runs, read from their metrics: one summary a run, curves, and the best settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optlab import metrics
from optlab.errors import UserError
from optlab.grid import Run
from optlab.statistics import Estimate, estimate

# The figures of a run: a mean and an interval over its seeds, from each seed's final row.
FIGURES = (
    *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
    *("best_epoch", "best_test_loss", "best_test_accuracy", "seconds"),
)
CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
_COLUMNS = ("seed", "status", "epoch", "step", "seconds", *CURVES)


@dataclass(frozen=True)
class Summary:
    """One run over its seeds.

    Attributes:
        run: its settings.
        device: where it trained.
        seeds: replicates, those that diverged included.
        diverged: replicates that diverged.
        diverged_step: the earliest step at which one did.
        figures: figure -> mean and interval over the seeds that did not diverge; None where
            there is no such figure.
    """

    run: Run
    device: str
    seeds: int
    diverged: int
    diverged_step: int | None
    figures: Mapping[str, Estimate | None]

    @property
    def status(self) -> str:
        """``diverged`` where any seed did."""
        return "diverged" if self.diverged else "ok"

    def loss(self, name: str) -> float:
        """The mean of a loss; infinite where no seed has it, so that it never wins."""
        found = self.figures[name]
        return found.mean if found and not math.isnan(found.mean) else math.inf


@dataclass(frozen=True)
class Best:
    """The settings chosen for one optimizer on one problem.

    Attributes:
        chosen: the run.
        chosen_on: the loss that decided, ``val_loss`` or ``train_loss``.
        settings: how many settings were tried.
        diverged: how many of those diverged, for any seed.
        lr_at_edge: whether the learning rate is the ``lowest``, the ``highest`` or the ``only``
            one that was tried; a better one may then lie outside. Else empty.
    """

    chosen: Summary
    chosen_on: str
    settings: int
    diverged: int
    lr_at_edge: str


@dataclass(frozen=True)
class Curve:
    """One seed of a run over time; every array is [evaluations], NaN where there is no figure."""

    seed: int
    status: str
    epoch: NDArray[np.float64]
    step: NDArray[np.float64]
    seconds: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]

    @cached_property
    def diverged(self) -> bool:
        return self.status == "diverged"


def summarise(runs: Iterable[Run]) -> list[Summary]:
    """A summary of each run.

    Raises:
        UserError: a run has no metrics, or lacks a seed.
    """
    return [summary(run) for run in runs]


def summary(run: Run) -> Summary:
    """The summary of one run."""
    rows = final_rows(run)
    good = [row for row in rows if row["status"] == "ok"]
    steps = [int(row["step"]) for row in rows if row["status"] != "ok"]
    return Summary(
        run=run,
        device=rows[0]["device"],
        seeds=len(rows),
        diverged=len(steps),
        diverged_step=min(steps, default=None),
        figures={
            name: estimate([float(row[name]) for row in good if row.get(name)]) for name in FIGURES
        },
    )


def final_rows(run: Run) -> list[dict[str, str]]:
    """The last row of each seed of the study, cells as text.

    The rows between are not even split: of 10,000 files only what the tables need is parsed.
    """
    path, content = _content(run)
    try:
        header, body = content.split(b"\n", 1)
        if not body.endswith(b"\n"):
            raise ValueError("cut off")
        names = _names(header)
        # All rows of a file begin alike up to the seed, which makes each seed's easy to find.
        start = b"".join(cell + b"\t" for cell in body.split(b"\t", names.index("seed"))[:-1])
        rows = []
        for seed in range(run.seeds):
            at = body.rfind(b"%s%d\t" % (start, seed))
            if at < 0 or (at and body[at - 1 : at] != b"\n"):
                raise UserError(f"{path}: seed {seed} is missing; train this run again")
            line = body[at : body.index(b"\n", at)].decode()
            rows.append(dict(zip(names, line.split("\t"), strict=True)))
    except ValueError as error:
        raise _broken(path) from error
    return rows


def by_seed(run: Run, figure: str) -> dict[int, float]:
    """A figure of each seed that did not diverge, after its last epoch."""
    good = (row for row in final_rows(run) if row["status"] == "ok" and row.get(figure))
    return {int(row["seed"]): float(row[figure]) for row in good}


def paired(
    first: Mapping[int, float], second: Mapping[int, float]
) -> tuple[list[float], list[float]]:
    """The values of the seeds that both have, in the same order."""
    seeds = sorted(first.keys() & second.keys())
    return [first[seed] for seed in seeds], [second[seed] for seed in seeds]


def curves(run: Run) -> list[Curve]:
    """The evaluations of each seed of the study.

    Raises:
        UserError: the run has no metrics, or they are not readable.
    """
    path, content = _content(run)
    try:
        header, *lines, _ = content.split(b"\n")
        names = _names(header)
        column = {name: names.index(name) for name in _COLUMNS}
        rows = [line.split(b"\t") for line in lines]
        blocks = groupby(rows, key=lambda row: int(row[column["seed"]]))
        return [_curve(seed, list(block), column) for seed, block in blocks if seed < run.seeds]
    except (ValueError, IndexError) as error:
        raise _broken(path) from error


def best(summaries: Sequence[Summary]) -> list[Best]:
    """The best settings per exercise, data set, model and optimizer, in the study's order."""
    groups: dict[tuple[str, ...], list[Summary]] = {}
    for found in summaries:
        run = found.run
        key = (run.exercise, run.dataset, run.model, run.optimizer)
        groups.setdefault(key, []).append(found)
    return [choose(group) for group in groups.values()]


def choose(group: Sequence[Summary]) -> Best:
    """The run with the lowest mean validation loss (training loss where there is none).

    A run with a diverged seed is chosen only where every run has one, the fewest first. Of runs
    with the same loss the first in the study's order is taken.
    """
    on = "val_loss" if any(s.figures["val_loss"] for s in group) else "train_loss"
    chosen = min(group, key=lambda s: (s.diverged, s.loss(on)))
    return Best(
        chosen=chosen,
        chosen_on=on,
        settings=len(group),
        diverged=sum(s.diverged > 0 for s in group),
        lr_at_edge=_edge(chosen, group),
    )


def _edge(chosen: Summary, group: Sequence[Summary]) -> str:
    rates = sorted({s.run.knobs["lr"] for s in group if "lr" in s.run.knobs})
    if len(rates) < 2:
        return "only"
    return {rates[0]: "lowest", rates[-1]: "highest"}.get(chosen.run.knobs["lr"], "")


def _content(run: Run) -> tuple[Path, bytes]:
    path = Path(run.folder, "metrics.tsv")
    try:
        return path, path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; has this run been trained?") from error


@lru_cache
def _names(header: bytes) -> list[str]:
    names = header.decode().rstrip("\r").split("\t")
    if names[: len(metrics.COLUMNS)] != list(metrics.COLUMNS):
        raise ValueError("other columns")
    return names


def _broken(path: Path) -> UserError:
    return UserError(f"{path}: not a metrics file of this program; remove it and train again")


def _curve(seed: int, rows: list[list[bytes]], column: Mapping[str, int]) -> Curve:
    def values(name: str) -> NDArray[np.float64]:
        at = column[name]
        return np.array(list(_numbers(row[at] for row in rows)))

    return Curve(
        seed=seed,
        status=rows[-1][column["status"]].decode(),
        epoch=values("epoch"),
        step=values("step"),
        seconds=values("seconds"),
        values={name: values(name) for name in CURVES},
    )


def _numbers(cells: Iterable[bytes]) -> Iterator[float]:
    return (float(cell) if cell else math.nan for cell in cells)
