"""The parts of the page with charts, each with a table of its values."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from loadtest.report import distributions, overtime, verdicts, words
from loadtest.report.cards import as_text, card, empty_card, figure, table, table_behind
from loadtest.report.markup import Markup, joined, tag, text
from loadtest.results.result import EXPRESS, STREAM, STREAM_OFFER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.results.result import DeliveryPath, Result

MAX_GROUP_ROWS = 12
# A table with more rows is collapsed.
OPEN_ROWS = 4
_CURVES = {
    "ack_ms": ("curve-ack", "ack"),
    "delivery_ms": ("curve-delivery", "each delivery"),
    "group_complete_ms": ("curve-complete", "last delivery"),
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


def latency(result: Result) -> Markup:
    rows = overtime.thinned(result.series)
    if all(row.max is None for row in rows):
        return empty_card("latency-over-time", "Latency over time")
    statistics = ("p50", "p90", "p99", "max")
    by_second = [
        (row.t_s, words.count(row.users), *(words.ms(getattr(row, key)) for key in statistics))
        for row in rows
    ]
    return card(
        "latency-over-time",
        "Latency over time",
        f"From a message's due time until each member had it; {_grain(result, rows)}"
        f"{verdicts.caveat(result)}",
        figure(overtime.latency(rows, limits=verdicts.limits(result), stages=_stage_marks(result))),
        table_behind("Delivery latency by second", ("second", "users", *statistics), by_second),
    )


def percentiles(result: Result) -> Markup:
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
        figure(distributions.percentiles(curves)),
        table_behind("Percentiles of each metric", head, rows),
    )


def deliveries(result: Result) -> Markup:
    rows = overtime.thinned(result.series)
    if not rows:
        return empty_card("delivered-against-expected", "Delivered and expected")
    counts = ("users", "sent", "expected", "delivered")
    by_second = [(row.t_s, *(words.count(getattr(row, key)) for key in counts)) for row in rows]
    return card(
        "delivered-against-expected",
        "Delivered and expected",
        "By the second their message was due. Lost deliveries are red.",
        figure(overtime.deliveries(rows)),
        table_behind("Deliveries by second", ("second", *counts), by_second),
    )


def groups(result: Result) -> Markup:
    every = [
        distributions.Size(
            row.group, row.members, row.complete_ms_p50, row.complete_ms_p99, row.complete_ms_max
        )
        for row in result.groups
    ]
    slowest_first = sorted(every, key=lambda size: size.max or 0, reverse=True)
    shown = sorted(slowest_first[:MAX_GROUP_ROWS], key=lambda size: (size.members, size.label))
    if all(size.max is None for size in shown):
        return empty_card("group-size", "Group size and completion")
    left_out = len(every) > len(shown)
    only = f" The {len(shown)} slowest of {words.plural(len(every), 'group')}." if left_out else ""
    messages = [row.messages for row in result.groups]
    by_group = [
        (
            size.label,
            words.count(size.members),
            words.count(number),
            *map(words.ms, (size.p50, size.p99, size.max)),
        )
        for size, number in zip(every, messages, strict=True)
    ]
    return card(
        "group-size",
        "Group size and completion",
        f"From a message's due time until the last member had it.{only}{verdicts.caveat(result)}",
        figure(distributions.groups(shown)),
        _groups_table(by_group),
    )


def _groups_table(rows: Sequence[Sequence[str]]) -> Markup:
    caption, head = "Completion by group", ("group", "members", "messages", "p50", "p99", "max")
    return (
        table(caption, head, as_text(rows)) if len(rows) <= OPEN_ROWS else table_behind(caption, head, rows)
    )


def where(result: Result) -> Markup:
    """The parts of the delivery time by path; empty without a timeline."""
    if not result.where:
        return Markup("")
    return card(
        "where-the-time-goes",
        "Where the time goes",
        "Messages offered by sendMessage skip the stream, which is polled 4 times a second. "
        "Each part has other slow messages, so a bar of p99s is longer than the p99 of the whole."
        + verdicts.caveat(result),
        *map(_path, result.where),
    )


def _path(path: DeliveryPath) -> Markup:
    parts = [(_PARTS[part.begin, part.end], part.times) for part in path.parts]
    bars = [
        distributions.Bar(name, [(part, getattr(times, statistic)) for (part, _, _), times in parts])
        for statistic, name in (("p50", "median"), ("p90", "p90"), ("p99", "p99"))
        if all(getattr(times, statistic) is not None for _, times in parts)
    ]
    title = f"{_PATHS[path.name]}: {words.plural(parts[0][1].count, 'message')}"
    identity = f"where-{path.name.replace(' ', '-')}"
    classes = {part: kind for (part, kind, _), _ in parts}
    rows = [
        (
            joined((tag("span", class_=f"swatch {kind}"), text(part))),
            text(meaning),
            *map(text, map(words.ms, (times.p50, times.p90, times.p99, times.max))),
        )
        for (part, kind, meaning), times in parts
    ]
    return joined(
        (
            tag("h3", text(title)),
            *([figure(distributions.stacked(identity, title, bars, classes))] if bars else []),
            table(f"Parts: {title}", ("part", "meaning", "median", "p90", "p99", "max"), rows, texts=2),
        )
    )


def _stage_marks(result: Result) -> list[tuple[float, str]]:
    stages = result.scenario.stages
    starts_s = accumulate((stage.duration_s for stage in stages), initial=0.0)
    marks = [(at, words.plural(stage.users, "user")) for at, stage in zip(starts_s, stages, strict=False)]
    # The first one starts at the origin.
    return marks[1:]


def _grain(result: Result, rows: Sequence[object]) -> str:
    together = -(-len(result.series) // len(rows))
    return "one point a second." if together == 1 else f"each point is the worst of {together} seconds."
