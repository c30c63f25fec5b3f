"""Charts of a whole run: the percentile curve, groups by size, stacked bars."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.report import scales, words
from loadtest.report.markup import joined, tag, text
from loadtest.report.plot import (
    BOTTOM_PX,
    HALF_PX,
    LEFT_PX,
    NO_LABELS,
    TICKS_PX,
    TOP_PX,
    WIDE_PX,
    AxisLabels,
    Hover,
    axes,
    end_labels,
    label,
    line,
    ms_labels,
    picture,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadtest.report.markup import Markup
    from loadtest.report.scales import Scale

    Curve = Sequence[Sequence[float]]

ROW_PX = 30.0
BAR_PX = 26.0
BAR_GAP_PX = 16.0
# Number of labels with their own colour.
SIDES = 4
_WHOLE = 100
_DIAMOND_PX = 5.0
# Approximate width of a bold letter.
_LETTER_PX = 7.4
# Smallest width of a bar that has room for its value.
_ROOM_PX = 52.0


@dataclass(frozen=True, slots=True)
class Size:
    """Time in ms until the last member of a group has a message; None with too few samples."""

    label: str
    members: int
    p50: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A stacked bar: its name, and (part, ms) from left to right."""

    name: str
    parts: Sequence[tuple[str, float | None]]


def percentiles(curves: Mapping[str, tuple[str, Curve]]) -> Markup:
    """Percentile curves by class: (name, [(percent, ms), …]); each nine has the same width."""
    drawn = {kind: (name, [p for p in curve if p[0] < _WHOLE]) for kind, (name, curve) in curves.items()}
    drawn = {kind: (name, curve) for kind, (name, curve) in drawn.items() if curve}
    height = 330.0
    right = WIDE_PX - 40.0
    every = [point for _, curve in drawn.values() for point in curve]
    x = scales.of_percentiles(max((percent for percent, _ in every), default=99.0), LEFT_PX, right)
    y = scales.fitting([value for _, value in every], height - BOTTOM_PX, TOP_PX)

    def places(curve: Curve) -> list[tuple[float, float]]:
        return [(x.px(scales.beyond(percent)), y.px(value)) for percent, value in curve]

    grid = sorted({percent for percent, _ in every})
    return picture(
        "percentiles",
        "Percentile curve",
        " ".join(f"{name}: {_curve_in_words(curve)}" for name, curve in drawn.values()),
        (WIDE_PX, height),
        axes(x, y, AxisLabels("percentile", _percentile_tick), ms_labels(y)),
        *(line(places(curve), kind) for kind, (_, curve) in drawn.items()),
        _curves_key(right, [(name, kind) for kind, (name, _) in drawn.items()]),
        hover=[
            Hover(
                x.px(scales.beyond(percent)),
                words.percentile(percent),
                [(name, words.ms(_at(curve, percent))) for name, curve in drawn.values()],
            )
            for percent in grid
        ],
    )


def groups(sizes: Sequence[Size]) -> Markup:
    """A row for each group with its median, p99 and slowest message."""
    left, right = 196.0, HALF_PX - 28.0
    height = TOP_PX + ROW_PX * len(sizes) + TICKS_PX
    values = [value for size in sizes for value in (size.p50, size.p99, size.max) if value is not None]
    x = scales.fitting(values, left, right, wanted_ticks=3)
    bottom = height - TICKS_PX
    y = scales.Scale(0.0, 1.0, bottom, TOP_PX, ())
    rows = []
    for number, size in enumerate(sizes):
        at = TOP_PX + ROW_PX * (number + 0.5)
        name = f"{size.label} · {words.plural(size.members, 'member')}"
        rows.append(label(left - 10, at + 4, _shortened(name), "tick end"))
        rows.append(_range(x, at, size))
    ticks = AxisLabels("", lambda tick: f"{tick:,g} ms")
    return picture(
        "groups",
        "Time until the last member has a message, by group",
        " ".join(_size_in_words(size) for size in sizes),
        (HALF_PX, height),
        axes(x, y, ticks, NO_LABELS),
        _marks_key(right, TOP_PX - 14),
        *rows,
    )


def by_size(sizes: Sequence[Size]) -> Markup:
    """Time until the last member has a message, by members: a median and a slowest line for each label."""
    height, right = 380.0, WIDE_PX - 200.0
    values = [value for size in sizes for value in (size.p50, size.max) if value is not None]
    x = scales.logarithmic([size.members for size in sizes], LEFT_PX, right)
    y = scales.fitting(values, height - BOTTOM_PX, TOP_PX)
    parts, ends = [], []
    for number, name in enumerate(dict.fromkeys(size.label for size in sizes)):
        of_label = sorted((size for size in sizes if size.label == name), key=lambda size: size.members)
        for style, statistic, known in (
            ("solid", "median", [(size.members, size.p50) for size in of_label]),
            ("dashed", "slowest", [(size.members, size.max) for size in of_label]),
        ):
            places = [(x.px(members), y.px(value)) for members, value in known if value is not None]
            kind = f"side-{number % SIDES} {style}"
            parts.append(line(places, kind))
            parts += [tag("circle", class_=f"dot {kind}", cx=at, cy=level, r=3.5) for at, level in places]
            ends += [
                ((right + 10, level), f"{_shortened(name, 16)} {statistic}", kind) for _, level in places[-1:]
            ]
    return picture(
        "sizes",
        "Time until the last member has a message, by group size",
        " ".join(_size_in_words(size) for size in sizes),
        (WIDE_PX, height),
        axes(x, y, AxisLabels("members (log)", words.count), ms_labels(y)),
        *parts,
        end_labels(ends, TOP_PX, y.start_px),
    )


