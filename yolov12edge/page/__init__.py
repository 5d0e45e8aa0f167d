"""Pages for people: what a page consists of, its charts and pictures, and its HTML."""

from yolov12edge.page.parts import (
    Block,
    Cell,
    Chart,
    Column,
    Command,
    Fields,
    Figure,
    Items,
    Note,
    Page,
    Picture,
    Pictures,
    Section,
    State,
    Table,
    Verdict,
)
from yolov12edge.page.render import render_page

__all__ = [
    "Block",
    "Cell",
    "Chart",
    "Column",
    "Command",
    "Fields",
    "Figure",
    "Items",
    "Note",
    "Page",
    "Picture",
    "Pictures",
    "Section",
    "State",
    "Table",
    "Verdict",
    "render_page",
]
