"""The elements of the page: cards, tables, tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import htpy as h

from loadtest.report import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_TABLE_ROWS = 500


def card(identity: str, title: str, lead: str | None, *content: h.Node, kind: str = "") -> h.Element:
    """A section with a heading."""
    return h.section(class_=["card", kind], id=identity, aria_labelledby=f"{identity}-heading")[
        h.h2(id=f"{identity}-heading")[title],
        h.p(".lead")[lead] if lead else None,
        content,
    ]


def empty_card(identity: str, title: str) -> h.Element:
    return card(identity, title, "There were too few samples to draw.")


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[h.Node]], *, texts: int = 1
) -> h.Element:
    """A table whose first `texts` columns hold text, the others numbers. It scrolls on narrow screens."""
    kinds = [None if at < texts else "number" for at in range(len(head))]
    return h.div(".figure")[
        h.table[
            h.caption(".hidden")[caption],
            h.thead[
                h.tr[(h.th(scope="col", class_=kind)[name] for name, kind in zip(head, kinds, strict=True))]
            ],
            h.tbody[
                (
                    h.tr[
                        h.th(scope="row")[row[0]],
                        (h.td(class_=kind)[cell] for cell, kind in zip(row[1:], kinds[1:], strict=True)),
                    ]
                    for row in rows
                )
            ],
        ]
    ]


def table_behind(caption: str, head: Sequence[str], rows: Sequence[Sequence[h.Node]]) -> h.Element:
    """The values of a chart as a collapsed table."""
    more = len(rows) - MAX_TABLE_ROWS
    return h.details[
        h.summary["As a table"],
        h.div(".scrolls", tabindex="0", role="region", aria_label=caption)[
            table(caption, head, rows[:MAX_TABLE_ROWS]),
            h.p[f"{words.count(more)} more in the JSON."] if more > 0 else None,
        ],
    ]


def tile(name: str, value: str, more: str) -> h.Element:
    return h.div[h.dt[name], h.dd[h.strong[value], h.span[more]]]


def mark(label: str, *, good: bool) -> h.Element:
    """Text in green or red, with a sign for readers who see neither."""
    return h.span(class_="good" if good else "bad")[f"{'✓' if good else '✗'} {label}"]
