"""Charts as data: charts.js draws them with uPlot, and shows values and zooms."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import htpy as h
import msgspec

from loadtest.report import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.report.thinning import Row

    Curve = Sequence[tuple[float, float]]

Values = Sequence[float | None]
# With a larger spread, a linear axis would show small values as a flat line.
_LOG_SPREAD = 12.0
# A microsecond, in ms: the resolution of all latencies.
_LEAST_MS = 0.001
_WHOLE = 100
_X_DIGITS = 9
_DIGITS = 3
# Colours of the labels in a comparison, which repeat.
_SIDES = ("blue", "orange", "teal", "rose")
_HINT = "Drag to zoom, double-click to reset. Keys: arrows, +, -, Esc."


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line. None is a gap. `ink` and `fill` are colours of style.css; `told` replaces values in the legend.

    An edge is invisible: it bounds a band.
    """

    name: str
    values: Values
    ink: str = ""
    width: float = 2.0
    style: Literal["line", "steps", "points", "dots", "edge"] = "line"
    dashed: bool = False
    fill: str = ""
    told: Values = ()


class Panel(msgspec.Struct, frozen=True, omit_defaults=True):
    """One plot of a chart. Panels over time share cursor and zoom.

    `bands` are filled areas: (upper line, lower line, colour). `limits` are thresholds (name, value),
    `stages` their starts (seconds, name). Time has an additional last x, where the last value ends.
    """

    x_axis: Literal["time", "percentile", "members"]
    unit: Literal["ms", "count", "rate", "share"]
    title: str
    height: int
    x: Sequence[float]
    lines: Sequence[Line]
    is_log: bool = False
    bands: Sequence[tuple[int, int, str]] = ()
    limits: Sequence[tuple[str, float]] = ()
    stages: Sequence[tuple[float, str]] = ()
    missing: str = words.TOO_FEW


@dataclass(frozen=True, slots=True)
class Size:
    """Time in ms until the last member of a group has a message; None with too few samples."""

    label: str
    members: int
    p50: float | None
    p99: float | None
    max: float | None


def latency(
    rows: Sequence[Row],
    *,
    limits: Sequence[tuple[str, float]] = (),
    stages: Sequence[tuple[float, str]] = (),
) -> h.Element:
    """Bands from the median to the slowest delivery. `limits` and `stages` as in Panel."""
    shown = [value for row in rows for value in (row.p50, row.p90, row.p99, row.max) if value is not None]
    # Each band reaches up to the next known percentile.
    edges = [
        Line("", [_first(row, keys) for row in rows], style="edge")
        for keys in (("max",), ("p99", "max"), ("p90", "max"))
    ]
    panel = Panel(
        "time",
        "ms",
        "ms",
        330,
        _times(rows),
        [
            *edges,
            Line("max", [row.max for row in rows], "grey", 1),
            Line("p99", [row.p99 for row in rows], "blue"),
            Line("p90", [row.p90 for row in rows], "blue", 1),
            Line("p50", [row.p50 for row in rows], "text"),
        ],
        is_log([*shown, *(limit for _, limit in limits)]),
        bands=[(0, 1, "band-far"), (1, 2, "band-mid"), (2, 6, "band-near")],
        limits=limits,
        stages=stages,
    )
    return _chart("latency", "Delivery latency over time", _range_in_words(rows), panel)


def percentiles(curves: Mapping[str, tuple[str, Curve]]) -> h.Element:
    """Percentile curves by colour: (name, [(percent, ms), …]); each nine has the same width."""
    drawn = {ink: (name, [p for p in curve if p[0] < _WHOLE]) for ink, (name, curve) in curves.items()}
    drawn = {ink: (name, curve) for ink, (name, curve) in drawn.items() if curve}
    grid = sorted({percent for _, curve in drawn.values() for percent, _ in curve})
    panel = Panel(
        "percentile",
        "ms",
        "ms",
        330,
        [round(1 / (1 - percent / _WHOLE), _X_DIGITS) for percent in grid],
        [
            Line(name, list(map(dict(curve).get, grid)), ink, told=[_at(curve, percent) for percent in grid])
            for ink, (name, curve) in drawn.items()
        ],
        is_log([value for _, curve in drawn.values() for _, value in curve]),
    )
    told = " ".join(f"{name}: {_curve_in_words(curve)}" for name, curve in drawn.values())
    return _chart("percentiles", "Percentile curve", told, panel)


