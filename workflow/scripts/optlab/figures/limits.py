"""Ends of axes: far points that would squeeze all others are left out, and marked at the edge."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from optlab.results.theory import Array

FEWEST = 8  # values of which some can be outliers
FENCE = 1.5  # times the range of the middle half, beyond which a value is far: Tukey's
SHARE = 0.1  # of the values that may be far; more are a part of the picture
SQUEEZED = 1.6  # an axis that far values make more than this many times longer is cut
HUGE = 1e200  # what is larger counts as infinite: the ends of an axis must be numbers, too
OUTSIDE = "outside of the axis"


def held(values: ArrayLike, log: bool) -> Array:
    """The values that an axis has to hold: the finite ones, without few that are far from all.

    On a logarithmic axis, distances are ratios, and only positive values count.
    """
    found = _known(values, log)
    return _shortened(found, found[_near(found, log)], log)


def of_lines(lines: Iterable[ArrayLike], log: bool) -> Array:
    """The same for lines: their lowest and their highest values that the axis has to hold."""
    known = [values for line in lines if len(values := _known(line, log))]
    lows, highs = (np.array([end(values) for values in known]) for end in (np.min, np.max))
    near = [ends[_near(ends, log)] for ends in (lows, highs)]
    return _shortened(np.concatenate([lows, highs]), np.concatenate(near), log)


def _known(values: ArrayLike, log: bool) -> Array:
    found = np.asarray(values, dtype=np.float64).ravel()
    found = np.where(np.abs(found) < 1 / HUGE, 0.0, found)
    return found[(np.abs(found) < HUGE) & ((found > 0) | (not log))]


def _near(values: Array, log: bool) -> NDArray[np.bool_]:
    """Which values are not far from the middle half, if few are far at that side."""
    near = np.ones(len(values), dtype=bool)
    if len(values) < FEWEST:
        return near
    places = np.log10(values) if log else values
    low, high = np.quantile(places, [0.25, 0.75])
    reach = FENCE * max(high - low, _least(places, log))
    for far in (places < low - reach, places > high + reach):
        if far.sum() <= max(1, SHARE * len(values)):
            near &= ~far
    return near


def _shortened(values: Array, near: Array, log: bool) -> Array:
    """The near values, if all values would make the axis much longer; else all."""
    if not len(near):
        return values
    whole, part = (np.log10(some) if log else some for some in (values, near))
    return near if np.ptp(whole) > SQUEEZED * max(np.ptp(part), _least(part, log)) else values


def _least(places: Array, log: bool) -> float:
    """A range that can be seen where the middle half of the values are equal."""
    return 0.1 if log else 0.1 * abs(float(np.median(places)))


def cut(axes: Axes, values: Array) -> Array:
    """The values; those outside of the vertical axis lie on its edge."""
    low, high = sorted(axes.get_ylim())
    return values.clip(low, high)


def mark(axes: Axes, at: ArrayLike, values: ArrayLike, color: str, size: float = 6) -> bool:
    """A triangle at the edge for each value outside of the vertical axis; whether there are any."""
    place, found = np.asarray(at, dtype=np.float64), np.asarray(values, dtype=np.float64)
    low, high = sorted(axes.get_ylim())
    up, down = (0.985, 0.015) if not axes.yaxis_inverted() else (0.015, 0.985)
    # A loss of zero lies on the edge of a logarithmic axis.
    above, below = found > high, (found < low) & ((found > 0) | (axes.get_yscale() != "log"))
    look: dict[str, Any] = {"ls": "", "color": color, "ms": size, "mec": "white", "mew": 0.5,
                            "transform": axes.get_xaxis_transform(), "zorder": 5}  # fmt: skip
    for chosen, height in ((above, up), (below, down)):
        if chosen.any():
            marker = "^" if height > 0.5 else "v"
            axes.plot(place[chosen], [height] * int(chosen.sum()), marker, **look)
    return bool(above.any() or below.any())
