"""Reading pages back, with the standard library's parser."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input"}


class ReadPage(HTMLParser):
    """What a browser would find: tags, attributes, text by section, and the tables' rows."""

    def __init__(self, content: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.sections: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self._section: list[str] = []
        self.feed(content.decode())
        self.close()
        assert self._open == [], "tags that are never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            name = dict(attrs)["id"] or ""
            self._section.append(name)
            self.sections[name] = ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self._open.pop() == tag
        if tag == "section":
            self._section.pop()

    def handle_data(self, data: str) -> None:
        if self._section:
            self.sections[self._section[-1]] += data
        if self._open and "td" in self._open:
            self.rows[-1][-1] += data.strip("\n")

    def row(self, first: str) -> list[str]:
        """The first row that begins with this cell."""
        return next(row for row in self.rows if row and row[0] == first)

    def text(self, section: str) -> str:
        """A section's text with single spaces."""
        return " ".join(self.sections[section].split())

    @property
    def ids(self) -> list[str]:
        """Every id of the page."""
        return [value for _, name, value in self.attributes if name == "id"]

    def assert_harmless(self) -> None:
        """No script, no handler, nothing from elsewhere, no id twice."""
        assert not self.tags.keys() & {
            "script",
            "iframe",
            "object",
            "embed",
            "link",
            "base",
            "form",
        }
        for tag, name, value in self.attributes:
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href"):
                assert value.startswith(("#", "data:image/")), (tag, name, value[:80])
        assert len(self.ids) == len(set(self.ids))