def stacked(name: str, title: str, bars: Sequence[Bar], classes: Mapping[str, str]) -> Markup:
    """Stacked bars; `classes` has the colour of each part."""
    left, right = 84.0, WIDE_PX - 24.0
    height = 8 + (BAR_PX + BAR_GAP_PX) * len(bars) + TICKS_PX
    x = scales.linear([sum(value or 0 for _, value in bar.parts) for bar in bars], left, right)
    y = scales.Scale(0.0, 1.0, height - TICKS_PX, 8.0, ())
    rows = []
    for number, bar in enumerate(bars):
        top = 8 + (BAR_PX + BAR_GAP_PX) * number
        rows.append(label(left - 10, top + BAR_PX / 2 + 4, bar.name, "tick end"))
        rows.append(_bar(x, top, bar, classes))
    described = "; ".join(
        f"{bar.name}: " + ", ".join(f"{part} {words.ms(value)}" for part, value in bar.parts) for bar in bars
    )
    ticks = AxisLabels("", lambda tick: f"{tick:,g} ms")
    return picture(name, title, described, (WIDE_PX, height), axes(x, y, ticks, NO_LABELS), *rows)


def _bar(x: Scale, top: float, bar: Bar, classes: Mapping[str, str]) -> Markup:
    parts, so_far = [], 0.0
    for part, value in bar.parts:
        if value is None:
            continue
        start, end = x.px(so_far), x.px(so_far + value)
        tip = tag("title", text(words.ms(value)))
        # A pixel of background separates the parts.
        wide = max(end - start - 1, 0.5)
        parts.append(tag("rect", tip, class_=classes[part], x=start, y=top, width=wide, height=BAR_PX, rx=2))
        if wide >= _ROOM_PX:
            parts.append(label((start + end) / 2, top + BAR_PX / 2 + 4, words.ms(value), "inside"))
        so_far += value
    return joined(parts)


def _range(x: Scale, at: float, size: Size) -> Markup:
    known = [value for value in (size.p50, size.p99, size.max) if value is not None]
    if not known:
        return label(x.start_px + 6, at + 4, words.TOO_FEW, "tick")
    parts = [tag("line", class_="range", x1=x.px(min(known)), x2=x.px(max(known)), y1=at, y2=at)]
    if size.p50 is not None:
        parts.append(tag("circle", class_="median", cx=x.px(size.p50), cy=at, r=5))
    if size.p99 is not None:
        parts.append(_diamond(x.px(size.p99), at))
    if size.max is not None:
        parts.append(
            tag("line", class_="slowest", x1=x.px(size.max), x2=x.px(size.max), y1=at - 7, y2=at + 7)
        )
    return joined(parts)


def _curves_key(right_px: float, names: Sequence[tuple[str, str]]) -> Markup:
    parts = []
    at, y = right_px, TOP_PX - 14
    for name, kind in reversed(names):
        at -= _LETTER_PX * len(name)
        parts.append(label(at, y, name, f"name {kind}"))
        parts.append(tag("line", class_=f"line {kind}", x1=at - 22, x2=at - 6, y1=y - 4, y2=y - 4))
        at -= 34
    return tag("g", *parts, aria_hidden="true")


def _marks_key(right_px: float, y_px: float) -> Markup:
    middle = y_px - 4
    parts = (
        tag("circle", class_="median", cx=right_px - 160, cy=middle, r=4),
        label(right_px - 152, y_px, "median", "tick"),
        _diamond(right_px - 98, middle),
        label(right_px - 89, y_px, "p99", "tick"),
        tag("line", class_="slowest", x1=right_px - 58, x2=right_px - 58, y1=middle - 5, y2=middle + 5),
        label(right_px - 52, y_px, "slowest", "tick"),
    )
    return tag("g", *parts, aria_hidden="true")


def _diamond(x: float, y: float) -> Markup:
    r = _DIAMOND_PX
    return tag("path", class_="p99", d=f"M{x - r:.1f} {y:.1f}l{r} {-r}l{r} {r}l{-r} {r}Z")


def _at(curve: Curve, percent: float) -> float | None:
    # The next higher percentile of the curve, so that no value looks faster than measured.
    place = bisect.bisect_left(curve, percent, key=lambda point: point[0])
    return curve[place][1] if place < len(curve) else None


def _percentile_tick(tick: float) -> str:
    return "fastest" if tick == 1 else words.percentile(100 * (1 - 1 / tick))


def _curve_in_words(curve: Curve) -> str:
    ends = [point for point in (_nearest(curve, 50), _nearest(curve, 99), curve[-1]) if point is not None]
    return ", ".join(f"{words.percentile(round(p, 3))} {words.ms(value)}" for p, value in ends) + "."


def _nearest(curve: Curve, percent: float) -> Sequence[float] | None:
    value = _at(curve, percent)
    return None if value is None else (percent, value)


def _size_in_words(size: Size) -> str:
    return (
        f"{size.label}, {words.plural(size.members, 'member')}: median {words.ms(size.p50)}, "
        f"p99 {words.ms(size.p99)}, slowest {words.ms(size.max)}."
    )


def _shortened(name: str, at_most: int = 28) -> str:
    return name if len(name) <= at_most else f"{name[: at_most - 1]}…"
