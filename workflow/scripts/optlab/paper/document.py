"""The parts of a paper, without a format: every text is plain Unicode, and is escaped once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is that of a section."""

    text: str
    level: int = 1


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files, without their endings.
        caption: what it shows.
        head: of the columns.
        rows: of cells, as many as there are columns.
        notes: below it, each a paragraph.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A picture: its PDF, relative to the paper, and its caption. Small ones stand in pairs."""

    file: PurePosixPath
    caption: str
    small: bool = False


Block = Heading | Table | Picture | str


@dataclass
class Paper:
    """A paper: each part is a list of headings, paragraphs, tables and pictures."""

    title: str
    methods: list[Block] = field(default_factory=list)
    results: list[Block] = field(default_factory=list)
    checklist: list[Block] = field(default_factory=list)
    further: list[Block] = field(default_factory=list)

    @property
    def blocks(self) -> list[Block]:
        """All of them, in their order."""
        return [*self.methods, *self.results, *self.checklist, *self.further]
