"""The metrics that a template's alarms watch."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.template.conftest import Template


class Metric(NamedTuple):
    """One metric of an alarm. Dimensions are by name; a value is text, or an intrinsic as JSON."""

    alarm: str
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


def metrics_of(template: Template) -> list[Metric]:
    """All metrics of all alarms, including those in sums."""
    return [
        Metric(name, metric["Namespace"], metric["MetricName"], _dimensions(metric))
        for name, alarm in template.of_type("AWS::CloudWatch::Alarm").items()
        for metric in (queried(alarm) if "Metrics" in alarm else [alarm])
    ]


def queried(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics in an alarm's expression."""
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


def _dimensions(metric: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((one["Name"], _text(one["Value"])) for one in metric.get("Dimensions", ()))


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case {"Ref": str(name)}:
            return name
        case {"Fn::GetAtt": [str(name), _]}:
            return name
    return json.dumps(value)