def deliveries(rows: Sequence[Row]) -> h.Element:
    """Received and expected deliveries by the second their message was due; users below."""
    expected = [row.expected / row.seconds for row in rows]
    lost = [row.expected - row.delivered for row in rows]
    lines = [
        Line(
            "delivered",
            [row.delivered / row.seconds for row in rows],
            "band-mid",
            style="steps",
            fill="band-mid",
            told=[row.delivered for row in rows],
        ),
        Line("expected", expected, "text", 1.5, "steps", dashed=True, told=[row.expected for row in rows]),
    ]
    if any(lost):
        # A few lost among thousands would be too thin to see.
        marks = [rate if number else None for rate, number in zip(expected, lost, strict=True)]
        lines.append(Line("lost", marks, "bad", style="dots", told=lost))
    users = Line("users", [row.users for row in rows], "grey", style="steps", fill="grid")
    return _chart(
        "deliveries",
        "Delivered and expected",
        f"{words.count(sum(row.delivered for row in rows))} of "
        f"{words.count(sum(row.expected for row in rows))} expected deliveries arrived, "
        f"with up to {words.plural(max(row.users for row in rows), 'user')}.",
        Panel("time", "rate", "deliveries a second", 200, _times(rows), lines, bands=[(1, 0, "bad")]),
        Panel("time", "count", "users", 130, _times(rows), [users]),
    )


def harness(rows: Sequence[Row]) -> h.Element:
    """The harness: lag of its event loop, and CPU of its busiest process."""
    lag = Line("longest loop lag", [row.loop_lag_ms_max for row in rows], "orange")
    cpu = Line("CPU", [row.cpu for row in rows], "teal")
    return _chart(
        "harness",
        "The harness over time",
        f"Loop lag up to {words.ms(max((row.loop_lag_ms_max for row in rows), default=0))}, "
        f"CPU up to {words.share(max((row.cpu for row in rows), default=0))} of one core.",
        Panel("time", "ms", "ms", 150, _times(rows), [lag]),
        Panel("time", "share", "share of a core", 170, _times(rows), [cpu]),
    )


def by_size(sizes: Sequence[Size]) -> h.Element:
    """Time until the last member has a message, by members: a median and a slowest line for each label."""
    grid = sorted({size.members for size in sizes})
    lines = []
    for number, label in enumerate(dict.fromkeys(size.label for size in sizes)):
        of_label = {size.members: size for size in sizes if size.label == label}
        for name, statistic in (("slowest", "max"), ("median", "p50")):
            values = [getattr(of_label.get(members), statistic, None) for members in grid]
            if any(value is not None for value in values):
                dashed = statistic == "max"
                ink = _SIDES[number % len(_SIDES)]
                lines.append(Line(f"{label} {name}", values, ink, style="points", dashed=dashed))
    shown = [value for line in lines for value in line.values if value is not None]
    told = " ".join(
        f"{size.label}, {words.plural(size.members, 'member')}: median {words.ms(size.p50)}, "
        f"p99 {words.ms(size.p99)}, slowest {words.ms(size.max)}."
        for size in sizes
    )
    title = "Time until the last member has a message, by group size"
    panel = Panel("members", "ms", "ms", 400, grid, lines, is_log(shown), missing="-")
    return _chart("sizes", title, told, panel)


def is_log(values: Sequence[float]) -> bool:
    """Tell whether positive values span too much for a linear axis."""
    positive = [value for value in values if value >= _LEAST_MS]
    return bool(positive) and max(positive) > _LOG_SPREAD * min(positive)


def _chart(name: str, title: str, description: str, *panels: Panel) -> h.Element:
    data = msgspec.json.encode(panels).decode()
    return h.div(
        ".chart",
        id=name,
        role="group",
        tabindex="0",
        aria_label=title,
        aria_describedby=f"{name}-described",
        data_panels=data,
    )[h.p(".hidden", id=f"{name}-described")[description], h.p(".hint")[_HINT]]


def _times(rows: Sequence[Row]) -> list[float]:
    return [*(row.t_s for row in rows), rows[-1].t_s + rows[-1].seconds]


def _first(row: Row, keys: Sequence[str]) -> float | None:
    # Without a median there is no band.
    if row.p50 is None:
        return None
    return next((value for key in keys if (value := getattr(row, key)) is not None), None)


def _at(curve: Curve, percent: float) -> float | None:
    # The next higher percentile of the curve, so that no value looks faster than measured.
    place = bisect.bisect_left(curve, percent, key=lambda point: point[0])
    return curve[place][1] if place < len(curve) else None


def _curve_in_words(curve: Curve) -> str:
    ends = [(percent, value) for percent in (50, 99) if (value := _at(curve, percent)) is not None]
    told = (f"{words.percentile(round(p, 3))} {words.ms(value)}" for p, value in (*ends, curve[-1]))
    return f"{', '.join(told)}."


def _range_in_words(rows: Sequence[Row]) -> str:
    slowest = max((row.max for row in rows if row.max is not None), default=None)
    medians = [row.p50 for row in rows if row.p50 is not None]
    if slowest is None or not medians:
        return "No second had enough deliveries for a median."
    return (
        f"Second by second, the median lies between {words.ms(min(medians))} and {words.ms(max(medians))}; "
        f"the slowest delivery took {words.ms(slowest)}."
    )
