"""One look for every table on the terminal: a rule under the head, nothing clipped."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def new_table(title: str = "") -> Table:
    """An empty table with its title on the left; the columns are added by the caller.

    Example:
        >>> table = new_table("files")
        >>> table.add_column("name")
        >>> add_numbers(table, "size", "nodes")
        >>> table.add_row("model.onnx", "10.4 MB", "436")
    """
    return Table(
        title=Text(title, "bold") if title else None,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        header_style="dim",
        border_style="dim",
    )


def add_numbers(table: Table, *names: str) -> None:
    """Add right-aligned columns whose cells are never wrapped."""
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def new_fields(title: str = "") -> Table:
    """An empty list of named values: add rows of a name and a text."""
    table = Table(
        title=Text(title, "bold") if title else None,
        title_justify="left",
        box=None,
        show_header=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def spaced(parts: Iterable[RenderableType]) -> Group:
    """The parts below each other with one empty line between."""
    lines = [line for part in parts for line in ("", part)]
    return Group(*lines[1:])
