"""A page as one HTML document that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from yolov12edge.page.parts import Cell, Page


def render_page(page: Page) -> bytes:
    """The page as UTF-8 HTML.

    Everything but the drawings of charts is escaped. Characters that UTF-8 has no bytes for, as in
    file names that are not UTF-8, become question marks.
    """
    text = _environment().get_template("page.html").render(page=page)
    return text.encode("utf-8", "replace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("yolov12edge.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda value: value if isinstance(value, Cell) else Cell(value)
    environment.filters["drawing"] = Markup
    return environment
