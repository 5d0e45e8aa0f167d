"""HTML: what goes in comes out as text, wherever it stands."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.page.pages import ReadPage
from yolov12edge.page import (
    Cell,
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
    Table,
    Verdict,
    render_page,
)

HOSTILE = "</style></title><script>alert(1)</script>\"' onload=x {{ 7*7 }} {% raw %} &amp;"


def page_of(text: str) -> Page:
    """A page that says `text` in every place."""
    blocks = (
        Table((Column(text),), ((text,), (Cell(text, "bad", 0.5, code=True),)), text, text),
        Fields(((text, text), (text, Cell(text)))),
        Note(text, "caution"),
        Command(text, text),
        Items(text, (text,), 3),
        Pictures(text, text, "good", (Picture(text, "data:image/png;base64,AA=="),)),
    )
    figures = (Figure(text, text, text, "bad"),)
    verdict = Verdict(text, "bad", text, figures, (Note(text),))
    return Page(text, text, verdict, (Section("one", text, blocks, text),), text)


def test_hostile_text_stays_text() -> None:
    content = render_page(page_of(HOSTILE))
    page = ReadPage(content)
    page.assert_harmless()
    calm = ReadPage(render_page(page_of("calm")))
    assert page.tags == calm.tags
    assert [(tag, name) for tag, name, _ in page.attributes] == [
        (tag, name) for tag, name, _ in calm.attributes
    ]
    assert page.rows[1] == page.rows[2] == [HOSTILE]
    assert "49" not in page.sections["one"]


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1))
def test_any_text_leaves_the_structure_as_it_is(text: str) -> None:
    assert ReadPage(render_page(page_of(text))).tags == ReadPage(render_page(page_of("a"))).tags


def test_names_that_are_not_utf8_are_written() -> None:
    page = ReadPage(render_page(page_of("caf\udce9.jpg")))
    assert page.rows[1] == ["caf?.jpg"]


def test_the_page_forbids_itself_the_network() -> None:
    content = render_page(page_of("a")).decode()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in content
    assert "@import" not in content
    assert "url(" not in content
