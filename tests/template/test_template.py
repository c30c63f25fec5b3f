"""The packaged CloudFormation template that `osls deploy` would deploy."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from groupcast.handlers.outcome import COUNTS
from groupcast.holes import SEND_TIMEOUT_MS
from localcloud.service.template import parse_yaml
from tests.conftest import ROOT
from tests.template.alarms import metrics_of
from tests.template.conftest import OSLS, PACKAGE_TIMEOUT_S, Package, Template, copy_project

# Actions whose resource may be `*`, with the reason.
STARS = {("xray:PutTraceSegments", "xray:PutTelemetryRecords"): "X-Ray has no resources to name"}
OTHER_METRICS = {
    *("delivery_ms", "rejected", "expired", "sign_ins_refused"),
    *("sign_ins_unauthorized", "frames_refused"),
    *("offer_age_ms", "budget_wait_ms"),
    *("offered", "offers_failed", "express", "express_failed", "connects_refused"),
}
# Its content is worthless after some minutes.
FORGETTABLE_TABLES = {"QuotasTable"}


def events(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """(function, settings) of every event of a kind in serverless.yml."""
    functions = parse_yaml((ROOT / "serverless.yml").read_text())["functions"]
    return [
        (name, one[kind]) for name, raw in functions.items() for one in raw.get("events", ()) if kind in one
    ]


def function_id(name: str) -> str:
    """The logical id of a function."""
    return f"{name[0].upper()}{name[1:]}LambdaFunction"


def statements(template: Template) -> list[dict[str, Any]]:
    roles = template.of_type("AWS::IAM::Role").values()
    return [
        statement
        for role in roles
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def test_every_wildcard_has_a_reason(template: Template) -> None:
    """No statement covers all resources except the listed ones, and none all actions."""
    for statement in statements(template):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if "*" in action]
        if statement["Resource"] == "*":
            assert tuple(actions) in STARS


def test_tables_are_private_and_can_be_restored(template: Template) -> None:
    """No policy admits others, and valuable tables have point-in-time recovery."""
    tables = template.of_type("AWS::DynamoDB::Table")
    assert len(tables) == 5
    recoverable = {
        name
        for name, table in tables.items()
        if table.get("PointInTimeRecoverySpecification") == {"PointInTimeRecoveryEnabled": True}
    }
    assert recoverable == set(tables) - FORGETTABLE_TABLES
    for table in tables.values():
        assert "ResourcePolicy" not in table
    assert not template.of_type("AWS::SQS::QueuePolicy")


@pytest.mark.parametrize(
    ("stage", "deleted", "replaced"),
    [("dev", "Delete", "Delete"), ("prod", "RetainExceptOnCreate", "Retain")],
)
def test_production_keeps_its_data(package: Package, stage: str, deleted: str, replaced: str) -> None:
    """Tables and users outlive the stack only in `prod`; the budget's table never does."""
    kinds = ("AWS::DynamoDB::Table", "AWS::Cognito::UserPool")
    data = {name: one for name, one in package(stage).resources.items() if one["Type"] in kinds}
    kept = [one for name, one in data.items() if name not in FORGETTABLE_TABLES]
    assert len(kept) == 5
    assert {data[name]["DeletionPolicy"] for name in FORGETTABLE_TABLES} == {"Delete"}
    assert {(one["DeletionPolicy"], one["UpdateReplacePolicy"]) for one in kept} == {(deleted, replaced)}


def test_a_sender_lives_no_longer_than_its_number_is_waited_for(template: Template) -> None:
    functions = template.of_type("AWS::Lambda::Function").values()
    (sender,) = [one for one in functions if one["FunctionName"].endswith("-sendMessage")]
    assert sender["Timeout"] * 1000 == SEND_TIMEOUT_MS


