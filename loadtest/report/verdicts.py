"""The findings of a result, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.report import words
from loadtest.results.result import ERROR, INTERRUPTED, NOT_MEASURED, PASS, THRESHOLD_FAILED
from loadtest.results.thresholds import LEDGER, parse_threshold

if TYPE_CHECKING:
    from loadtest.results.result import Result, ThresholdOutcome

# The headline has the first of these with enough samples.
_HEADLINE = (("p99", "p99"), ("p95", "p95"), ("p90", "p90"), ("p50", "median"))
STATUS_WORDS = {
    PASS: "passed",
    THRESHOLD_FAILED: "threshold failed",
    NOT_MEASURED: "not measured",
    INTERRUPTED: "interrupted",
    ERROR: "run failed",
}


def is_measured(result: Result) -> bool:
    return result.verdict.status != NOT_MEASURED


def headline(result: Result) -> str:
    """The main finding: `last delivery: p99 182 ms, max 240 ms, 0 lost of 600,000`."""
    lost = f"{words.count(result.ledger.lost)} lost of {words.count(result.ledger.expected)}"
    if not is_measured(result):
        return f"not measured, {lost}"
    complete = result.metrics.group_complete_ms
    if not complete.count:
        return f"no message reached all its members, {lost}"
    values = [(name, getattr(complete, key)) for key, name in _HEADLINE]
    known = [f"{name} {words.ms(value)}" for name, value in values if value is not None]
    return "last delivery: " + ", ".join((*known[:1], f"max {words.ms(complete.max)}", lost))


def caveat(result: Result) -> str:
    """A note for every latency of a run that was not measured."""
    return "" if is_measured(result) else " Not measured: see the reasons at the top."


def harness(result: Result) -> str:
    """Say whether the numbers can be believed, with the reason."""
    if not is_measured(result):
        return (
            "No: the reasons are at the top. The charts show latencies that include the harness's own delay. "
            "The ledger's counts hold."
        )
    floor, delivery = result.health.floor_ms, result.metrics.delivery_ms
    if floor is None:
        return "No floor was calibrated: the harness's own share of the latency is unknown."
    measured = f"The same receivers saw {words.ms(floor.p50)} (median) with a server that only broadcasts"
    if floor.p50 is None or not delivery.p50:
        return f"{measured}."
    return f"{measured}: {words.share(floor.p50 / delivery.p50)} of this run's median delivery."


def ledger(result: Result) -> str:
    counts = result.ledger
    expected = words.plural(counts.expected, "expected delivery", "expected deliveries")
    if not counts.lost and not counts.duplicate:
        return f"All of {expected} arrived, each once."
    return (
        f"Of {expected}, {words.count(counts.lost)} never arrived; {words.count(counts.duplicate)} arrived "
        "again. These are pushes: a client also fetches missing messages from the history."
    )


def limits(result: Result) -> list[tuple[str, float]]:
    """The thresholds to draw in a chart of delivery latency: (name, ms)."""
    parsed = (parse_threshold(one.expression) for one in result.thresholds)
    return [
        (one.expression.partition(":")[2], one.limit)
        for one in parsed
        if one.subject == "delivery_ms" and one.stat != "count"
    ]


def found(threshold: ThresholdOutcome) -> str:
    """The value of a threshold, with its unit."""
    parsed = parse_threshold(threshold.expression)
    is_count = parsed.subject == LEDGER or parsed.stat == "count"
    return (words.count if is_count else words.ms)(threshold.value)
