"""Speed-up against the number of processes, with the ideal line and Amdahl's law where fitted."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optlab.figures import looks
from optlab.figures import scaling_axes as shared
from optlab.figures.axes import entry, legend
from optlab.figures.plan import Picture
from optlab.results.scaling_laws import amdahl_time
from optlab.results.statistics import ENDS

LAW: dict[str, Any] = {"lw": 0.9, "ls": (0, (6, 2))}


def draw(picture: Picture, source: pd.DataFrame) -> Figure:
    """Draw the picture."""
    shown = shared.longest(picture, source)
    epochs = shared.epochs_text(shown["epochs"].iloc[0])
    figure, (axes,) = looks.figure(f"{picture.title}\n{epochs}", height=4.4)
    axes.set_ylabel("speed-up (samples a second\nagainst one)")
    entries = shared.speedup_axes(axes, shown)
    for label, rows, look in shared.lines_of(shown):
        known = rows[rows["speedup"].notna()]
        shared.errors(axes, known, "speedup", look["color"])
        shared.line(axes, known, "speedup", look)
        entries.append(entry(label + _serial_share(known), **look))
        _draw_law(axes, rows, shown["gpus"].max(), look["color"])
    if shown["serial_share"].notna().any():
        entries.append(entry("Amdahl's law, fitted (strong)", color="#333333", **LAW))
    legend(figure, entries + shared.oversubscribed_entry(shown))
    return figure


def _serial_share(rows: pd.DataFrame) -> str:
    """The serial share of a line in words: of Amdahl's law, else of Karp and Flatt."""
    fitted = rows[[f"serial_share{end}" for end in ENDS]].dropna()
    if len(fitted):  # the same in all rows
        share, low, high = fitted.iloc[0]
        return f"; serial share {share:.2f} ({low:.2f} to {high:.2f})"
    found = rows["karp_flatt"].dropna()
    return f"; Karp-Flatt {found.iloc[-1]:.2f}" if len(found) else ""


def _draw_law(axes: Axes, rows: pd.DataFrame, last: int, color: str) -> None:
    """Amdahl's law up to ``last`` processes, where it is fitted."""
    for share in rows["serial_share"].dropna().head(1):
        at = 1 + (last - 1) * np.arange(61) / 60
        times = amdahl_time(share, at)
        good = times > 0  # a negative share gives the speed-up a pole
        axes.plot(at[good], 1 / times[good], color=color, zorder=2, **LAW)
