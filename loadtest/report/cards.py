"""The elements of the page: cards, tables, tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.report import words
from loadtest.report.markup import Markup, tag, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_TABLE_ROWS = 500


def card(identity: str, title: str, lead: str | None, *content: Markup, kind: str = "") -> Markup:
    """A section with a heading."""
    return tag(
        "section",
        tag("h2", text(title), id=f"{identity}-heading"),
        *([tag("p", text(lead), class_="lead")] if lead else []),
        *content,
        class_=f"card {kind}".strip(),
        id=identity,
        aria_labelledby=f"{identity}-heading",
    )


def empty_card(identity: str, title: str) -> Markup:
    return card(identity, title, "There were too few samples to draw.")


def figure(drawn: Markup) -> Markup:
    """A chart or a table, in a frame that scrolls on narrow screens."""
    return tag("div", drawn, class_="figure")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Markup]], *, texts: int = 1) -> Markup:
    """A table whose first `texts` columns hold text, the others numbers."""
    kinds = [None if at < texts else "number" for at in range(len(head))]
    titles = (tag("th", text(name), scope="col", class_=kind) for name, kind in zip(head, kinds, strict=True))
    lines = (
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    )
    return figure(
        tag(
            "table",
            tag("caption", text(caption), class_="hidden"),
            tag("thead", tag("tr", *titles)),
            tag("tbody", *lines),
        )
    )


def table_behind(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """The values of a chart as a collapsed table."""
    more = len(rows) - MAX_TABLE_ROWS
    left_out = [tag("p", text(f"{words.count(more)} more in the JSON."))] if more > 0 else []
    shown = table(caption, head, as_text(rows[:MAX_TABLE_ROWS]))
    return tag(
        "details",
        tag("summary", text("As a table")),
        tag("div", shown, *left_out, class_="scrolls", tabindex="0", role="region", aria_label=caption),
    )


def tile(name: str, value: str, more: str) -> Markup:
    return tag("div", tag("dt", text(name)), tag("dd", tag("strong", text(value)), tag("span", text(more))))


def mark(label: str, *, good: bool) -> Markup:
    """Text in green or red, with a sign for readers who see neither."""
    return tag("span", text(f"{'✓' if good else '✗'} {label}"), class_="good" if good else "bad")


def as_text(rows: Iterable[Sequence[object]]) -> list[tuple[Markup, ...]]:
    return [tuple(text(cell) for cell in row) for row in rows]
