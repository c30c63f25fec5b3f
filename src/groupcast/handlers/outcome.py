"""Reports a fan-out result for both functions: log, metrics, trace, and the answer to Lambda."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from groupcast.aws.xray import annotate
from groupcast.fanout.report import Offered

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast.fanout.report import Result

# Counts of each group, reported as sums.
COUNTS = (
    "lanes",
    "members",
    "pages",
    "posts",
    "booked",
    "delivered",
    "gone",
    "gone_false",
    "refused",
    "handed_off",
    "ranges",
    "throttled",
    "full",
    "retried",
    "slow_closed",
)


def conclude(deliver: Callable[[], Result | Offered]) -> dict[str, Any]:
    """Deliver and report; return the items that Lambda has to deliver again."""
    started_s = time.time()
    result = deliver()
    if isinstance(result, Offered):
        _log_offers(result)
        _count_offers(result)
    else:
        _log(result)
        _count(result)
        annotate(os.environ, "fan-out", started_s, time.time(), _annotations(result))
    return {"batchItemFailures": [{"itemIdentifier": one} for one in result.again]}


def _log_offers(result: Offered) -> None:
    counts = {name: getattr(result, name) for name in ("groups", "messages", "express", "offers", "untaken")}
    Logger().info("offers", extra={**counts, **_failures(result)})


def _count_offers(result: Offered) -> None:
    metrics = Metrics()
    metrics.add_metric("offered", MetricUnit.Count, result.messages)
    metrics.add_metric("express", MetricUnit.Count, result.express)
    metrics.add_metric("offers_failed", MetricUnit.Count, result.untaken)
    metrics.add_metric("rejected", MetricUnit.Count, len(result.rejected))
    metrics.flush_metrics()


def _log(result: Result) -> None:
    report = result.report
    summary: dict[str, Any] = {name: report.total(name) for name in COUNTS}
    summary |= {
        "groups": len(report.groups),
        "slots": [[group.slots.first, group.slots.last] for group in report.groups if group.slots],
        "offers": result.offers,
        "offer_age_ms": result.offer_age_ms,
        "budget_wait_ms": round(report.total("budget_wait_ms"), 1),
        "delivery_ms_max": round(report.delivery_ms_max, 1),
        "expired": len(report.expired),
        "closed": report.closed.count,
        "close_refusals": dict(report.closed.refusals),
        "window": report.window,
        "refusals": [group.refusals for group in report.groups if group.refusals],
        "errors": [group.error for group in report.groups if group.error],
        **_failures(result),
    }
    Logger().info("fan-out", extra=summary)


def _failures(result: Result | Offered) -> dict[str, Any]:
    return {
        "rejected": [{"item": bad.item_identifier, "reason": bad.reason} for bad in result.rejected],
        "again": list(result.again),
    }


def _annotations(result: Result) -> dict[str, int | float]:
    counts = ("members", "delivered", "gone", "handed_off")
    return {
        **{name: result.report.total(name) for name in counts},
        "delivery_ms_max": round(result.report.delivery_ms_max, 1),
    }


def _count(result: Result) -> None:
    metrics = Metrics()
    for name in COUNTS:
        metrics.add_metric(name, MetricUnit.Count, result.report.total(name))
    metrics.add_metric("expired", MetricUnit.Count, len(result.report.expired))
    metrics.add_metric("rejected", MetricUnit.Count, len(result.rejected))
    metrics.add_metric("budget_wait_ms", MetricUnit.Milliseconds, result.report.total("budget_wait_ms"))
    if result.offer_age_ms is not None:
        metrics.add_metric("offer_age_ms", MetricUnit.Milliseconds, result.offer_age_ms)
    for delivery_ms in result.report.delivery_ms:
        metrics.add_metric("delivery_ms", MetricUnit.Milliseconds, delivery_ms)
    metrics.flush_metrics()
