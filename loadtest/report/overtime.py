"""Charts over the time of the run."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from loadtest.report import scales, words
from loadtest.report.markup import joined, tag
from loadtest.report.plot import (
    BOTTOM_PX,
    HALF_PX,
    LEFT_PX,
    NO_LABELS,
    TOP_PX,
    WIDE_PX,
    AxisLabels,
    Hover,
    Point,
    axes,
    band,
    end_labels,
    label,
    line,
    ms_labels,
    picture,
    steps,
)
from loadtest.results.result import Second

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadtest.report.markup import Markup
    from loadtest.report.scales import Scale

# More points would be closer together than pixels.
MAX_POINTS = 480
# Room at the right: for names of lines, or half of the last tick.
_NAMES_PX = 56.0
_TICK_PX = 20.0
_LONG_S = 120
_WORST = ("users", "p50", "p90", "p99", "max", "loop_lag_ms_max", "cpu")
_SUMMED = ("sent", "expected", "delivered")


@dataclass(frozen=True, slots=True)
class Row(Second):
    """One point of a chart: `seconds` seconds with the sums of their counts and the worst of the rest."""

    seconds: int = 1


def thinned(series: Sequence[Second], at_most: int = MAX_POINTS) -> list[Row]:
    """Merge seconds into at most so many rows."""
    together = max(-(-len(series) // at_most), 1)
    return [_merged(series[at : at + together]) for at in range(0, len(series), together)]


def _merged(seconds: Sequence[Second]) -> Row:
    values: dict[str, Any] = {name: sum(map(attrgetter(name), seconds)) for name in _SUMMED}
    for name in _WORST:
        known = (value for value in map(attrgetter(name), seconds) if value is not None)
        values[name] = max(known, default=None)
    return Row(t_s=seconds[0].t_s, seconds=len(seconds), **values)


def latency(
    rows: Sequence[Row],
    *,
    limits: Sequence[tuple[str, float]] = (),
    stages: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Bands from the median to the slowest delivery.

    `limits` are thresholds (name, ms), `stages` their starts (seconds, name).
    """
    time = _time(rows, WIDE_PX)
    lines = {"max": "q-max", "p99": "q-99", "p90": "q-90", "p50": "q-50"}
    shown = [value for row in rows for key in lines if (value := getattr(row, key)) is not None]
    height = 330.0
    y = scales.fitting([*shown, *(limit for _, limit in limits)], height - BOTTOM_PX, TOP_PX)

    def at(*keys: str) -> list[Point]:
        return [_place(time, y, row, keys) for row in rows]

    last = {
        key: next((one for row in reversed(rows) if (one := getattr(row, key)) is not None), None)
        for key in lines
    }
    right = time.end_px + 8
    names = [((right, y.px(value)), key, lines[key]) for key, value in last.items() if value is not None]
    return picture(
        "latency",
        "Delivery latency over time",
        _range_in_words(rows),
        (WIDE_PX, height),
        axes(time, y, _time_labels(rows), ms_labels(y)),
        band(at("p99", "p90"), at("max"), "q-max"),
        band(at("p90"), at("p99", "max"), "q-99"),
        band(at("p50"), at("p90", "max"), "q-90"),
        *(line(at(key), kind) for key, kind in lines.items()),
        *(_limit(time, y, name, value) for name, value in limits),
        *(_stage(time, y, name, begins_s) for begins_s, name in stages),
        end_labels(names, TOP_PX, y.start_px),
        hover=_hovers(time, rows, lambda row: [(key, words.ms(getattr(row, key))) for key in lines]),
    )


def deliveries(rows: Sequence[Row]) -> Markup:
    """Received and expected deliveries by the second their message was due; users below."""
    time = _time(rows, HALF_PX)
    height = 330.0
    came = [row.delivered / row.seconds for row in rows]
    due = [row.expected / row.seconds for row in rows]
    upper = scales.linear([*came, *due], 206.0, TOP_PX)
    lower = scales.linear([row.users for row in rows], height - BOTTOM_PX, 248.0, wanted_ticks=2)
    delivered, expected = _stairs(time, upper, rows, came), _stairs(time, upper, rows, due)
    users = _stairs(time, lower, rows, [row.users for row in rows])
    return picture(
        "deliveries",
        "Delivered and expected",
        f"{words.count(sum(row.delivered for row in rows))} of "
        f"{words.count(sum(row.expected for row in rows))} expected deliveries arrived, "
        f"with up to {words.plural(max(row.users for row in rows), 'user')}.",
        (HALF_PX, height),
        axes(time, upper, NO_LABELS, AxisLabels("deliveries a second", words.rate)),
        band([(x, upper.start_px) for x, _ in delivered], delivered, "delivered"),
        band(delivered, expected, "missing"),
        line(expected, "expected"),
        _lost_marks(time, upper, rows),
        _key(time.end_px, TOP_PX - 14),
        axes(time, lower, _time_labels(rows), AxisLabels("users", words.count)),
        band([(x, lower.start_px) for x, _ in users], users, "users"),
        line(users, "users"),
        hover=_hovers(
            time,
            rows,
            lambda row: [
                ("expected", words.count(row.expected)),
                ("delivered", words.count(row.delivered)),
                ("users", words.count(row.users)),
            ],
        ),
    )


