"""The pictures of a study as PDF: the same figures as the SVGs, with their fonts embedded."""

from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text

from optlab.figures import lettering
from optlab.figures.looks import CREATOR

MISSING = "\ufffd"


def pdf(figure: Figure, file: Path) -> None:
    """Write a figure as PDF, the same bytes for the same figure.

    An SVG leaves signs to the reader's fonts. A PDF holds its fonts, so a sign that they do not
    have is replaced by one for all of them, about as wide; captions say which it is.
    """
    for one in figure.findobj(Text):
        if any(not _has(sign) for sign in one.get_text()):
            one.set_text("".join(c if _has(c) else MISSING for c in one.get_text()))
    FigureCanvasPdf(figure)
    options = {"metadata": {"CreationDate": None, "Creator": CREATOR}}
    with lettering.any_script(), matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(file, format="pdf", **options)  # type: ignore[arg-type]


@cache
def _has(sign: str) -> bool:
    return sign == "\n" or bool(get_font(findfont(FontProperties())).get_char_index(ord(sign)))
