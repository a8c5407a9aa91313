"""The pictures of the page: Bokeh's, without data, which `browser/*.js` fill and link.

All that show runs have one source, ``runs``, a row a run of the problem that is looked at, so that
a selection in one picture is a selection in all.
"""

from collections.abc import Sequence
from typing import Any

from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    NumeralTickFormatter,
    TapTool,
)
from bokeh.models.annotations import Whisker
from bokeh.plotting import figure

HEIGHT = 330
TOOLS = "pan,wheel_zoom,box_zoom,reset,save"

# Source -> its columns.
SOURCES = {
    "runs": ["run", "x", "y", "text", "value", "color", "marker", "xs", "ys"],
    "ways": ["xs", "ys", "color", "dash"],  # of an optimizer over its learning rates
    "lines": ["xs", "ys", "color", "dash", "text"],  # curves of the selected runs
    "bands": ["xs", "ys", "color"],
    "speeds": ["x", "y", "low", "high", "color", "text"],
    "ways_of_speed": ["xs", "ys", "color", "dash"],
    "trials": ["x", "y", "text", "value", "color", "marker", "xs", "ys"],
    "best_so_far": ["x", "y"],
    "axes": ["x", "y", "text", "align"],  # ends and names of the axes of `parallel`
    "trial_axes": ["x", "y", "text", "align"],
}


def figures(kinds: Sequence[str], scaling: bool, searches: bool) -> list[Any]:
    """The figures that a study needs; the name of each is that of its place in the page.

    ``kinds`` are what runs are measured by: loss, accuracy, metric (any other); none of no runs.
    """
    some = {name: _source(name) for name in SOURCES}
    found = []
    if kinds:
        for kind in kinds:
            found += [_curves(kind), _rates(kind, some["runs"])]
        found.append(_parallel("parallel", some["runs"], some["axes"]))
    found += [_speed(some)] if scaling else []
    if searches:
        found += [_trials(some), _parallel("trial_parallel", some["trials"], some["trial_axes"])]
    return found


def _source(kind: str, name: str = "") -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in SOURCES[kind]}, name=name or kind)


def _figure(name: str, x: str, y: str, **options: Any) -> Any:
    found = figure(
        name=name,
        x_axis_label=x,
        y_axis_label=y,
        height=HEIGHT,
        sizing_mode="stretch_width",
        tools=TOOLS,
        toolbar_location="above",
        output_backend="canvas",
        min_border_right=12,
        **options,
    )
    found.toolbar.logo = None
    found.toolbar.autohide = False
    return found


def _percent(axis: Any) -> None:
    axis.formatter = NumeralTickFormatter(format="0.[00] %")


def _curves(kind: str) -> Any:
    """A kind of figure of the selected runs over epochs, with bands over their seeds."""
    log = {"y_axis_type": "log"} if kind == "loss" else {}
    plot = _figure(f"curves_{kind}", "epochs trained", kind, **log)
    lines, bands = (_source(name, f"{name}_{kind}") for name in ("lines", "bands"))
    plot.patches("xs", "ys", source=bands, fill_color="color", fill_alpha=0.15, line_alpha=0)
    drawn = plot.multi_line(
        "xs",
        "ys",
        source=lines,
        line_color="color",
        line_dash="dash",
        line_width=2,
        hover_line_width=4,
    )
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("run", "@text")], line_policy="nearest"))
    if kind == "accuracy":
        _percent(plot.yaxis)
    return plot


def _rates(kind: str, runs: ColumnDataSource) -> Any:
    """The figure that decides against the learning rate, a mark a run."""
    log = {"y_axis_type": "log"} if kind == "loss" else {}
    plot = _figure(f"rates_{kind}", "learning rate", kind, x_axis_type="log", **log)
    ways = _source("ways", f"ways_{kind}")
    plot.multi_line("xs", "ys", source=ways, line_color="color", line_dash="dash", line_alpha=0.6)
    _marks(plot, runs, 10)
    if kind == "accuracy":
        _percent(plot.yaxis)
    return plot


def _marks(plot: Any, source: ColumnDataSource, size: int) -> None:
    """A mark a row, which can be selected; the others are then pale."""
    drawn = plot.scatter(
        "x",
        "y",
        source=source,
        marker="marker",
        size=size,
        color="color",
        fill_alpha=0.75,
        nonselection_fill_alpha=0.12,
        nonselection_line_alpha=0.35,
    )
    _selecting(plot, drawn)


def _selecting(plot: Any, drawn: Any, policy: str | None = None) -> None:
    lines: dict[str, Any] = {"line_policy": policy} if policy else {}
    words = [("run", "@text"), ("", "@value")]
    plot.add_tools(
        TapTool(renderers=[drawn]),
        BoxSelectTool(renderers=[drawn]),
        HoverTool(renderers=[drawn], tooltips=words, **lines),
    )


def _parallel(name: str, source: ColumnDataSource, axes: ColumnDataSource) -> Any:
    """Parallel coordinates: an axis a setting, the last one the figure that decides."""
    plot = _figure(name, "", "", x_range=(-0.5, 4.5), y_range=(-0.16, 1.12))
    plot.axis.visible = False
    plot.grid.visible = False
    plot.segment("x", 0, "x", 1, source=axes, line_color="#888888", name="rails")
    drawn = plot.multi_line(
        "xs",
        "ys",
        source=source,
        line_color="color",
        line_width=1.5,
        line_alpha=0.7,
        selection_line_width=3,
        nonselection_line_alpha=0.12,
    )
    plot.text(
        "x",
        "y",
        "text",
        source=axes,
        text_align="align",
        text_font_size="11px",
        name="words",
        text_baseline="middle",
        x_offset=5,
    )
    _selecting(plot, drawn, "interp")
    return plot


def _speed(some: dict[str, ColumnDataSource]) -> Any:
    """The speed-up over the number of processes, beside the ideal one."""
    plot = _figure("speed", "processes", "speed-up")
    plot.multi_line(
        "xs",
        "ys",
        source=some["ways_of_speed"],
        line_color="color",
        line_dash="dash",
        line_width=2,
    )
    source = some["speeds"]
    drawn = plot.scatter("x", "y", source=source, size=9, color="color")
    plot.add_layout(Whisker(base="x", lower="low", upper="high", source=source, name="whiskers"))
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("", "@text")]))
    plot.xaxis.ticker = FixedTicker(ticks=[1, 2, 4, 8])
    return plot


def _trials(some: dict[str, ColumnDataSource]) -> Any:
    """The value of each trial in their order, and the best one so far."""
    plot = _figure("trials", "trial", "value")
    plot.step(
        "x", "y", source=some["best_so_far"], line_color="#888888", line_width=2, mode="after"
    )
    _marks(plot, some["trials"], 9)
    return plot
