"""The parts of the time of a step, and of the whole job: a bar for each run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from optlab.figures import looks
from optlab.figures import scaling_axes as shared
from optlab.figures.axes import entry, legend
from optlab.figures.plan import Picture
from optlab.study.kinds.scaling import STRONG

Parts = Mapping[str, tuple[str, str]]  # column -> label and colour

STEP: Parts = {
    "data_share": ("data movement", "#56B4E9"),
    "forward_backward_share": ("forward and backward", "#0072B2"),
    "communication_share": ("communication", "#D55E00"),
    "optimizer_share": ("optimizer", "#009E73"),
    "other_share": ("other", "#BBBBBB"),
}
JOB: Parts = {
    "start_up_seconds": ("start-up", "#E69F00"),
    "training_seconds": ("training", "#332288"),
    "evaluation_seconds": ("evaluation", "#CC79A7"),
    "rest": ("measuring steps, writing", "#7F7F7F"),
}


def draw(picture: Picture, source: pd.DataFrame) -> Figure:
    """Draw the picture."""
    rows = shared.longest(picture, source).drop_duplicates("path", keep="last")
    # From the top down, for each batch: one process, then strong and weak scaling.
    weak = (rows["gpus"] > 1) & (rows["scaling"] != STRONG)
    shown = rows.assign(weak=weak).sort_values(["batch_size", "weak", "gpus"], ascending=False)
    figure, (step, job) = looks.figure(picture.title, (1, 1), height=1.7 + 0.24 * len(shown))
    medians = shown["step_seconds"]
    totals = ["not measured" if pd.isna(s) else f"{1e3 * s:.3g} ms" for s in medians]
    _bars(step, STEP, shown, totals)
    _bars(job, JOB, _job(shown), [f"{s:.3g} s" for s in shown["wall_seconds"]])
    step.set_yticks(range(len(shown)), [_name(row) for row in shown.itertuples()])
    job.set_yticks(range(len(shown)), [""] * len(shown))
    step.set_xlabel("share of a step (right: its median)")
    job.set_xlabel("share of the job (right: all of it)")
    parts = [*STEP.values(), *JOB.values()]
    entries: list[Artist] = [Patch(color=color, label=label) for label, color in parts]
    if shown["oversubscribed"].any():
        entries.append(entry("* processes share cores or a device", ls=""))
    legend(figure, entries, ncols=5, columnspacing=1.2)
    return figure


def _job(shown: pd.DataFrame) -> pd.DataFrame:
    """The shares of the parts of each job."""
    parts = shown[[name for name in JOB if name != "rest"]]
    parts = parts.assign(rest=(shown["wall_seconds"] - parts.sum(axis="columns")).clip(lower=0))
    return parts.div(parts.sum(axis="columns"), axis="index")


def _bars(axes: Axes, parts: Parts, shares: pd.DataFrame, totals: Sequence[str]) -> None:
    """Stacked horizontal bars from the bottom up, each with its total at the right.

    Args:
        axes: where to draw.
        parts: the columns of ``shares`` that are stacked.
        shares: a row for each bar, NaN where nothing was measured.
        totals: a text for each bar.
    """
    widths = shares[list(parts)].fillna(0.0).to_numpy()
    for place, (row, total) in enumerate(zip(widths, totals, strict=True)):
        left = 0.0
        for width, (_, color) in zip(row, parts.values(), strict=True):
            axes.barh(place, width, left=left, color=color, height=0.72, ec="white", lw=0.4)
            left += width
        axes.text(1.01 if left else 0.0, place, f" {total}", va="center", fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(shares) - 0.4)
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1.0))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0, labelsize=7.5)


def _name(row: Any) -> str:
    kind = "" if row.gpus == 1 else f"{row.scaling}, "  # one process: strong and weak are the same
    star = " *" if row.oversubscribed else ""
    return f"{kind}batch {row.batch_size}, {row.gpus} {shared.unit([row.device], row.gpus)}{star}"
