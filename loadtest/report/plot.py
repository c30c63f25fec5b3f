"""The elements of every chart: frame, axes, lines, bands, labels. Values in, SVG text out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from loadtest.report.markup import Markup, joined, tag, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadtest.report.scales import Scale

# Widths in CSS pixels of a chart across the page and across half of it, where text has its natural size.
WIDE_PX = 960.0
HALF_PX = 470.0
# Margins for: y ticks; a key or the y title; x ticks with a title; x ticks alone.
LEFT_PX = 60.0
TOP_PX = 36.0
BOTTOM_PX = 44.0
TICKS_PX = 26.0
LABEL_HEIGHT_PX = 14.0
_TICK_GAP_PX = 7.0
# Moves text from its baseline to the middle of its line.
_MIDDLE_PX = 4.0

# A point in a chart; None leaves a gap.
Point = tuple[float, float] | None
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Hover:
    """The tooltip at `x_px`: a heading, and names with their values."""

    x_px: float
    heading: str
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class AxisLabels:
    """The labels of an axis: its title and its ticks."""

    title: str
    tick: Callable[[float], str]


NO_LABELS = AxisLabels("", lambda _: "")


def ms_labels(scale: Scale) -> AxisLabels:
    """An axis of milliseconds."""
    return AxisLabels("ms (log)" if scale.is_log else "ms", lambda tick: f"{tick:,g}")


def picture(
    name: str,
    title: str,
    description: str,
    size: tuple[float, float],
    *parts: Markup,
    hover: Iterable[Hover] = (),
) -> Markup:
    """A chart of `size` (width, height) with a title and a description for screen readers.

    `name` is unique in the page. With `hover`, the page's script shows a crosshair and a tooltip.
    """
    width, height = size
    tips = [(round(one.x_px, 1), one.heading, list(one.lines)) for one in hover]
    return tag(
        "svg",
        tag("title", text(title), id=f"{name}-title"),
        tag("desc", text(description), id=f"{name}-desc"),
        *parts,
        *([tag("line", class_="cross", y1=0.0, y2=height, x1=0.0, x2=0.0)] if tips else []),
        class_="chart",
        id=name,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        data_hover=json.dumps(tips, ensure_ascii=False, separators=(",", ":")) if tips else None,
    )


def axes(x: Scale, y: Scale, x_labels: AxisLabels, y_labels: AxisLabels) -> Markup:
    """Grid lines, ticks and titles; the y title stands above its axis, unrotated."""
    left, right, bottom, top = x.start_px, x.end_px, y.start_px, y.end_px
    parts = []
    for tick in y.ticks:
        at = y.px(tick)
        parts.append(tag("line", class_="grid", x1=left, x2=right, y1=at, y2=at))
        parts.append(label(left - _TICK_GAP_PX, at + _MIDDLE_PX, y_labels.tick(tick), "tick end"))
    parts.append(tag("line", class_="base", x1=left, x2=right, y1=bottom, y2=bottom))
    for tick in x.ticks:
        at = x.px(tick)
        parts.append(tag("line", class_="mark", x1=at, x2=at, y1=bottom, y2=bottom + 4))
        parts.append(label(at, bottom + 4 + LABEL_HEIGHT_PX, x_labels.tick(tick), "tick middle"))
    parts.append(label(left - _TICK_GAP_PX, top - LABEL_HEIGHT_PX, y_labels.title, "axis"))
    parts.append(label(right, bottom + 6 + 2 * LABEL_HEIGHT_PX, x_labels.title, "axis end"))
    return tag("g", *parts, class_="axes", aria_hidden="true")


def line(points: Iterable[Point], kind: str) -> Markup:
    """A line through the points, with a gap at None; a single point becomes a dot."""
    return joined(
        tag("path", class_=f"line {kind}", d=_through(run))
        if len(run) > 1
        else tag("circle", class_=f"dot {kind}", cx=run[0][0], cy=run[0][1], r=2.5)
        for run in _runs(points)
    )


def steps(points: Sequence[tuple[float, float]], right_px: float) -> list[tuple[float, float]]:
    """Turn points into stairs: each value holds until the next point, the last one until `right_px`."""
    held = []
    ends = [*(x for x, _ in points[1:]), right_px]
    for (x, y), end in zip(points, ends, strict=True):
        held += [(x, y), (end, y)]
    return held


def band(lower: Iterable[Point], upper: Iterable[Point], kind: str) -> Markup:
    """The area between two lines where both have values."""
    pairs = [
        None if low is None or high is None else (low, high) for low, high in zip(lower, upper, strict=True)
    ]
    parts = []
    for run in _runs(pairs):
        outline = [high for _, high in run] + [low for low, _ in reversed(run)]
        parts.append(tag("path", class_=f"area {kind}", d=f"{_through(outline)}Z"))
    return joined(parts)


def label(x_px: float, y_px: float, words: str, kind: str) -> Markup:
    return tag("text", text(words), class_=kind, x=x_px, y=y_px)


def end_labels(
    labels: Iterable[tuple[tuple[float, float], str, str]], top_px: float, low_px: float
) -> Markup:
    """Names at the ends of lines, as (place, name, kind), moved apart so that they do not overlap."""
    ordered = sorted(labels, key=lambda one: one[0][1])
    places = [y for (_, y), _, _ in ordered]
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + LABEL_HEIGHT_PX)
    floor = low_px
    for at in reversed(range(len(places))):
        places[at] = max(min(places[at], floor), top_px)
        floor = places[at] - LABEL_HEIGHT_PX
    return joined(
        label(x, y + _MIDDLE_PX, words, f"name {kind}")
        for y, ((x, _), words, kind) in zip(places, ordered, strict=True)
    )


def _runs(items: Iterable[Item | None]) -> list[list[Item]]:
    runs: list[list[Item]] = [[]]
    for item in items:
        if item is not None:
            runs[-1].append(item)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _through(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
