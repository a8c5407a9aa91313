"""Curves as they are drawn: seeds together, few points, and what is known in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optlab.data import builtin
from optlab.figures import theory
from optlab.results.reading import Curve
from optlab.study.run import Run

Array = NDArray[np.float64]
POINTS = 300  # of one line; more cannot be told apart at the width of a page
ALL_POINTS = 20_000  # of all lines of a picture, so that hundreds of them fit a small file


@dataclass(frozen=True)
class Line:
    """A figure of one run against epochs; arrays are [points].

    Attributes:
        epoch: epochs trained.
        step: steps taken.
        mean: over the seeds that did not diverge, or of the first seed to diverge.
        low, high: the smallest and the largest of those seeds.
        seeds: seeds of the run.
        diverged: how many of them diverged.
        diverged_step: the earliest step at which one did.
    """

    epoch: Array
    step: Array
    mean: Array
    low: Array
    high: Array
    seeds: int
    diverged: int
    diverged_step: int | None

    def until(self, epoch: float) -> Line:
        """The line up to an epoch, and one point further, where it has one."""
        rows = slice(int(np.searchsorted(self.epoch, epoch, side="right")) + 1)
        cut = {name: getattr(self, name)[rows] for name in ("epoch", "step", "mean", "low", "high")}
        return replace(self, **cut)

    @property
    def leaves(self) -> bool:
        """Whether no seed came to the end, so that the line leaves the picture."""
        return self.diverged == self.seeds

    @property
    def note(self) -> str:
        """What the legend says of a divergence."""
        if not self.diverged:
            return ""
        who = "diverges" if self.leaves else f"{self.diverged} of {self.seeds} seeds diverge"
        return f" ({who}, step {self.diverged_step})"


def line(curves: Sequence[Curve], name: str, steps_per_epoch: float) -> Line:
    """The figure ``name`` of a run: mean and range over its seeds, not yet thinned."""
    lost = sorted((c for c in curves if c.diverged), key=lambda c: c.step[-1])
    shown = [c for c in curves if not c.diverged] or lost[:1]
    rows = min(len(c.epoch) for c in shown)
    values = np.stack([c.values[name][:rows] for c in shown])
    epoch, step = shown[0].epoch[:rows].copy(), shown[0].step[:rows]
    if shown[0].diverged:
        # Noticed at an evaluation, but it happened at a step: that is where it is drawn.
        epoch[-1] = min(epoch[-1], step[-1] / steps_per_epoch)
        final = values[:, -1]
        if name.endswith("loss"):
            values[:, -1] = np.where(np.isfinite(final), final, 1e6 * max(values[0, 0], 1e-30))
    return Line(
        epoch=epoch,
        step=step,
        mean=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
        seeds=len(curves),
        diverged=len(lost),
        diverged_step=int(lost[0].step[-1]) if lost else None,
    )


def steps_per_epoch(curves: Iterable[Curve]) -> float:
    """Steps of one epoch, read off an evaluation that was reached; 1 where there is none."""
    for curve in curves:
        last = len(curve.epoch) - (2 if curve.diverged else 1)
        if last > 0:
            return float(curve.step[last] / curve.epoch[last])
    return 1.0


def thin(values: Array, lines: int = 1) -> NDArray[np.intp]:
    """Which points of a line to draw: the ends, and the extremes of each stretch between.

    What a line does between two points of the page, it still does in the picture. The more
    ``lines`` the picture has, the longer are the stretches.
    """
    n, points = len(values), min(POINTS, max(10, ALL_POINTS // lines))
    if n <= points:
        return np.arange(n)
    width = -(-n // (points // 2 - 1))
    keep = [np.array([0, n - 1])]
    for sign in (1, -1):
        # Padded to whole stretches; what is not a number is never an extreme.
        padded = np.full(-(-n // width) * width, np.inf)
        padded[:n] = np.where(np.isfinite(values), sign * values, np.inf)
        stretches = padded.reshape(-1, width)
        keep.append(np.arange(len(stretches)) * width + stretches.argmin(axis=1))
    return np.unique(np.concatenate(keep))


def has_closed_form(run: Run, source: str) -> bool:
    """Whether `theory` knows the run: a line, fitted by GD or heavy ball on all its points."""
    known = {"momentum": ("momentum",), "sgd": ()}.get(run.optimizer)
    return (
        known is not None
        and source == "line"
        and run.network == "linear"
        and run.batch_size == "full"
        and all(not v for k, v in run.knobs.items() if k not in ("lr", *known))
    )


def closed_form(run: Run, step: Array) -> Array:
    """The exact loss of such a run after each of ``step`` steps, [points]."""
    points = builtin.line()
    momentum = run.knobs.get("momentum", 0)
    x, y = points.x_train, points.y_train
    start = run.network_options["weight"], run.network_options["bias"]
    return theory.trajectory(x, y, start, run.knobs["lr"], momentum, step).loss


def stability_limit(run: Run) -> float:
    """The learning rate above which such a run diverges."""
    return theory.stability_limit(builtin.line().x_train, run.knobs.get("momentum", 0))
