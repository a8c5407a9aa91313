r"""A paper as LaTeX, for the packages of Debian's texlive-latex-base.

Its tables have the rules of booktabs; where that package is missing, `paper.tex` draws lines.
"""

import re
from collections.abc import Iterator, Sequence

from optlab.paper.document import Block, Heading, Picture, Table
from optlab.paper.escaping import latex as escaped

PREAMBLE = r"""\documentclass[10pt,a4paper]{article}
\usepackage[margin=2.2cm]{geometry}
\usepackage{array,longtable,graphicx}
\IfFileExists{booktabs.sty}{\usepackage{booktabs}}{%
  \renewcommand{\arraystretch}{1.2}%
  \newcommand{\toprule}{\hline}\newcommand{\midrule}{\hline}\newcommand{\bottomrule}{\hline}}
\newcolumntype{L}[1]{>{\raggedright\arraybackslash}p{#1}}
\setlength{\tabcolsep}{4pt}
\setlength{\LTcapwidth}{\linewidth}
\setcounter{secnumdepth}{0}
\emergencystretch=3em
\renewcommand{\topfraction}{0.9}
\renewcommand{\bottomfraction}{0.9}
\renewcommand{\textfraction}{0.05}
\renewcommand{\floatpagefraction}{0.7}
"""
LINE = 108  # characters of a table's type that fit in a line of text
GAP = 2  # characters, between two columns
LEAST = 6  # characters of a column whose cells are broken, at least
WORD = re.compile(r"[^\W\d_]{3}")  # of which numbers have none
SHORT = 16  # characters of a cell that is not broken
TALL = 40  # lines of a table that may float; a longer one is broken over pages
FLOATS = 8  # pictures before a page break; LaTeX holds only so many


def paper(title: str, parts: Sequence[str], references: Sequence[str]) -> str:
    """The document, which reads its parts from their files."""
    lines = [PREAMBLE, f"\\title{{{escaped(title)}}}", "\\author{}", "\\date{}"]
    lines += ["\\begin{document}", "\\maketitle"]
    lines += [f"\\input{{{part}}}" for part in parts]
    if references:
        lines += ["\\section*{References}", "\\raggedright"]
        lines += [f"\\noindent {escaped(one)}\n" for one in references]
    return "\n".join([*lines, "\\end{document}", ""])


def body(blocks: Sequence[Block]) -> str:
    """These blocks; tables are read from their files."""
    return "\n\n".join(_body(blocks)) + "\n"


def _body(blocks: Sequence[Block]) -> Iterator[str]:
    waiting: list[Picture] = []
    floats = 0
    for block in [*blocks, ""]:
        pair = isinstance(block, Picture) and block.small
        if waiting and (not pair or len(waiting) == 2):
            yield _pictures(waiting)
            waiting, floats = [], floats + 1
        if floats >= FLOATS:
            yield "\\clearpage"
            floats = 0
        if isinstance(block, Picture) and pair:
            waiting.append(block)
        elif isinstance(block, Picture):
            yield _pictures([block])
            floats += 1
        elif isinstance(block, Table):
            yield f"\\input{{tables/{block.name}}}"
        elif isinstance(block, Heading):
            yield "\\clearpage" if floats else ""
            floats = 0
            yield f"\\{'sub' * (block.level - 1)}section{{{escaped(block.text)}}}"
        elif block:
            yield escaped(block)
    if floats:
        yield "\\clearpage"


def _pictures(some: Sequence[Picture]) -> str:
    """One picture, or small ones beside each other, each with its caption."""
    width = "0.48" if some[0].small else "0.8"
    parts = [
        f"\\begin{{minipage}}[t]{{{width}\\linewidth}}\\centering\n"
        f"\\includegraphics[width=\\linewidth]{{{one.file}}}\n"
        f"\\caption{{{escaped(one.caption)}}}\n\\end{{minipage}}"
        for one in some
    ]
    return "\n".join(["\\begin{figure}[htbp]\\centering", "\\hfill\n".join(parts), "\\end{figure}"])


# -- tables ------------------------------------------------------------------------------------


def table(one: Table) -> str:
    """A table that floats, or that pages break if it is long."""
    shares = _shares(list(zip(one.head, *one.rows, strict=True)))
    columns = "".join("l" if share is None else f"L{{{share:.3f}\\linewidth}}" for share in shares)
    head = f"{_row(one.head)}\n\\midrule"
    rows = "\n".join(map(_row, one.rows))
    caption = f"\\caption{{{escaped(one.caption)}}}"
    notes = "".join(f"\\\\\n{escaped(note)}" for note in one.notes)
    below = (
        f"\n\n\\medskip\n{{\\raggedright\\footnotesize{notes.removeprefix(chr(92) * 2)}\\par}}"
        if notes
        else ""
    )
    if _lines(one, shares) > TALL:
        start = f"{{\\footnotesize\n\\begin{{longtable}}{{{columns}}}\n{caption}\\\\\n\\toprule"
        again = "\\endfirsthead\n\\toprule"
        end = f"\\endhead\n{rows}\n\\bottomrule\n\\end{{longtable}}}}{below}\n"
        return f"{start}\n{head}\n{again}\n{head}\n{end}"
    start = f"\\begin{{table}}[htbp]\\centering\\footnotesize\n{caption}\n\\medskip"
    inner = f"\\toprule\n{head}\n{rows}\n\\bottomrule\n\\end{{tabular}}"
    return f"{start}\n\\begin{{tabular}}{{{columns}}}\n{inner}{below}\n\\end{{table}}\n"


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(escaped, cells))} \\\\"


def _shares(columns: Sequence[Sequence[str]]) -> list[float | None]:
    """The width of each column as a part of the line; None where no cell is broken.

    Numbers and short cells are not broken as long as that leaves room for the others.
    """
    widths = [max(map(len, cells)) for cells in columns]
    room = LINE - GAP * len(widths)
    if sum(widths) <= room:
        return [None] * len(widths)
    numbers = [not any(map(WORD.search, cells[1:])) for cells in columns]
    whole = [
        width if width <= SHORT or number else 0
        for width, number in zip(widths, numbers, strict=True)
    ]
    while sum(whole) > 0.7 * room and any(whole):
        whole[whole.index(max(whole))] = 0
    # Long texts get more, but not in proportion: they may take many lines.
    weights = [
        0.0 if kept else max(width, LEAST) ** 0.6 for width, kept in zip(widths, whole, strict=True)
    ]
    left = (room - sum(whole)) / LINE
    return [
        None if kept else left * weight / sum(weights)
        for kept, weight in zip(whole, weights, strict=True)
    ]


def _lines(one: Table, shares: Sequence[float | None]) -> int:
    """About how many lines a table has."""
    found = 0
    for row in (one.head, *one.rows):
        own = [
            1 if share is None else -(-len(cell) // max(1, int(0.85 * share * LINE)))
            for cell, share in zip(row, shares, strict=True)
        ]
        found += max(1, *own)
    return found + 2 * len(one.notes)
