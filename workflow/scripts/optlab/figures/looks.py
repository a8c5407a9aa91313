"""The style of every picture: colours, line styles, ticks, empty figures, and the SVG files.

Colours of optimizers are those of Okabe and Ito ("Color Universal Design", 2008) and of P. Tol
("Colour Schemes", 2021), which can be distinguished with every common form of colour blindness.
Each optimizer also has a line style and a marker, so that a picture can be read in grey.
"""

import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib import colormaps, colors, ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optlab.catalogue import optimizers as catalogue
from optlab.figures import lettering

CREATOR = "optlab"  # marks the files that this program may replace or remove
LARGEST = 900_000  # characters of an SVG; in a larger one, lines and marks become pixels
PIXELS = 150  # an inch, of these

TITLE, LINE = 10.5, 0.18  # of a heading: points, and the inches of a line

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text: it can be searched, and the file is small
        "svg.hashsalt": CREATOR,  # the same picture has the same bytes
        "text.parse_math": False,  # a dollar sign in a title or a name is a dollar sign
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e3e3e3",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "figure.titlesize": TITLE,
    }
)


class Look(NamedTuple):
    """The style of an optimizer's line."""

    color: str
    line: str | tuple[int, tuple[float, ...]] = "-"
    marker: str = ""


_DASHDOTS = (0, (5.0, 1.5, 1.0, 1.5, 1.0, 1.5))

# For the user's own optimizers, in the order of the picture; further ones combine these otherwise.
OTHERS = (
    Look("#AA4499", ":", "*"),
    Look("#661100", _DASHDOTS, "d"),
    Look("#6699CC", _DASHDOTS, "8"),
    Look("#B8860B", ":", "H"),
)
VARIANTS = ("s", "^", "D", "v", "o", "P", "X", "<", ">")
_LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", "--", "-.", ":", _DASHDOTS)

OTHER = "#cfcfcf"  # lines in the background of a panel
PLAIN = "#555555"  # entries of a legend that apply to all optimizers
HEADING: dict[str, Any] = {"loc": "left", "fontsize": 8, "fontweight": "bold"}  # of a panel

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# Viridis without its last sixth, whose yellow is hardly visible on white paper.
RATES = colors.ListedColormap(colormaps["viridis"](range(213)))


def looks(optimizers: Sequence[str]) -> list[Look]:
    """A look for each line of a picture, given the optimizer that it shows.

    Several lines of one optimizer have its colour, from light to full, and different markers.
    """
    known = catalogue.OPTIMIZERS
    own = [name for name in dict.fromkeys(optimizers) if name not in known]
    others = dict(zip(own, _others(), strict=False))
    found = []
    for number, name in enumerate(optimizers):
        look = Look(*known[name].look) if name in known else others[name]
        total, rank = optimizers.count(name), optimizers[:number].count(name)
        if total > 1:
            color = _lighter(look.color, 0.5 + 0.5 * rank / (total - 1))
            look = look._replace(color=color, marker=VARIANTS[rank % len(VARIANTS)])
        found.append(look)
    return found


def _others() -> Iterator[Look]:
    """Looks of the user's own optimizers, of which no two are the same."""
    yield from OTHERS
    for shade in itertools.count(1):  # the same colours, each time lighter
        for marker, line, look in itertools.product(VARIANTS, _LINES, OTHERS):
            yield Look(_lighter(look.color, 0.4 + 0.4 / shade), line, marker)


def _lighter(color: str, strength: float) -> str:
    red, green, blue = (1 - strength * (1 - part) for part in colors.to_rgb(color))
    return colors.to_hex((red, green, blue))


def rate_colors(rates: Sequence[float]) -> list[str]:
    """A colour for each learning rate by its rank, since rates lie close where it matters."""
    ranks = sorted(set(rates))
    return [colors.to_hex(RATES(ranks.index(r) / max(1, len(ranks) - 1))) for r in rates]


def rate_bar(figure: Figure, axes: Axes, rates: Sequence[float]) -> None:
    """A colour bar, for more learning rates than a legend can name."""
    ranks = sorted(set(rates))
    mappable = ScalarMappable(colors.Normalize(0, len(ranks) - 1), RATES)
    bar = figure.colorbar(mappable, ax=axes, label="learning rate", pad=0.02)
    shown = sorted({round(i * (len(ranks) - 1) / 7) for i in range(8)})
    bar.set_ticks(shown, labels=[f"{ranks[i]:.3g}" for i in shown])
    bar.outline.set_visible(False)  # type: ignore[operator]


