"""Lines of figures over time: one a run, its seeds combined, thinned to few points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optlab.results.reading import Curve

Array = NDArray[np.float64]
POINTS = 300  # of one line; more cannot be distinguished at the width of a page
ALL_POINTS = 20_000  # of all lines of a picture, so that the file of hundreds of lines is small


@dataclass(frozen=True)
class Line:
    """A figure of one run over time; arrays are [points].

    Attributes:
        epoch: epochs trained.
        step: steps taken.
        mean: over the seeds that did not diverge; if all did, the values of the first to diverge.
        low, high: the smallest and the largest value of the same seeds.
        seeds: number of seeds of the run.
        diverged: number of seeds that diverged.
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
        """The line up to an epoch, with the next point after it."""
        end = int(np.searchsorted(self.epoch, epoch, side="right")) + 1
        names = ("epoch", "step", "mean", "low", "high")
        return replace(self, **{name: getattr(self, name)[:end] for name in names})

    @property
    def leaves(self) -> bool:
        """Whether all seeds diverged, so that the line leaves the picture."""
        return self.diverged == self.seeds

    @property
    def note(self) -> str:
        """The divergence in words, for the legend."""
        if not self.diverged:
            return ""
        who = "diverges" if self.leaves else f"{self.diverged} of {self.seeds} seeds diverge"
        return f" ({who}, step {self.diverged_step})"


def line(curves: Sequence[Curve], name: str, steps_per_epoch: float) -> Line:
    """The figure ``name`` of a run, given the curve of each seed, with all of its points.

    ``steps_per_epoch`` converts the step of a divergence to epochs.
    """
    lost = sorted((c for c in curves if c.diverged), key=lambda c: c.step[-1])
    shown = [c for c in curves if not c.diverged] or lost[:1]
    rows = min(len(c.epoch) for c in shown)
    values = np.stack([c.values[name][:rows] for c in shown])
    epoch, step = shown[0].epoch[:rows].copy(), shown[0].step[:rows]
    if shown[0].diverged:
        # The epoch is that of the next evaluation, the step that of the divergence.
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
    """Steps of one epoch, from the last evaluation that a seed reached; 1 if there is none."""
    for curve in curves:
        last = len(curve.epoch) - (2 if curve.diverged else 1)
        if last > 0:
            return float(curve.step[last] / curve.epoch[last])
    return 1.0


def thin(values: Array, lines: int = 1) -> NDArray[np.intp]:
    """Indices of the points to draw: both ends, and the extremes of each stretch in between.

    Thus no peak of the line is lost. The more ``lines`` a picture has, the longer the stretches.
    """
    n, points = len(values), min(POINTS, max(10, ALL_POINTS // lines))
    if n <= points:
        return np.arange(n)
    width = -(-n // (points // 2 - 1))
    starts, finite = range(0, n, width), np.isfinite(values)
    low, high = np.where(finite, values, np.inf), np.where(finite, values, -np.inf)
    lowest = [start + low[start : start + width].argmin() for start in starts]
    highest = [start + high[start : start + width].argmax() for start in starts]
    return np.unique([0, n - 1, *lowest, *highest])
