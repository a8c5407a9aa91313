"""A paper as Markdown; its pictures are those of the study, which a browser shows."""

from collections.abc import Sequence

from optlab.paper.document import Block, Heading, Picture, Table
from optlab.paper.escaping import markdown as escaped


def paper(title: str, blocks: Sequence[Block], references: Sequence[str]) -> str:
    """The whole paper."""
    parts = [f"# {escaped(title)}", body(blocks)]
    if references:
        parts += ["## References", "\n".join(f"- {escaped(one)}" for one in references)]
    return "\n\n".join(filter(None, parts)) + "\n"


def body(blocks: Sequence[Block]) -> str:
    """These blocks, an empty line between any two."""
    return "\n\n".join(map(_block, blocks))


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * (block.level + 1)} {escaped(block.text)}"
    if isinstance(block, Table):
        return table(block)
    if isinstance(block, Picture):
        return f"[{escaped(block.caption)}](<{block.file}>)"
    return escaped(block)


def table(one: Table) -> str:
    """A table, its caption above and its notes below it."""
    lines = [_row(one.head), _row(["---"] * len(one.head), str)]
    lines += [_row(row) for row in one.rows]
    notes = [f"- {escaped(note)}" for note in one.notes]
    parts = [escaped(one.caption), "\n".join(lines), "\n".join(notes)]
    return "\n\n".join(filter(None, parts))


def _row(cells: Sequence[str], write: object = escaped) -> str:
    shown = cells if write is str else map(escaped, cells)
    return f"| {' | '.join(shown)} |"
