"""A result as text for a terminal. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from loadtest.results.result import EXPRESS, STREAM, STREAM_OFFER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.results.result import Metric, Result

_HEAD = ("", "count", "p50", "p90", "p99", "p99.9", "max")
_NAME_WIDTH, _WIDTH = 27, 11
_PATHS = {
    EXPRESS: "that sendMessage offered",
    STREAM_OFFER: "that the stream offered",
    STREAM: "posted from the stream",
}


def summary_text(result: Result) -> str:
    """The whole result: latencies and their parts, counts, the harness's health, the verdict."""
    return "\n".join(_lines(result))


def calibration_text(result: Result) -> str:
    """The latencies and the health of the harness itself."""
    return "\n".join((*_latencies(result), "", *_health(result)))


def _lines(result: Result) -> Iterator[str]:
    scenario = result.scenario
    groups = "1 group" if scenario.groups == 1 else f"{scenario.groups} groups"
    yield (
        f"{result.target.label}: {scenario.users:,} users in {groups}, {scenario.rate:g} messages a second "
        f"({scenario.arrival}) for {scenario.duration_s:g} s"
    )
    yield ""
    yield from _latencies(result)
    for path in result.where:
        yield ""
        yield f"of which, a message {_PATHS[path.name]}"
        for part in path.parts:
            yield _row(f"  {part.begin} to {part.end}".replace("_", " "), part.times)
    yield ""
    ledger = result.ledger
    yield (
        f"deliveries: {ledger.expected:,} expected, {ledger.received:,} received, {ledger.lost:,} lost, "
        f"{ledger.duplicate:,} duplicate, {ledger.out_of_order:,} out of order"
    )
    yield (
        f"messages:   {ledger.sent:,} sent, {ledger.acknowledged:,} acknowledged, {ledger.refused:,} refused"
    )
    yield from _health(result)
    yield ""
    for outcome in result.thresholds:
        value = "unknown" if outcome.value is None else f"{outcome.value:g}"
        yield f"{'held  ' if outcome.held else 'broken'}  {outcome.expression}  (it was {value})"
    yield f"verdict: {result.verdict.status}"
    for reason in result.verdict.reasons:
        yield f"  - {reason}"


def _latencies(result: Result) -> Iterator[str]:
    yield _cells(_HEAD)
    for field in fields(result.metrics):
        yield _row(field.name, getattr(result.metrics, field.name))


def _health(result: Result) -> Iterator[str]:
    health = result.health
    yield (
        f"harness:    loop lag p99 {_ms(health.loop_lag_ms_p99)} ms, max {_ms(health.loop_lag_ms_max)} ms; "
        f"CPU at most {health.cpu_max:.0%} of a core; late sends {health.late_sends} "
        f"(latest {_ms(health.late_ms_max)} ms); {health.record_ns} ns a sample"
    )
    if health.floor_ms is not None:
        floor = health.floor_ms
        yield (
            f"floor:      delivery p50 {_ms(floor.p50)} ms, p99 {_ms(floor.p99)} ms from a null server "
            f"({floor.messages} messages)"
        )


def _row(name: str, metric: Metric) -> str:
    values = map(_ms, (metric.p50, metric.p90, metric.p99, metric.p99_9, metric.max))
    return _cells((name, f"{metric.count:,}", *values))


def _cells(cells: tuple[str, ...]) -> str:
    name, *rest = cells
    return name.ljust(_NAME_WIDTH) + "".join(cell.rjust(_WIDTH) for cell in rest)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
