"""What a result says, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadtest.report import words
from loadtest.results.thresholds import LEDGER, parse_threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    Result = Mapping[str, Any]

# The highest of these that had enough samples stands in the headline.
_HEADLINE = (("p99", "p99"), ("p95", "p95"), ("p90", "p90"), ("p50", "median"))
STATUS_WORDS = {
    "pass": "passed",
    "threshold failed": "threshold failed",
    "not measured": "not measured",
    "interrupted": "interrupted",
    "error": "run failed",
}


def is_measured(result: Result) -> bool:
    return bool(result["verdict"]["status"] != "not measured")


def headline(result: Result) -> str:
    """The one answer: `last delivery: p99 182 ms, max 240 ms, 0 lost of 600,000`."""
    lost = f"{words.count(result['ledger']['lost'])} lost of {words.count(result['ledger']['expected'])}"
    if not is_measured(result):
        return f"not measured, {lost}"
    complete = result["metrics"]["group_complete_ms"]
    if not complete["count"]:
        return f"no message reached all its members, {lost}"
    known = [f"{name} {words.ms(complete[key])}" for key, name in _HEADLINE if complete[key] is not None]
    return "last delivery: " + ", ".join((*known[:1], f"max {words.ms(complete['max'])}", lost))


def caveat(result: Result) -> str:
    """What has to stand beside every latency that the harness cannot vouch for."""
    return "" if is_measured(result) else " Not measured: see the reasons at the top."


def harness(result: Result) -> str:
    """Whether the numbers can be believed, and why."""
    if not is_measured(result):
        return (
            "Not as it is: the reasons are at the top. What is drawn is what the harness saw, its own delay "
            "included. The ledger's counts hold."
        )
    floor, delivery = result["health"]["floor_ms"], result["metrics"]["delivery_ms"]
    if floor is None:
        return "No floor was calibrated: how much of the latency is the harness's own is not known."
    told = f"The same receivers saw {words.ms(floor['p50'])} (median) from a server that only broadcasts"
    if floor["p50"] is None or not delivery["p50"]:
        return f"{told}."
    return f"{told}: {words.share(floor['p50'] / delivery['p50'])} of the median delivery of this run."


def ledger(result: Result) -> str:
    counts = result["ledger"]
    expected = words.plural(counts["expected"], "expected delivery", "expected deliveries")
    if not counts["lost"] and not counts["duplicate"]:
        return f"All of {expected} came, each once."
    return (
        f"Of {expected}, {words.count(counts['lost'])} never came; {words.count(counts['duplicate'])} came "
        "again. These are pushes as they came in: a client also asks history for what it misses."
    )


def limits(result: Result) -> list[tuple[str, float]]:
    """The thresholds that can be drawn into a chart of delivery latency: (name, ms)."""
    parsed = (parse_threshold(one["expression"]) for one in result["thresholds"])
    return [
        (one.expression.partition(":")[2], one.limit)
        for one in parsed
        if one.subject == "delivery_ms" and one.stat != "count"
    ]


def found(threshold: Mapping[str, Any]) -> str:
    """What a threshold was compared with, in its unit."""
    parsed = parse_threshold(threshold["expression"])
    is_count = parsed.subject == LEDGER or parsed.stat == "count"
    return (words.count if is_count else words.ms)(threshold["value"])
