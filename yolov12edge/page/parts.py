"""What a page consists of: sections of a few kinds of blocks, all plain text and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

State = Literal["", "good", "bad", "caution", "muted"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        state: its colour.
        share: 0..1, drawn as a bar below the text; None for no bar.
        code: set in a fixed pitch, for hashes and names of files.
    """

    text: str
    state: State = ""
    share: float | None = None
    code: bool = False


@dataclass(frozen=True)
class Column:
    """Head of a column; numbers are aligned to the right."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells; plain strings are cells without a state.

    Attributes:
        folded: the line that unfolds it; None for a table that is open.
    """

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    caption: str = ""
    folded: str | None = None


@dataclass(frozen=True)
class Fields:
    """Named values, in order."""

    kind: ClassVar[str] = "fields"
    rows: tuple[tuple[str, Cell | str], ...]


@dataclass(frozen=True)
class Note:
    """A sentence or two; with a state it is set apart."""

    kind: ClassVar[str] = "note"
    text: str
    state: State = ""


@dataclass(frozen=True)
class Command:
    """What to type, with a line that says why."""

    kind: ClassVar[str] = "command"
    text: str
    why: str


@dataclass(frozen=True)
class Items:
    """A long list of names behind one line that unfolds it; `left_out` of them are not shown."""

    kind: ClassVar[str] = "items"
    summary: str
    names: tuple[str, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Chart:
    """A drawing: SVG from `page.charts`, put into the page as it is."""

    kind: ClassVar[str] = "chart"
    svg: str
    caption: str


@dataclass(frozen=True)
class Picture:
    """One image with its title; `uri` holds the pixels."""

    title: str
    uri: str


@dataclass(frozen=True)
class Pictures:
    """Pictures of one subject, side by side where there is room."""

    kind: ClassVar[str] = "pictures"
    title: str
    text: str
    state: State
    pictures: tuple[Picture, ...]


Block = Table | Fields | Note | Command | Items | Chart | Pictures


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: one word, its anchor.
        status: what became of it, in a word or two: "shown", "not measured".
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    status: str = "shown"


@dataclass(frozen=True)
class Figure:
    """A number that decides: its name, and what it is measured by."""

    name: str
    value: str
    remark: str
    state: State = ""


@dataclass(frozen=True)
class Verdict:
    """The outcome: a word, a sentence, the deciding figures, and remarks below them."""

    word: str
    state: State
    sentence: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: of the page.
        subtitle: what it is about, in a line.
        footer: who made it and when.
    """

    title: str
    subtitle: str
    verdict: Verdict
    sections: tuple[Section, ...]
    footer: str
