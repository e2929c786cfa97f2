"""Reads a page as a browser would: its ids, links, texts and what it would load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

LOADING = ("src", "srcset", "poster", "data", "action", "background")


@dataclass
class Page(HTMLParser):
    """What is found in a page. `loads` are the values of attributes that make a browser load something."""

    ids: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    tags: Counter[str] = field(default_factory=Counter)
    text: str = ""
    charts: list[str] = field(default_factory=list)  # their text alternatives
    _inside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        if "id" in found:
            self.ids[found["id"]] += 1
        for name, value in found.items():
            if name in ("href", "xlink:href") and tag in ("a", "use"):
                self.links.append(value)
            elif name in ("href", *LOADING):
                self.loads.append(value)
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "desc" in self._inside[-1:]:
            self.charts.append(data)
        if not {"style", "script"} & set(self._inside):
            self.text += data


def read_page(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page