def figure(
    title: str, ratios: Sequence[float] = (1,), height: float = 3.9
) -> tuple[Figure, list[Axes]]:
    """A figure of ``height`` inches with axes side by side, their widths in ``ratios``."""
    width = 7.0 if len(ratios) == 1 else 8.0
    picture = Figure(figsize=(width, height), layout="constrained")
    picture.subplots(1, len(ratios), width_ratios=ratios)
    entitle(picture, title)
    return picture, picture.axes


def grid(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    """A figure of small panels with shared axes, up to four in a row, and these axes."""
    columns = min(4, panels)
    rows = -(-panels // columns)
    picture = Figure(figsize=(8.0, 1.3 + 1.6 * rows if rows > 1 else 3.3), layout="constrained")
    entitle(picture, title)
    every = picture.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in every[panels:]:
        axes.set_axis_off()
    for axes in every[panels - columns : panels]:
        axes.tick_params(labelbottom=True)  # the lowest of its column, though not of the grid
    return picture, list(every[:panels])


def nothing(title: str, reason: str) -> Figure:
    """A figure that says why it shows nothing."""
    picture, (axes,) = figure(title)
    axes.set_axis_off()
    axes.text(0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes)
    return picture


def entitle(picture: Figure, title: str) -> None:
    """Give a figure its heading, in as many lines as its width needs, and room for these."""
    picture.suptitle(lettering.wrapped(title, 0.96 * picture.get_figwidth(), TITLE))
    more = picture.get_suptitle().count("\n") - 1  # two lines have room in every picture
    picture.set_figheight(picture.get_figheight() + LINE * max(0, more))


def entitle_beside(picture: Figure, inches: float) -> None:
    """Leave so much room at the right of the heading, for a legend."""
    title, wide = picture.get_suptitle().replace("\n", " "), picture.get_figwidth()
    room = wide - inches
    picture.suptitle(lettering.wrapped(title, 0.96 * room, TITLE, 4), x=room / 2 / wide)


def head(axes: Axes, text: str, color: str, right: str = "", size: float = 6.5) -> None:
    """Give a panel its name in the colour of its line, and some words at its right."""
    grid = axes.get_subplotspec().get_gridspec()  # type: ignore[union-attr]
    room = 0.88 * axes.get_figure().get_figwidth() / grid.ncols  # type: ignore[union-attr]
    if right:
        axes.set_title(right, loc="right", fontsize=size, color="#333333")
        room -= lettering.width(right, size) + 0.05
    name = lettering.cut(text, room, HEADING["fontsize"], HEADING["fontweight"])
    axes.set_title(name, color=color, **HEADING)


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis from ``low`` to ``high``: plain numbers where they are short."""
    span = high / low
    if span < 30:
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    elif span < 1e13:
        axis.set_major_locator(ticker.LogLocator(numticks=14))
    if span > 1e4:
        axis.set_minor_locator(ticker.NullLocator())  # too small to be read, and slow to draw
    plain = low > 0.99e-4 and high < 1e5
    axis.set_major_formatter(lambda v, _: f"{v:g}" if plain else power(v))
    axis.set_minor_formatter(ticker.NullFormatter())


def power(value: float) -> str:
    """A number as 10⁻⁴ or 5·10⁻⁴, in plain text: mathematical typesetting is slow."""
    digit, exponent = f"{value:.0e}".split("e")
    factor = "" if digit == "1" else f"{digit}·"
    return f"{factor}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def svg(picture: Figure) -> str:
    """The picture as SVG, the same text for the same picture."""
    FigureCanvasSVG(picture)
    layout = picture.get_layout_engine()
    with lettering.any_script():
        if layout is not None:  # laid out here: `savefig` would draw the whole picture twice for it
            picture.set_dpi(FigureCanvasSVG.fixed_dpi)
            layout.execute(picture)
            picture.set_layout_engine(None)
        content = _written(picture)
        if len(content) > LARGEST:
            for artist in picture.findobj(lambda one: isinstance(one, Line2D | Collection)):
                artist.set_rasterized(True)
            content = _written(picture)
    return content


def _written(picture: Figure) -> str:
    stream = io.StringIO()
    options = {"dpi": PIXELS, "metadata": {"Date": None, "Creator": CREATOR}}
    picture.savefig(stream, format="svg", **options)  # type: ignore[arg-type]
    return stream.getvalue()


def is_ours(file: Path) -> bool:
    """Whether this program drew the SVG; it removes no others."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        return f"<dc:title>{CREATOR}</dc:title>" in stream.read(2000)
