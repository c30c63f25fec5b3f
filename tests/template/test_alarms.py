"""Alarms watch every function, table, index and queue with existing metrics, and are documented."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from groupcast_cli.cost.estimate import ALARM_METRICS
from localcloud.service.template import parse_yaml
from tests.conftest import ROOT
from tests.template.alarms import Metric, metrics_of
from tests.template.conftest import Package, Template

# CloudWatch alarm limits, "Limits that apply to alarms based on metric math expressions".
METRICS_MAX = 10
# AWS's documentation: the dimensions of each metric.
FUNCTION = frozenset({"FunctionName"})
API, API_STAGE = frozenset({"ApiId"}), frozenset({"ApiId", "Stage"})
TABLE, INDEX = frozenset({"TableName"}), frozenset({"TableName", "GlobalSecondaryIndexName"})
QUEUE = frozenset({"QueueName"})
DOCUMENTED: dict[tuple[str, str], set[frozenset[str]]] = {
    # Lambda developer guide, "Types of metrics for Lambda functions".
    ("AWS/Lambda", "Errors"): {FUNCTION},
    ("AWS/Lambda", "Throttles"): {FUNCTION},
    ("AWS/Lambda", "IteratorAge"): {FUNCTION},
    # API Gateway developer guide, "Monitor WebSocket API execution with CloudWatch metrics".
    ("AWS/ApiGateway", "ExecutionError"): {API, API_STAGE},
    ("AWS/ApiGateway", "IntegrationError"): {API, API_STAGE},
    ("AWS/ApiGateway", "ClientError"): {API, API_STAGE},
    # DynamoDB developer guide, "DynamoDB metrics and dimensions": a table's do not count its indexes'.
    ("AWS/DynamoDB", "ReadThrottleEvents"): {TABLE, INDEX},
    ("AWS/DynamoDB", "WriteThrottleEvents"): {TABLE, INDEX},
    # SQS developer guide, "Available CloudWatch metrics for Amazon SQS".
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {QUEUE},
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {QUEUE},
}
PARAMETERS = {
    "errorsAlarm": {"RoutesFail", "SignInsFail", "GatewayFails"},
    "integrationErrorsAlarm": {"IntegrationsFail"},
    "clientErrorsAlarm": {"ClientsFail"},
    "tableThrottlesAlarm": {"ReadsAreThrottled", "WritesAreThrottled"},
}


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """The parsed serverless.yml."""
    return parse_yaml((ROOT / "serverless.yml").read_text())


def whole(name: str) -> str:
    """The alarm as in operations.yml: NAME2 belongs to it, for metrics beyond the tenth."""
    return name.rstrip("0123456789")


def watched(template: Template, namespace: str, name: str) -> set[frozenset[tuple[str, str]]]:
    return {one.dimensions for one in metrics_of(template) if one[1:3] == (namespace, name)}


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_is_watched(template: Template, service: dict[str, Any], metric: str) -> None:
    """No route, authorizer or fan-out can fail or be throttled without an alarm."""
    logical_ids = {f"{name[0].upper()}{name[1:]}LambdaFunction" for name in service["functions"]}
    expected = {frozenset({("FunctionName", logical_id)}) for logical_id in logical_ids}
    assert watched(template, "AWS/Lambda", metric) == expected


@pytest.mark.parametrize("metric", ["ReadThrottleEvents", "WriteThrottleEvents"])
def test_every_table_and_index_is_watched(template: Template, service: dict[str, Any], metric: str) -> None:
    """Tables and indexes count their throttles separately."""
    expected = set()
    for name, resource in service["resources"][0]["Resources"].items():
        if resource["Type"] == "AWS::DynamoDB::Table":
            expected.add(frozenset({("TableName", name)}))
            for index in resource["Properties"].get("GlobalSecondaryIndexes", ()):
                of_index = ("GlobalSecondaryIndexName", index["IndexName"])
                expected.add(frozenset({("TableName", name), of_index}))
    assert len(expected) == 7
    assert watched(template, "AWS/DynamoDB", metric) == expected


def test_the_stage_of_the_api_is_watched(template: Template) -> None:
    """Errors of API Gateway, of its integrations, and of clients."""
    stage = frozenset({("ApiId", "WebsocketsApi"), ("Stage", "dev")})
    for metric in ("ExecutionError", "IntegrationError", "ClientError"):
        assert watched(template, "AWS/ApiGateway", metric) == {stage}


def test_every_queue_is_watched(template: Template) -> None:
    """Messages that wait too long ring an alarm."""
    queues = {
        value for one in metrics_of(template) if one.namespace == "AWS/SQS" for _, value in one.dimensions
    }
    assert queues == set(template.of_type("AWS::SQS::Queue"))
    oldest = watched(template, "AWS/SQS", "ApproximateAgeOfOldestMessage")
    assert frozenset({("QueueName", "DeliveryQueue")}) in oldest


def test_metrics_of_aws_exist(template: Template) -> None:
    """An alarm on a metric or dimension that AWS lacks would never ring."""
    ours: list[Metric] = [one for one in metrics_of(template) if one.namespace == "groupcast"]
    assert ours
    for one in metrics_of(template):
        if one not in ours:
            names = frozenset(name for name, _ in one.dimensions)
            assert names in DOCUMENTED[one.namespace, one.name], one


def test_alarms_over_several_metrics_fit_cloudwatchs_limits(template: Template) -> None:
    """At most ten metrics, one result, and periods only on metrics."""
    several = {
        name: alarm
        for name, alarm in template.of_type("AWS::CloudWatch::Alarm").items()
        if "Metrics" in alarm
    }
    sums = {"RoutesFail", "RoutesAreThrottled", "ReadsAreThrottled", "WritesAreThrottled"}
    assert {whole(name) for name in several} == sums | {"SignInsFail"}
    for name, alarm in several.items():
        assert not {"Period", "Namespace", "MetricName", "Dimensions", "Statistic"} & set(alarm)
        (result,) = [query for query in alarm["Metrics"] if query["ReturnData"]]
        assert (result["Expression"] == "SUM(FILL(METRICS(), 0))") == (whole(name) in sums)
        stats = [query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query]
        assert len(stats) == len(alarm["Metrics"]) - 1 <= METRICS_MAX, name
        assert {(stat["Period"], stat["Stat"]) for stat in stats} == {
            (60 if whole(name) in sums else 300, "Sum")
        }
        ids = [query["Id"] for query in alarm["Metrics"]]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", one) for one in ids)


@pytest.mark.parametrize(
    ("errors", "unauthorized", "per_minute"),
    [
        (0, None, 0),
        (10, None, 2),
        (10, 10, 0),
        (15, 10, 1),
        # Some refusals of a flood may fall into the neighbouring period.
        (1000, 960, 0),
        (1000, 1040, 0),
        (1, 2, 0),
    ],
)
def test_refusals_are_not_failed_sign_ins(
    template: Template, errors: int, unauthorized: int | None, per_minute: float
) -> None:
    """Computes SignInsFail's expression as CloudWatch documents its functions ("Using metric math")."""
    metrics = template.of_type("AWS::CloudWatch::Alarm")["SignInsFail"]["Metrics"]
    text = next(query["Expression"] for query in metrics if query["ReturnData"])
    functions = {
        "FILL": lambda value, filler: filler if value is None else value,
        "IF": lambda condition, yes, no: yes if condition else no,
    }
    values = {"m1": errors, "m2": unauthorized}
    assert eval(text, {**functions, **values}) == per_minute  # noqa: S307 - ours