def test_every_log_group_has_a_retention(template: Template) -> None:
    """Each function's own log group exists before the function."""
    groups = template.of_type("AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] == 30 for group in groups.values())
    names = {json.dumps(group["LogGroupName"]) for group in groups.values()}
    for function in template.of_type("AWS::Lambda::Function").values():
        assert json.dumps(f"/aws/lambda/{function['FunctionName']}") in names
        assert function["TracingConfig"] == {"Mode": "Active"}


def test_every_event_source_has_a_failure_destination(template: Template) -> None:
    """Undeliverable stream records and queue messages end in FanoutFailures.

    So do offers, sent by the function itself: the dead-letter queue of a FIFO queue would have to be FIFO.
    """
    failures = {"Fn::GetAtt": ["FanoutFailures", "Arn"]}
    mappings = template.of_type("AWS::Lambda::EventSourceMapping").values()
    assert len(mappings) == len(events("stream")) + len(events("sqs"))
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        source = mapping["EventSourceArn"]["Fn::GetAtt"]
        if source[1] == "StreamArn":
            assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == failures
            assert mapping["MaximumRetryAttempts"] > 0
            assert mapping["MaximumRecordAgeInSeconds"] > 0
            assert mapping["BisectBatchOnFunctionError"] is True
        else:
            queue = template.resources[source[0]]["Properties"]
            assert queue.get("FifoQueue") or queue["RedrivePolicy"]["deadLetterTargetArn"] == failures


def test_a_lanes_visibility_timeout_exceeds_its_functions_timeout(template: Template) -> None:
    """Otherwise two workers could serve one lane. The delivery queue keeps the order of each group."""
    functions = template.of_type("AWS::Lambda::Function")
    for mapping in template.of_type("AWS::Lambda::EventSourceMapping").values():
        source, kind = mapping["EventSourceArn"]["Fn::GetAtt"]
        if kind == "Arn":
            function = functions[mapping["FunctionName"]["Fn::GetAtt"][0]]
            assert template.resources[source]["Properties"]["VisibilityTimeout"] > function["Timeout"]
    delivery = template.resources["DeliveryQueue"]["Properties"]
    assert delivery["QueueName"] == "groupcast-dev-delivery.fifo"
    assert (delivery["FifoQueue"], delivery["DeduplicationScope"]) == (True, "messageGroup")
    assert delivery["FifoThroughputLimit"] == "perMessageGroupId"


def test_only_our_api_may_call_our_functions(template: Template) -> None:
    """Each route's function only for that route, and the authorizer only as an authorizer."""
    routes = {event["route"]: name for name, event in events("websocket")}
    authorizers = {one["authorizer"]["name"] for _, one in events("websocket") if "authorizer" in one}
    allowed = {
        (permission["FunctionName"]["Fn::GetAtt"][0], permission["SourceArn"]["Fn::Sub"])
        for permission in template.of_type("AWS::Lambda::Permission").values()
    }
    api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebsocketsApi}"
    assert allowed == {
        *((function_id(name), f"{api}/*/{route}") for route, name in routes.items()),
        *((function_id(name), f"{api}/authorizers/*") for name in authorizers),
    }
    assert set(routes) == {one["RouteKey"] for one in template.of_type("AWS::ApiGatewayV2::Route").values()}
    for permission in template.of_type("AWS::Lambda::Permission").values():
        assert permission["Principal"] == "apigateway.amazonaws.com"


def test_unknown_actions_are_answered_with_the_known_ones(template: Template) -> None:
    """$default's function knows the routes of serverless.yml."""
    default = template.resources["DefaultLambdaFunction"]["Properties"]["Environment"]["Variables"]
    routes = [event["route"] for _, event in events("websocket")]
    assert default["ACTIONS"].split(", ") == [route for route in routes if not route.startswith("$")]


def test_nobody_connects_unauthorized(template: Template) -> None:
    """$connect has its authorizer, and a deployed stage uses the user pool unless told otherwise."""
    (connect,) = (
        route
        for route in template.of_type("AWS::ApiGatewayV2::Route").values()
        if route["RouteKey"] == "$connect"
    )
    assert connect["AuthorizationType"] == "CUSTOM"
    for function in template.of_type("AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"]["AUTH"] == "cognito"
    (pool,) = template.of_type("AWS::Cognito::UserPool").values()
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True


def test_logs_hold_no_tokens(template: Template) -> None:
    """The access log has neither query nor headers; execution logs, which have them, are off."""
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    used = set(re.findall(r"\$context\.[\w.]+", stage["AccessLogSettings"]["Format"]))
    assert used
    assert not [name for name in used if "query" in name.lower() or "header" in name.lower()]
    assert set(json.loads(stage["AccessLogSettings"]["Format"]).values()) == used
    routes = {route["RouteKey"] for route in template.of_type("AWS::ApiGatewayV2::Route").values()}
    # A $disconnect cannot be refused.
    assert set(stage["RouteSettings"]) == routes - {"$disconnect"}
    for settings in stage["RouteSettings"].values():
        assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("OFF", False)
        assert settings["ThrottlingRateLimit"] > 0
        assert settings["ThrottlingBurstLimit"] > 0


@pytest.fixture(scope="module")
def tuned(package: Package) -> Template:
    """A stage with several parameters changed at once: each packaging takes seconds."""
    return package(
        "dev", "logRole=shared", "offerAlarmSeconds=60", "postsPerSecond=40000", "fanoutConcurrency=20"
    )


def test_the_accounts_log_role_is_optional(template: Template, tuned: Template) -> None:
    """A stack sets it before its stage needs it, unless told that the account has one."""
    own, shared = template, tuned
    assert own.resources["WebsocketsDeploymentStage"]["DependsOn"] == ["ApiGatewayAccount"]
    assert own.resources["ApiGatewayAccount"]["DependsOn"] == ["WebsocketsApi"]
    assert not shared.of_type("AWS::ApiGateway::Account")
    assert "DependsOn" not in shared.resources["WebsocketsDeploymentStage"]


