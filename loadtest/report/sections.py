"""The parts of the page with charts, each with a table of its values."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import htpy as h

from loadtest.report import bars, charts, verdicts, words
from loadtest.report.cards import card, empty_card, table, table_behind
from loadtest.report.charts import Size
from loadtest.report.thinning import thinned
from loadtest.results.result import EXPRESS, STREAM, STREAM_OFFER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.results.result import DeliveryPath, GroupRow, Result

# The others are in a collapsed table.
MAX_GROUP_ROWS = 12
_CURVES = {
    "ack_ms": ("teal", "ack"),
    "delivery_ms": ("blue", "each delivery"),
    "group_complete_ms": ("orange", "last delivery"),
}
_METRICS = {
    "connect_ms": "connect",
    "ack_ms": "ack to the sender",
    "delivery_ms": "each delivery",
    "group_complete_ms": "last delivery of a message",
}
_STATISTICS = ("min", "mean", "p50", "p90", "p95", "p99", "p99_9", "max")
_PATHS = {
    EXPRESS: "Offered by sendMessage",
    STREAM_OFFER: "Offered by the stream",
    STREAM: "Posted from the stream",
}
# By the two points of a part: its name, colour and description.
_PARTS = {
    ("accepted", "stored"): (
        "stored",
        "part-0",
        "The gateway received the frame; sendMessage stored and acknowledged the message.",
    ),
    ("accepted", "offered"): (
        "offered",
        "part-0",
        "The gateway received the frame; sendMessage stored the message and offered it to DeliveryQueue.",
    ),
    ("stored", "read"): ("stream read", "part-1", "It waited in the table's stream until the next poll."),
    ("read", "offered"): ("offered", "part-5", "fanoutMessage offered it to DeliveryQueue."),
    ("read", "received"): ("received", "part-2", "Its batch of the stream reached fanoutMessage."),
    ("offered", "received"): ("received", "part-2", "It waited in DeliveryQueue."),
    ("received", "first_post"): (
        "first post",
        "part-6",
        "fanoutMessage read the members and posted to the first.",
    ),
    ("first_post", "last_post"): ("last post", "part-3", "fanoutMessage posted it to all other members."),
    ("last_post", "delivered"): ("delivered", "part-4", "The gateway pushed it to the receivers."),
}


def latency(result: Result) -> h.Element:
    rows = thinned(result.series)
    if all(row.max is None for row in rows):
        return empty_card("latency-over-time", "Latency over time")
    statistics = ("p50", "p90", "p99", "max")
    by_second: list[tuple[h.Node, ...]] = [
        (row.t_s, words.count(row.users), *(words.ms(getattr(row, key)) for key in statistics))
        for row in rows
    ]
    return card(
        "latency-over-time",
        "Latency over time",
        f"From a message's due time until each member had it; {_grain(result, rows)}"
        f"{verdicts.caveat(result)}",
        charts.latency(rows, limits=verdicts.limits(result), stages=_stage_marks(result)),
        table_behind("Delivery latency by second", ("second", "users", *statistics), by_second),
    )


def percentiles(result: Result) -> h.Element:
    metrics = result.metrics
    curves = {kind: (name, getattr(metrics, metric).curve) for metric, (kind, name) in _CURVES.items()}
    if not any(curve for _, curve in curves.values()):
        return empty_card("percentile-curve", "Percentiles")
    rows = [
        (name, words.count(metric.count), *(words.ms(getattr(metric, key)) for key in _STATISTICS))
        for metric, name in ((getattr(metrics, key), name) for key, name in _METRICS.items())
    ]
    head = ("metric", "samples", *(key.replace("_", ".") for key in _STATISTICS))
    return card(
        "percentile-curve",
        "Percentiles",
        "Each tick to the right is ten times rarer. A curve ends where fewer than 10 samples lie beyond it."
        + verdicts.caveat(result),
        charts.percentiles(curves),
        table_behind("Percentiles of each metric", head, rows),
    )


def deliveries(result: Result) -> h.Element:
    rows = thinned(result.series)
    if not rows:
        return empty_card("delivered-against-expected", "Delivered and expected")
    counts = ("users", "sent", "expected", "delivered")
    by_second: list[tuple[h.Node, ...]] = [
        (row.t_s, *(words.count(getattr(row, key)) for key in counts)) for row in rows
    ]
    return card(
        "delivered-against-expected",
        "Delivered and expected",
        "By the second their message was due. Lost deliveries are red.",
        charts.deliveries(rows),
        table_behind("Deliveries by second", ("second", *counts), by_second),
    )


def groups(result: Result) -> h.Element:
    every = [
        (Size(row.group, row.members, row.complete_ms_p50, row.complete_ms_p99, row.complete_ms_max), row)
        for row in result.groups
    ]
    slowest_first = sorted(every, key=lambda one: one[0].max or 0, reverse=True)
    shown = sorted(slowest_first[:MAX_GROUP_ROWS], key=lambda one: (one[0].members, one[0].label))
    if all(size.max is None for size, _ in shown):
        return empty_card("group-size", "Group size and completion")
    extent, drawn = bars.ranges([size for size, _ in shown])
    rows = [
        (label, range_, *numbers)
        for range_, (label, *numbers) in zip(drawn, (_group(*one) for one in shown), strict=True)
    ]
    head = ("members", "messages", "median", "p99", "slowest")
    left_out = len(every) > len(shown)
    only = f" The {len(shown)} slowest of {words.plural(len(every), 'group')}." if left_out else ""
    return card(
        "group-size",
        "Group size and completion",
        f"From a message's due time until the last member had it: {bars.RANGES}.{only}"
        f"{verdicts.caveat(result)}",
        table("Completion by group", ("group", extent, *head), rows, texts=2),
        table_behind("Completion of all groups", ("group", *head), [_group(*one) for one in every])
        if left_out
        else None,
    )


def _group(size: Size, row: GroupRow) -> tuple[str, ...]:
    latencies = map(words.ms, (size.p50, size.p99, size.max))
    return (size.label, words.count(size.members), words.count(row.messages), *latencies)


def where(result: Result) -> h.Element | None:
    """The parts of the delivery time by path; None without a timeline."""
    if not result.where:
        return None
    return card(
        "where-the-time-goes",
        "Where the time goes",
        "Messages offered by sendMessage skip the stream, which is polled 4 times a second. "
        "Each part has other slow messages, so a bar of p99s is longer than the p99 of the whole."
        + verdicts.caveat(result),
        map(_path, result.where),
    )


def _path(path: DeliveryPath) -> h.Fragment:
    parts = [(_PARTS[part.begin, part.end], part.times) for part in path.parts]
    title = f"{_PATHS[path.name]}: {words.plural(parts[0][1].count, 'message')}"
    rows = [
        (
            (h.span(class_=f"swatch {colour}"), part),
            meaning,
            *map(words.ms, (times.p50, times.p90, times.p99, times.max)),
        )
        for (part, colour, meaning), times in parts
    ]
    return h.fragment[
        h.h3[title],
        _bars(path),
        table(f"Parts: {title}", ("part", "meaning", "median", "p90", "p99", "max"), rows, texts=2),
    ]


def _bars(path: DeliveryPath) -> h.Element | None:
    known = {
        name: [
            (*_PARTS[part.begin, part.end][:2], value)
            for part in path.parts
            if (value := getattr(part.times, statistic)) is not None
        ]
        for statistic, name in (("p50", "median"), ("p90", "p90"), ("p99", "p99"))
    }
    sums = {
        name: sum(value for *_, value in parts)
        for name, parts in known.items()
        if len(parts) == len(path.parts)
    }
    if not sums:
        return None
    longest_ms = max(sums.values())
    return h.div(".figure")[
        h.dl(".bars")[
            (
                (h.dt[name], h.dd[bars.stacked(known[name], longest_ms), h.span[words.ms(total)]])
                for name, total in sums.items()
            )
        ]
    ]


def _stage_marks(result: Result) -> list[tuple[float, str]]:
    stages = result.scenario.stages
    starts_s = accumulate((stage.duration_s for stage in stages), initial=0.0)
    marks = [(at, words.plural(stage.users, "user")) for at, stage in zip(starts_s, stages, strict=False)]
    # The first one starts at the origin.
    return marks[1:]


def _grain(result: Result, rows: Sequence[object]) -> str:
    together = -(-len(result.series) // len(rows))
    return "one point a second." if together == 1 else f"each point is the worst of {together} seconds."
