"""fanoutMessage: from the Messages table's stream to every member of each message's group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from groupcast.runtime import Environment, open_fanout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast.fanout.batch import Malformed
    from groupcast.fanout.report import Report

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

_environment = Environment(open_fanout)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deliver a batch; `batchItemFailures` names the record from which the stream has to come again."""
    remaining_s = context.get_remaining_time_in_millis() / 1000
    report, malformed, again = _environment.run(lambda fanout: fanout.deliver(event["Records"], remaining_s))
    _log(report, malformed, again)
    _count(report, malformed)
    return {"batchItemFailures": [{"itemIdentifier": number} for number in again]}


def _log(report: Report, malformed: Sequence[Malformed], again: list[str]) -> None:
    summary: dict[str, Any] = {name: report.total(name) for name in COUNTS}
    summary |= {
        "groups": len(report.groups),
        "delivery_ms_max": round(report.delivery_ms_max, 1),
        "window": report.window,
        "malformed": [{"sequence_number": bad.sequence_number, "reason": bad.reason} for bad in malformed],
        "again_from": again,
        "errors": [group.error for group in report.groups if group.error],
    }
    Logger().info("fan-out", extra=summary)


def _count(report: Report, malformed: Sequence[Malformed]) -> None:
    metrics = Metrics()
    for name in COUNTS:
        metrics.add_metric(name, MetricUnit.Count, report.total(name))
    metrics.add_metric("malformed", MetricUnit.Count, len(malformed))
    for delivery_ms in report.delivery_ms:
        metrics.add_metric("delivery_ms", MetricUnit.Milliseconds, delivery_ms)
    metrics.flush_metrics()