def test_alarms_and_dashboard_use_existing_metrics(template: Template) -> None:
    """Functions write every metric of ours that is used, under the stage's name."""
    metrics = {*COUNTS, *OTHER_METRICS}
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    for alarm in alarms.values():
        assert alarm["AlarmActions"]
        assert alarm["AlarmDescription"]
    for metric in metrics_of(template):
        if metric.namespace == "groupcast":
            assert metric.name in metrics
            assert ("service", "groupcast-dev") in metric.dimensions
    looked_at = {(metric.namespace, metric.name) for metric in metrics_of(template)}
    assert looked_at >= {
        ("AWS/Lambda", "IteratorAge"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        ("groupcast", "express_failed"),
        ("AWS/Lambda", "Errors"),
        ("groupcast", "throttled"),
        ("groupcast", "delivery_ms"),
        ("groupcast", "sign_ins_refused"),
    }
    (dashboard,) = template.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(re.sub(r"\$\{[^}]*\}", "x", dashboard["DashboardBody"]["Fn::Sub"]))
    shown = [line for widget in body["widgets"] for line in ours(widget["properties"]["metrics"])]
    assert shown
    assert set(shown) <= metrics


def test_thresholds_are_parameters(tuned: Template) -> None:
    """An offer's maximum age depends on group sizes; the dashboard shows it and the budget."""
    assert tuned.of_type("AWS::CloudWatch::Alarm")["OffersWait"]["Threshold"] == 60
    (dashboard,) = tuned.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(re.sub(r"\$\{[^}]*\}", "x", dashboard["DashboardBody"]["Fn::Sub"]))
    drawn = {
        line["label"]: line["value"]
        for widget in body["widgets"]
        for line in widget["properties"].get("annotations", {}).get("horizontal", ())
    }
    assert drawn == {"alarm": 60, "postsPerSecond": 40_000}


def test_widgets_do_not_overlap(template: Template) -> None:
    """Each occupies its own cells of a grid 24 wide."""
    (dashboard,) = template.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(re.sub(r"\$\{[^}]*\}", "x", dashboard["DashboardBody"]["Fn::Sub"]))
    cells = [
        (widget["x"] + right, widget["y"] + down)
        for widget in body["widgets"]
        for right in range(widget["width"])
        for down in range(widget["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_the_dashboards_search_expressions_have_plain_quotes(template: Template) -> None:
    """An expression is text in JSON in YAML: CloudWatch must get no backslash."""
    (dashboard,) = template.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
    lines = [line for widget in body["widgets"] for line in widget["properties"]["metrics"]]
    expressions = [line[0]["expression"] for line in lines if isinstance(line[0], dict)]
    found = [expression for expression in expressions if "SEARCH" in expression]
    terms = 'MetricName="frames_refused" service="groupcast-dev"'
    assert found == [f"SEARCH('{{groupcast,code,service}} {terms}', 'Sum', 60)"]


def ours(lines: list[Any]) -> list[str]:
    """Names of groupcast's metrics among a widget's lines; `.` and `...` repeat what stands above."""
    found: list[str] = []
    namespace = ""
    for line in lines:
        if isinstance(line[0], str) and line[0] not in (".", "..."):
            namespace = line[0]
        if namespace == "groupcast" and isinstance(line[0], str) and line[0] != "...":
            found.append(line[1])
    return found


MISSPELT = {
    "  timeout: 10": "  timeoot: 10",
    "          batchSize: 100": "          batchSise: 100",
    "        Resource: !GetAtt ConnectionsTable.Arn": "        Resorce: !GetAtt ConnectionsTable.Arn",
}


def test_a_misspelt_setting_is_an_error(tmp_path: Path) -> None:
    """`osls package`, and thus `make check`, stops at an unknown key."""
    text = (ROOT / "serverless.yml").read_text()
    for right, wrong in MISSPELT.items():
        assert right in text
        text = text.replace(right, wrong, 1)
    copy_project(tmp_path, text)
    done = subprocess.run(
        [*OSLS, "package"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PACKAGE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode != 0
    for wrong in MISSPELT.values():
        assert wrong.strip().partition(":")[0] in done.stdout + done.stderr


def test_concurrency_can_be_reserved(template: Template, tuned: Template) -> None:
    """Only for the fan-out, and only on request: a new account has none to spare."""

    def reserved(template: Template) -> dict[str, int]:
        functions = template.of_type("AWS::Lambda::Function")
        key = "ReservedConcurrentExecutions"
        return {name: one[key] for name, one in functions.items() if key in one}

    assert reserved(template) == {}
    assert reserved(tuned) == {"FanoutMessageLambdaFunction": 20}
