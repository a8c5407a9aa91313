"""Text that fits: titles are wrapped and headings cut to the width that they have, as measured."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

CUT = "…"


@contextmanager
def any_script() -> Iterator[None]:
    """Without warnings of signs that the font lacks: an SVG holds the text, not its shapes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", r"(?s)Matplotlib currently does not support", UserWarning)
        yield


def width(text: str, size: float, weight: str = "normal") -> float:
    """The width of a line of text in inches, at this size in points."""
    with any_script():
        font = FontProperties(size=size, weight=weight)
        wide, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(wide) / 72


def cut(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """The text, its middle left out if it is wider: both ends distinguish names."""
    if width(text, size, weight) <= inches:
        return text
    fewest, most = 2, len(text)  # of the characters that are kept
    while most - fewest > 1:
        kept = (fewest + most) // 2
        if width(_ends(text, kept), size, weight) <= inches:
            fewest = kept
        else:
            most = kept
    return _ends(text, fewest)


def _ends(text: str, kept: int) -> str:
    front = -(-kept // 2)
    return text[:front].rstrip() + CUT + text[len(text) - (kept - front) :].lstrip()


def wrapped(text: str, inches: float, size: float, lines: int = 3) -> str:
    """The text in so many lines at most, each as wide as this; what has no room is left out."""
    found: list[str] = []
    for part in text.split("\n"):
        own = _lines(part, inches, size)
        if len(own) > lines:
            rest = " ".join(own[lines - 1 :])
            own = [*own[: lines - 1], cut(rest, inches, size)]
        found += own
    return "\n".join(found)


def _lines(text: str, inches: float, size: float) -> list[str]:
    found = [""]
    for word in text.split(" "):
        longer = f"{found[-1]} {word}" if found[-1] else word
        if width(longer, size) <= inches:
            found[-1] = longer
            continue
        pieces = _pieces(word, inches, size)
        found += pieces if found[-1] else [*found[1:], *pieces]
        found = [line for line in found if line]
    return found


def _pieces(word: str, inches: float, size: float) -> list[str]:
    """A word in parts that are narrow enough."""
    found = []
    while width(word, size) > inches and len(word) > 1:
        end = len(word)
        while end > 1 and width(word[:end], size) > inches:
            end = max(1, min(end - 1, int(end * inches / width(word[:end], size))))
        found.append(word[:end])
        word = word[end:]
    return [*found, word]
