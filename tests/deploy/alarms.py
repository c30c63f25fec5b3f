"""A deployed stage's alarms and the metrics that reach them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from tests.deploy.project import SERVICE, Stage

Key: TypeAlias = tuple[str, str, frozenset[tuple[str, str]]]

LONGEST_TEST = timedelta(hours=1)


@dataclass(frozen=True)
class Metric:
    """A metric's namespace, name and dimensions, as an alarm names them."""

    namespace: str
    name: str
    dimensions: dict[str, str]


class Alarms:
    """Alarms by their logical ids, as in docs/operations.md."""

    def __init__(self, stage: Stage) -> None:
        self._cloudwatch = stage.emulator.client("cloudwatch")
        self._logs = stage.emulator.client("logs")
        self._stage = stage
        cloudformation = stage.emulator.client("cloudformation")
        stack = f"{SERVICE}-{stage.name}"
        resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
        self._physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
        template = cloudformation.get_template(StackName=stack)["TemplateBody"]
        template = template if isinstance(template, dict) else json.loads(template)
        self._by_name: dict[str, dict[str, Any]] = {
            name: resource["Properties"]
            for name, resource in template["Resources"].items()
            if resource["Type"] == "AWS::CloudWatch::Alarm"
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def metrics(self, name: str) -> list[Metric]:
        """The metrics that an alarm watches."""
        alarm = self._by_name[name]
        queries = alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}])
        found = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query]
        return [
            Metric(
                metric["Namespace"],
                metric["MetricName"],
                {one["Name"]: self._value(one["Value"]) for one in metric["Dimensions"]},
            )
            for metric in found
        ]

    def threshold(self, name: str) -> float:
        return float(self._by_name[name]["Threshold"])

    def state(self, name: str) -> str:
        """CloudWatch's state of an alarm over one metric: OK, ALARM or INSUFFICIENT_DATA."""
        (alarm,) = self._cloudwatch.describe_alarms(AlarmNames=[self._physical[name]])["MetricAlarms"]
        return str(alarm["StateValue"])

    def put(self, name: str, value: float) -> None:
        """Give CloudWatch a value of the one metric that an alarm watches."""
        (metric,) = self.metrics(name)
        dimensions = [{"Name": key, "Value": value} for key, value in metric.dimensions.items()]
        datum = {"MetricName": metric.name, "Dimensions": dimensions, "Value": value}
        self._cloudwatch.put_metric_data(Namespace=metric.namespace, MetricData=[datum])

    def seen(self) -> dict[str, float]:
        """The sum of each alarm's metrics so far; SignInsFail subtracts answers of 401."""
        written = self._written()

        def value(metric: Metric) -> float:
            return written.get(_key(metric), 0) if metric.namespace == SERVICE else self._counted(metric)

        values = {name: [value(metric) for metric in self.metrics(name)] for name in self}
        errors, refused = values.pop("SignInsFail")
        seen = {"SignInsFail": errors - refused}
        for name, several in values.items():
            # NAME2 belongs to NAME, for metrics beyond the tenth.
            whole = name.rstrip("0123456789")
            seen[whole] = seen.get(whole, 0) + sum(several)
        return seen

    def _counted(self, metric: Metric) -> float:
        """A metric's sum in CloudWatch."""
        now = datetime.now(UTC)
        points = self._cloudwatch.get_metric_statistics(
            Namespace=metric.namespace,
            MetricName=metric.name,
            Dimensions=[{"Name": name, "Value": value} for name, value in metric.dimensions.items()],
            StartTime=now - LONGEST_TEST,
            EndTime=now + LONGEST_TEST,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in points))

    def _written(self) -> dict[Key, float]:
        """Metrics in the functions' logs, from which CloudWatch takes them: values by metric."""
        found: dict[Key, float] = {}
        for document in self._documents():
            for directive in document["_aws"]["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    dimensions = {name: document[name] for name in names}
                    for metric in directive["Metrics"]:
                        key = _key(Metric(directive["Namespace"], metric["Name"], dimensions))
                        value = document[metric["Name"]]
                        found[key] = found.get(key, 0.0) + sum(value if isinstance(value, list) else [value])
        return found

    def _documents(self) -> Iterator[dict[str, Any]]:
        prefix = f"/aws/lambda/{self._stage.resource('')}"
        for group in self._logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]:
            pages = self._logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            for page in pages:
                for event in page["events"]:
                    if '"CloudWatchMetrics"' in event["message"]:
                        yield json.loads(event["message"])

    def _value(self, value: Any) -> str:
        match value:
            case {"Ref": str(name)}:
                return str(self._physical[name])
            case {"Fn::GetAtt": [str(name), "QueueName"]}:
                return str(self._physical[name]).rpartition("/")[2]
        assert isinstance(value, str), value
        return value


def _key(metric: Metric) -> Key:
    return metric.namespace, metric.name, frozenset(metric.dimensions.items())
