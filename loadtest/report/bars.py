"""Small pictures: the range of a group and the parts of a delivery. Their places are percentages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import htpy as h

from loadtest.report import charts, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.report.charts import Size

RANGES = "○ median, ◆ p99, | slowest"
# Room at both ends for half of a mark, in percent of the width.
_MARGIN = 3.0
# A narrower part has no room for its value, in percent of the width.
_ROOM = 8.0


def ranges(sizes: Sequence[Size]) -> tuple[str, list[h.Node]]:
    """Return the extent of the common axis, and the range of each group on it: median, p99, slowest."""
    values = [value for size in sizes for value in (size.p50, size.p99, size.max) if value is not None]
    log, high = charts.is_log(values), max(values) or 1.0
    low = min(value for value in values if value > 0) if log else 0.0

    def place(value: float) -> str:
        share = math.log(max(value, low) / low) / math.log(high / low) if log else value / high
        return f"{_MARGIN + share * (100 - 2 * _MARGIN):.2f}%"

    extent = f"{words.ms(low) if low else '0'} to {words.ms(high)}{' (log)' if log else ''}"
    return extent, [_range(size, place) for size in sizes]


def stacked(parts: Sequence[tuple[str, str, float]], longest_ms: float) -> h.Element:
    """A bar of parts (name, colour, ms); one of `longest_ms` would fill the width."""
    drawn, so_far = [], 0.0
    for name, colour, value in parts:
        start, wide = (f"{100 * ms / (longest_ms or 1):.2f}%" for ms in (so_far, value))
        part = h.svg(x=start, width=wide)[
            h.title[f"{name} {words.ms(value)}"],
            h.rect(class_=f"part {colour}", width="100%", height="100%", rx="2"),
            _inside(words.ms(value)) if value > longest_ms * _ROOM / 100 else None,
        ]
        drawn.append(part)
        so_far += value
    return h.svg(".bar", aria_hidden="true")[drawn]


def _inside(value: str) -> h.Element:
    return h.text(x="50%", y="50%")[value]


def _range(size: Size, place: Callable[[float], str]) -> h.Node:
    known = [value for value in (size.p50, size.p99, size.max) if value is not None]
    if not known:
        return words.TOO_FEW
    return h.svg(".range", aria_hidden="true")[
        h.line(".span", x1=place(min(known)), x2=place(max(known)), y1="11", y2="11"),
        None if size.p50 is None else h.circle(".median", cx=place(size.p50), cy="11", r="5"),
        None if size.p99 is None else _diamond(place(size.p99)),
        None
        if size.max is None
        else h.line(".slowest", x1=place(size.max), x2=place(size.max), y1="4", y2="18"),
    ]


def _diamond(x: str) -> h.Element:
    # A path has no percentages; an inner svg has.
    return h.svg(x=x, y="11", overflow="visible")[h.path(".p99", d="M-5 0l5 -5l5 5l-5 5Z")]