def test_alarms_are_described(template: Template) -> None:
    """docs/operations.md and the alarm itself tell when it rings and what to do."""
    _, _, rest = (ROOT / "docs/operations.md").read_text().partition("\n## Alarms\n")
    rows = re.findall(r"^\| (`.*?) \| (.+) \| (.+) \|$", rest.partition("\n## ")[0], re.MULTILINE)
    described = [name for names, _, _ in rows for name in re.findall(r"`(\w+)`", names)]
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    assert sorted(described) == sorted({whole(name) for name in alarms})
    assert all(0 < len(alarm["AlarmDescription"]) <= 1024 for alarm in alarms.values())


def test_the_documented_doctor_example_matches_this_template(template: Template) -> None:
    """The numbers of resources and alarms in docs/operations.md."""
    text = (ROOT / "docs/operations.md").read_text()
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    assert f"template-update-stack.json: {len(template.resources)} resources\n" in text
    assert f"ok      alarms      {len(alarms)} alarms, none in ALARM\n" in text


def test_alarms_are_in_the_bill(template: Template) -> None:
    """CloudWatch bills each metric of each alarm."""
    assert len(metrics_of(template)) == ALARM_METRICS


def test_api_alarm_thresholds_are_parameters(package: Package) -> None:
    """Small and large stages need different ones; no two parameters set the same alarm."""
    values = {parameter: 77 + place for place, parameter in enumerate(PARAMETERS)}
    given = (f"{parameter}={value}" for parameter, value in values.items())
    usual, changed = (one.of_type("AWS::CloudWatch::Alarm") for one in (package(), package("dev", *given)))
    differing = {name for name in usual if usual[name] != changed[name]}
    assert differing == set().union(*PARAMETERS.values())
    for parameter, value in values.items():
        assert {name for name in differing if changed[name]["Threshold"] == value} == PARAMETERS[parameter]


def test_the_dashboard_shows_every_function(template: Template, service: dict[str, Any]) -> None:
    """Errors and throttles, by the function's name."""
    (dashboard,) = template.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
    lines = [line for widget in body["widgets"] for line in widget["properties"]["metrics"]]
    for metric in ("Errors", "Throttles"):
        shown = [line[-1]["label"] for line in lines if line[:2] == ["AWS/Lambda", metric]]
        assert shown == list(service["functions"])
