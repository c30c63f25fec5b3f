"""What both functions of the fan-out do with their result: answer Lambda, log, count, trace."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from groupcast.aws.xray import annotate

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast.fanout.result import Result

COUNTS = (
    "members",
    "pages",
    "posts",
    "delivered",
    "gone",
    "refused",
    "handed_off",
    "throttled",
    "retried",
    "slow_closed",
)


def conclude(deliver: Callable[[], Result]) -> dict[str, Any]:
    """Deliver, log, count and trace; the answer that names what Lambda is to deliver again."""
    started_s = time.time()
    result = deliver()
    _log(result)
    _count(result)
    annotate(os.environ, "fan-out", started_s, time.time(), _annotations(result))
    return {"batchItemFailures": [{"itemIdentifier": one} for one in result.again]}


def _log(result: Result) -> None:
    report = result.report
    summary: dict[str, Any] = {name: report.total(name) for name in COUNTS}
    summary |= {
        "groups": len(report.groups),
        "delivery_ms_max": round(report.delivery_ms_max, 1),
        "expired": report.expired,
        "closed": report.closed.count,
        "close_refusals": dict(report.closed.refusals),
        "window": report.window,
        "rejected": [{"item": bad.item_identifier, "reason": bad.reason} for bad in result.rejected],
        "again": list(result.again),
        "refusals": [group.refusals for group in report.groups if group.refusals],
        "errors": [group.error for group in report.groups if group.error],
    }
    Logger().info("fan-out", extra=summary)


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
    metrics.add_metric("expired", MetricUnit.Count, result.report.expired)
    metrics.add_metric("rejected", MetricUnit.Count, len(result.rejected))
    for delivery_ms in result.report.delivery_ms:
        metrics.add_metric("delivery_ms", MetricUnit.Milliseconds, delivery_ms)
    metrics.flush_metrics()
