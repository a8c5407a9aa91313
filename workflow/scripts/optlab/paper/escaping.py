"""A text in LaTeX and in Markdown, whatever it contains.

What pdfLaTeX cannot typeset with its base fonts is transliterated where there is a Latin letter for
it, and described in brackets elsewhere: never an error.
"""

import re
import unicodedata
from functools import cache
from itertools import groupby

from optlab.figures.words import plain

_SPECIAL = {
    **{c: f"\\{c}" for c in "%&#_{}"},
    "$": r"$\mathdollar$",  # elsewhere a dollar is of a font that has to be made first
    **{"~": r"$\sim$", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$", '"': r"{\ttfamily\char34}"},
    **{"[": "{[}", "*": "{*}"},  # behind the end of a row these have a meaning
}
_LIGATURES = ("--", "``", "''", "?`", "!`")
_SYMBOLS = {
    **{"−": "$-$", "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$", "÷": r"$\div$"},
    **{"≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "∞": r"$\infty$"},
    **{"→": r"$\rightarrow$", "←": r"$\leftarrow$", "∈": r"$\in$", "√": r"$\surd$"},
    **{"∑": r"$\sum$", "∏": r"$\prod$", "∂": r"$\partial$", "∇": r"$\nabla$", "°": r"$^\circ$"},
    **{"–": "--", "—": "---", "…": r"\ldots{}", "“": "``", "”": "''", "\u2018": "`", "\u2019": "'"},
    **{
        "„": ",,",
        "«": r"$\ll$",
        "»": r"$\gg$",
        "•": r"$\bullet$",
        "§": r"$\mathsection$",
        "¶": r"$\mathparagraph$",
    },
    **{
        "©": "(c)",
        "®": "(R)",
        "£": r"$\mathsterling$",
        "¿": "?`",
        "¡": "!`",
        "\u00a0": "~",
        "\u00ad": "",
    },
    **{"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}"},
    **{"Ø": r"\O{}", "å": r"\aa{}", "Å": r"\AA{}", "ł": r"\l{}", "Ł": r"\L{}", "\u0131": r"\i{}"},
    **{"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "€": "EUR", "ẞ": "SS"},
    **{"µ": r"$\mu$", "ϕ": r"$\phi$", "ϵ": r"$\epsilon$", "ƒ": r"$f$", "\u200b": "", "\ufe0f": ""},
    **{"⁻": "$^{-}$", "⁺": "$^{+}$", "₋": "$_{-}$", "₊": "$_{+}$"},
}
# Combining accents for which the base fonts have a command; others are left out.
_ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0308\u0304\u0307\u030a\u030b\u030c\u0306\u0327\u0323\u0331",
        "`'^~\"=.rHvucdb",
        strict=True,
    )
)
# Capital Greek letters that look like Latin ones have no command.
_GREEK = {
    **{"ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I"},
    **{"KAPPA": "K", "MU": "M", "NU": "N", "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X"},
}
_GREEK_NAME = re.compile(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)")
_LONG, _STEP = 18, 8  # letters of a word that may be broken, and after how many
_LONGEST_NAME = 40  # of a character that is described by its name


def latex(text: str) -> str:
    """The text for pdfLaTeX, in ASCII; long words may be broken."""
    return " ".join(map(_word, unicodedata.normalize("NFC", plain(text)).split(" ")))


def _word(word: str) -> str:
    units = _units(word)
    parts = [
        _latex(unit) + ("{}" if unit + following in _LIGATURES else "")
        for unit, following in zip(units, [*units[1:], " "], strict=False)
    ]
    sizes = [len(re.sub(r"\\[a-z]+|[\\{}$]", "", part)) or 1 for part in parts]
    if sum(sizes) > _LONG:
        since = 0
        for at, (unit, size) in enumerate(zip(units[:-1], sizes[:-1], strict=True)):
            since += size
            if since >= _STEP or unit in "/_.:=,+-":
                parts[at] += r"\allowbreak{}"
                since = 0
    return "".join(parts).replace("}$$^{", "").replace("}$$_{", "")


def _units(word: str) -> list[str]:
    """The characters of a word; neighbours that are described by their numbers are one unit."""
    found: list[str] = []
    for numbered, some in groupby(word, lambda one: _latex(one).startswith("{[}U+")):
        same = list(some)
        found += ["".join(same)] if numbered else same
    return found


@cache
def _latex(unit: str) -> str:
    if len(unit) > 1:
        return "{[}" + " ".join(f"U+{ord(one):04X}" for one in unit) + "]"
    if found := _SPECIAL.get(unit) or (unit if unit.isascii() else None):
        return found
    if (found := _SYMBOLS.get(unit)) is not None:
        return found
    return _greek(unit) or _script(unit) or _accented(unit) or _described(unit)


def _greek(character: str) -> str:
    match = _GREEK_NAME.fullmatch(unicodedata.name(character, ""))
    if not match:
        return ""
    size, name = match[1], {"LAMDA": "LAMBDA"}.get(match[2], match[2])
    if name == "OMICRON" or (size == "CAPITAL" and name in _GREEK):
        return f"${'o' if size == 'SMALL' else _GREEK[name]}$"
    known = name in ("GAMMA", "DELTA", "THETA", "LAMBDA", "XI", "PI", "SIGMA", "UPSILON", "PHI")
    if size == "SMALL" and (known or name in _GREEK or name in ("PSI", "OMEGA")):
        return f"$\\{name.lower()}$"
    return f"$\\{name.capitalize()}$" if known or name in ("PSI", "OMEGA") else ""


def _script(character: str) -> str:
    """A digit or letter above or below the line."""
    kind, _, base = unicodedata.decomposition(character).partition(" ")
    mark = {"<super>": "^", "<sub>": "_"}.get(kind)
    digits = unicodedata.normalize("NFKC", character)
    known = mark and base and digits.isascii() and digits.isalnum()
    return f"${mark}{{{digits}}}$" if known else ""


def _accented(character: str) -> str:
    """A Latin letter with its accents, without those for which there is no command."""
    base, *marks = list(unicodedata.normalize("NFKD", character))
    if not all(map(unicodedata.combining, marks)):  # a ligature, a fraction, a circled number
        letters = "".join([base, *marks]).replace("\u2044", "/")
        return "".join(map(_latex, letters)) if letters.isascii() else ""
    if base == character or not base.isascii():
        return ""
    if not base.isalpha():
        return _latex(base)
    found = base
    for command in filter(None, map(_ACCENTS.get, marks)):
        letter = f"\\{found}" if command not in "cdb" and found in ("i", "j") else found
        found = f"\\{command}{{{letter}}}"
    return found


def _described(character: str) -> str:
    """A symbol by its name, a letter of another script by its number."""
    name = unicodedata.name(character, "")
    if not name or len(name) > _LONGEST_NAME or unicodedata.category(character)[0] in "LM":
        return f"{{[}}U+{ord(character):04X}]"
    return "{[}" + "".join(map(_latex, name.lower())) + "]"


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def markdown(text: str) -> str:
    """The text for Markdown, with a backslash before each character that has a meaning there."""
    found = _MARKDOWN.sub(r"\\\1", plain(text))
    found = re.sub(r"^([-+=])", r"\\\1", found)  # these begin a list or a heading
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", found)