def harness(rows: Sequence[Row]) -> Markup:
    """The harness: lag of its event loop, and CPU of its busiest process."""
    time = _time(rows, HALF_PX)
    height = 330.0
    lag = scales.linear([row.loop_lag_ms_max for row in rows], 146.0, TOP_PX, wanted_ticks=4)
    cpu = scales.Scale(0.0, 1.0, height - BOTTOM_PX, 204.0, (0.0, 0.5, 1.0))
    return picture(
        "harness",
        "The harness over time",
        f"Loop lag up to {words.ms(max((row.loop_lag_ms_max for row in rows), default=0))}, "
        f"CPU up to {words.share(max((row.cpu for row in rows), default=0))} of one core.",
        (HALF_PX, height),
        axes(time, lag, NO_LABELS, AxisLabels("longest loop lag, ms", lambda tick: f"{tick:,g}")),
        line([_place(time, lag, row, ("loop_lag_ms_max",)) for row in rows], "lag"),
        axes(time, cpu, _time_labels(rows), AxisLabels("CPU, share of a core", words.share)),
        line([_place(time, cpu, row, ("cpu",)) for row in rows], "cpu"),
        hover=_hovers(
            time,
            rows,
            lambda row: [("loop lag", words.ms(row.loop_lag_ms_max)), ("CPU", words.share(row.cpu))],
        ),
    )


def _time(rows: Sequence[Row], width_px: float) -> Scale:
    duration_s = rows[-1].t_s + rows[-1].seconds
    return scales.of_time(duration_s, LEFT_PX, width_px - (_NAMES_PX if width_px == WIDE_PX else _TICK_PX))


def _place(time: Scale, y: Scale, row: Row, keys: Sequence[str]) -> Point:
    # The first statistic with enough samples.
    value = _first(getattr(row, key) for key in keys)
    return None if value is None else (time.px(row.t_s), y.px(value))


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _stairs(time: Scale, y: Scale, rows: Sequence[Row], values: Sequence[float]) -> list[tuple[float, float]]:
    places = [(time.px(row.t_s), y.px(value)) for row, value in zip(rows, values, strict=True)]
    return steps(places, time.end_px)


def _time_labels(rows: Sequence[Row]) -> AxisLabels:
    long = rows[-1].t_s > _LONG_S
    return AxisLabels("time since the start", lambda tick: words.moment(tick, long=long))


def _limit(time: Scale, y: Scale, name: str, value: float) -> Markup:
    at = y.px(value)
    parts = (
        tag("line", class_="limit", x1=time.start_px, x2=time.end_px, y1=at, y2=at),
        label(time.start_px + 6, at - 5, name, "limit"),
    )
    return joined(parts)


def _stage(time: Scale, y: Scale, name: str, begins_s: float) -> Markup:
    at = time.px(begins_s)
    parts = (
        tag("line", class_="stage", x1=at, x2=at, y1=y.start_px, y2=y.end_px - 16),
        label(at + 4, y.end_px - 8, name, "stage"),
    )
    return joined(parts)


def _lost_marks(time: Scale, y: Scale, rows: Sequence[Row]) -> Markup:
    # A few lost among thousands would be too thin to see.
    places = (
        (row.t_s + row.seconds / 2, row.expected / row.seconds)
        for row in rows
        if row.delivered < row.expected
    )
    return joined(tag("circle", class_="lost", cx=time.px(t_s), cy=y.px(rate), r=4) for t_s, rate in places)


def _key(right_px: float, y_px: float) -> Markup:
    parts = (
        tag("line", class_="line expected", x1=right_px - 152, x2=right_px - 132, y1=y_px - 4, y2=y_px - 4),
        label(right_px - 128, y_px, "expected", "tick"),
        tag("rect", class_="area delivered", x=right_px - 68, y=y_px - 9, width=10, height=10),
        label(right_px - 54, y_px, "delivered", "tick"),
    )
    return tag("g", *parts, aria_hidden="true")


def _hovers(
    time: Scale, rows: Sequence[Row], lines: Callable[[Row], Sequence[tuple[str, str]]]
) -> list[Hover]:
    long = rows[-1].t_s > _LONG_S
    return [Hover(time.px(row.t_s), words.moment(row.t_s, long=long), lines(row)) for row in rows]


def _range_in_words(rows: Sequence[Row]) -> str:
    slowest = max((row.max for row in rows if row.max is not None), default=None)
    medians = [row.p50 for row in rows if row.p50 is not None]
    if slowest is None or not medians:
        return "No second had enough deliveries for a median."
    return (
        f"Second by second, the median lies between {words.ms(min(medians))} and {words.ms(max(medians))}; "
        f"the slowest delivery took {words.ms(slowest)}."
    )
