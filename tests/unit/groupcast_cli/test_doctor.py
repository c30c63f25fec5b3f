"""`groupcast doctor` judges AWS's answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from groupcast_cli.doctor.account import (
    judge_clock,
    judge_concurrency,
    judge_connects,
    judge_log_role,
    judge_requests,
)
from groupcast_cli.doctor.chat import Listener, Trial, judge_chat, judge_failed_chat
from groupcast_cli.doctor.checks import CHECKS, DRIFT, FIRST, drift
from groupcast_cli.doctor.contents import (
    Backlog,
    judge_alarms,
    judge_backlogs,
    judge_failures,
    judge_subscribers,
    judge_tables,
)
from groupcast_cli.doctor.examination import Login, _endpoint
from groupcast_cli.doctor.expected import Expected, Table
from groupcast_cli.doctor.finding import CannotCheckError, Finding, Status
from groupcast_cli.doctor.stack import judge_drift, judge_slow_drift, judge_stack, judge_template
from groupcast_cli.doctor.subject import _reason, iam_action
from groupcast_cli.main import main
from groupcast_cli.stage import Place, Stage
from groupcast_client import ConnectionLost, GroupcastError, Refused, ServerError
from groupcast_client.frames import Push
from groupcast_client.model import Message
from localcloud.errors import SignInError
from tests.conftest import ROOT

if TYPE_CHECKING:
    from groupcast_cli.doctor.subject import Subject

EXPECTED = Expected(
    auth_required=True,
    token_use="any",
    posts_per_second=7000,
    post_burst=3500,
    requests_per_second=2000,
    request_burst=1000,
    delivery_concurrency=100,
    retry_concurrency=10,
    stream_concurrency=8,
    fanout_concurrency=None,
    sets_log_role=True,
    offer_alarm_s=15,
    leftover_alarm_s=120,
    delivery_queue="delivery.fifo",
    retry_queue="retry",
    failures_queue="failures",
    tables=(),
)
STAGE = Stage("dev", Place(), "wss://x/dev", "pool", "client")
# Unix seconds of the header below.
SERVER_S = 1_700_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


def assert_ok(finding: Finding, *phrases: str) -> None:
    assert finding.status is Status.OK, finding.text
    assert all(phrase in finding.text for phrase in phrases), finding.text


def assert_to_do(finding: Finding, *phrases: str) -> None:
    assert finding.status is Status.TO_DO, finding.text
    assert all(phrase in finding.text for phrase in phrases), finding.text


@pytest.mark.parametrize(
    ("sent_s", "received_s", "skew_s"),
    [
        # The answer was made within its second, and while the request was under way.
        (SERVER_S + 0.2, SERVER_S + 0.9, 0),
        (SERVER_S - 3, SERVER_S + 4, 0),
        (SERVER_S + 31, SERVER_S + 31.2, 30),
        (SERVER_S - 30.2, SERVER_S - 30, 30),
    ],
)
def test_a_clock_within_half_a_minute_is_fine(sent_s: float, received_s: float, skew_s: float) -> None:
    finding = judge_clock(DATE, sent_s, received_s)
    assert_ok(finding)
    assert finding.figures["skew_s"] == skew_s


@pytest.mark.parametrize(("offset_s", "words"), [(32, "31 s ahead of"), (-31, "31 s behind")])
def test_a_wrong_clock_is_named(offset_s: float, words: str) -> None:
    assert_to_do(judge_clock(DATE, SERVER_S + offset_s, SERVER_S + offset_s), words, "set it")


def test_concurrency_must_hold_the_fan_out_retries_and_routes() -> None:
    """100 for lanes, 8 for the stream, 10 for retries, 100 for routes."""
    assert_ok(judge_concurrency(limits(218), EXPECTED), "218 suffice")
    assert_to_do(judge_concurrency(limits(217), EXPECTED), "217 functions", "218", "L-B99A9384")
    assert_to_do(judge_concurrency(limits(10), EXPECTED), "deliveryConcurrency")


def test_executions_that_others_reserved_do_not_count() -> None:
    assert_ok(judge_concurrency(limits(1000, free=218), EXPECTED))
    assert_to_do(judge_concurrency(limits(1000, free=217), EXPECTED), "all but 217", "218")
    # fanoutMessage's own reservation counts as available.
    reserving = replace(EXPECTED, fanout_concurrency=108)
    assert_ok(judge_concurrency(limits(1000, free=110), reserving))
    assert_to_do(judge_concurrency(limits(1000, free=109), reserving), "110")


def test_a_reservation_must_hold_all_lanes_and_the_stream() -> None:
    few = replace(EXPECTED, fanout_concurrency=107)
    assert_to_do(judge_concurrency(limits(1000, free=893), few), "fanoutConcurrency=108")


def test_the_account_must_admit_posts_and_frames() -> None:
    assert_ok(judge_requests(10_000, 5_000, EXPECTED), "postsPerSecond is 7,000", "2,000 for each route")
    assert_ok(judge_requests(9_000, 4_500, EXPECTED))
    assert_to_do(judge_requests(8_999, 5_000, EXPECTED), "8,999 requests a second", "7,000 + 2,000")
    assert_to_do(judge_requests(10_000, 4_499, EXPECTED), "4,499 requests at once", "3,500 + 1,000")


def test_posts_without_a_budget_are_named() -> None:
    finding = judge_requests(10_000, 5_000, replace(EXPECTED, posts_per_second=0))
    assert_to_do(finding, "postsPerSecond is 0", "--param postsPerSecond=7000 ")


def test_the_parameters_it_proposes_fit() -> None:
    proposed = judge_requests(2_500, 1_250, EXPECTED).text
    for parameter in ("postsPerSecond=1750", "postBurst=875", "requestsPerSecond=500", "requestBurst=250"):
        assert f"--param {parameter}" in proposed
    fitting = replace(
        EXPECTED, posts_per_second=1750, post_burst=875, requests_per_second=500, request_burst=250
    )
    assert_ok(judge_requests(2_500, 1_250, fitting))


def test_few_new_connections_a_second_are_named() -> None:
    assert_ok(judge_connects(500), "500 new connections")
    assert_to_do(judge_connects(499), "499", "L-9ED1E49A")


def test_a_missing_log_role_has_a_cause_and_a_remedy() -> None:
    assert_to_do(judge_log_role(None, "logs", exists=False), "no role", "another stack", "role/logs`")
    assert_to_do(judge_log_role("", None, exists=False), "no role", "logRole=shared", "update-account")


def test_a_log_role_must_exist_and_be_the_stages_own() -> None:
    """If the stage sets one; the account keeps the ARN of a deleted role."""
    arn = "arn:aws:iam::1:role/path/logs"
    assert_ok(judge_log_role(arn, "logs", exists=True), arn)
    assert_ok(judge_log_role(arn, None, exists=True), arn)
    assert_to_do(judge_log_role(arn, "logs", exists=False), f"{arn}, is gone", "another stack")
    assert_to_do(judge_log_role(arn, None, exists=False), f"{arn}, is gone", "logRole=shared")
    assert_to_do(
        judge_log_role(arn, "mine", exists=True), "instead of the stage's own role mine", "role/mine`"
    )


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"])
def test_a_stack_at_rest_is_healthy(status: str) -> None:
    assert_ok(judge_stack("groupcast-dev", status), status)


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        ("UPDATE_ROLLBACK_COMPLETE", "deploy again"),
        ("UPDATE_IN_PROGRESS", "wait"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait"),
        ("ROLLBACK_COMPLETE", "remove it"),
        ("UPDATE_ROLLBACK_FAILED", "continue the rollback"),
        ("DELETE_FAILED", "describe-stack-events --stack-name groupcast-dev"),
    ],
)
def test_any_other_stack_has_a_remedy(status: str, phrase: str) -> None:
    assert_to_do(judge_stack("groupcast-dev", status, "because"), f"{status} (because)", phrase)


def test_equal_templates_may_differ_in_names_of_one_packaging() -> None:
    assert_ok(judge_template(template("A1", "1/x.zip"), template("B2", "2/x.zip"), "dev"), "4 resources")


def test_templates_that_differ_name_the_resources() -> None:
    deployed, local = template("A1", "1/x.zip"), template("B2", "2/x.zip")
    local["Resources"]["Queue"]["Properties"]["Delay"] = 2
    local["Resources"]["New"] = deployed["Resources"]["Old"] = {"Type": "AWS::SQS::Queue"}
    finding = judge_template(deployed, local, "dev")
    assert_to_do(finding, "changed here: Queue;", "not deployed: New;", "but not here: Old)")
    assert "Function" not in finding.text


def test_a_template_that_is_missing_or_of_another_stage_cannot_be_compared() -> None:
    with pytest.raises(CannotCheckError, match="osls package --stage dev"):
        judge_template(template("A1", "x"), None, "dev")
    other = template("A1", "x", stage="prod")
    with pytest.raises(CannotCheckError, match="is of stage prod: run `npx osls package --stage dev"):
        judge_template(template("A1", "x"), other, "dev")


def test_drift_names_resources_and_properties() -> None:
    deleted = {"LogicalResourceId": "Table", "PhysicalResourceId": "t", "StackResourceDriftStatus": "DELETED"}
    differences = [
        {"PropertyPath": "/Timeout", "ExpectedValue": "30", "ActualValue": "3"},
        {"PropertyPath": "/Environment", "ExpectedValue": "x" * 41, "ActualValue": "y"},
    ]
    changed = {
        "LogicalResourceId": "Function",
        "StackResourceDriftStatus": "MODIFIED",
        "PropertyDifferences": differences,
    }
    finding = judge_drift({"DetectionStatus": "DETECTION_COMPLETE"}, [deleted, changed])
    assert_to_do(
        finding,
        "Table (t) was deleted",
        "Function was changed by hand (Environment, Timeout is 3, deployed as 30)",
    )
    assert "xxx" not in finding.text


def test_a_line_of_drift_stays_readable() -> None:
    drifts = [{"LogicalResourceId": f"Q{n}", "StackResourceDriftStatus": "DELETED"} for n in range(9)]
    finding = judge_drift({"DetectionStatus": "DETECTION_COMPLETE"}, drifts)
    assert_to_do(finding, "Q5", "3 more")
    assert "Q6" not in finding.text


def test_failed_drift_detection_is_not_healthy() -> None:
    """A missing permission fails the detection; drift found so far is still named."""
    failed = {"DetectionStatus": "DETECTION_FAILED", "DetectionStatusReason": "no permission to read [Queue]"}
    with pytest.raises(CannotCheckError, match="no permission to read"):
        judge_drift(failed, [])
    drifts = [{"LogicalResourceId": "Table", "StackResourceDriftStatus": "DELETED"}]
    assert_to_do(judge_drift(failed, drifts), "Table")


def test_a_slow_detection_reports_the_previous_result() -> None:
    """The last run may have started that one."""
    last = {"LastCheckTimestamp": datetime(2026, 11, 24, 16, 5, tzinfo=UTC)}
    assert_to_do(
        judge_slow_drift({**last, "StackDriftStatus": "DRIFTED"}), "2026-11-24 16:05 UTC", "run this again"
    )
    with pytest.raises(CannotCheckError, match=r"in some minutes; .* 16:05 UTC found no changes"):
        judge_slow_drift({**last, "StackDriftStatus": "IN_SYNC"})
    for never in ({"StackDriftStatus": "NOT_CHECKED"}, {}):
        with pytest.raises(CannotCheckError, match=r"in some minutes$"):
            judge_slow_drift(never)


class SlowDetection:
    """A stack whose drift detection takes minutes."""

    stack_name = "groupcast-dev"

    async def stack(self) -> dict[str, Any]:
        checked_at = datetime(2026, 11, 24, 16, 5, tzinfo=UTC)
        return {"DriftInformation": {"StackDriftStatus": "DRIFTED", "LastCheckTimestamp": checked_at}}

    async def call(self, _service: str, operation: str, **_: Any) -> dict[str, str]:
        if operation == "detect_stack_drift":
            return {"StackDriftDetectionId": "1"}
        assert operation == "describe_stack_drift_detection_status"
        return {"DetectionStatus": "DETECTION_IN_PROGRESS"}


async def test_a_detection_that_goes_on_is_not_waited_for() -> None:
    finding = await drift(cast("Subject", SlowDetection()), wait_s=0)
    assert_to_do(finding, "the detection of 2026-11-24 16:05 UTC found changes")


def test_alarms_need_a_confirmed_subscriber() -> None:
    confirmed = {"SubscriptionArn": "arn:aws:sns:x:1:topic:2", "Endpoint": "a@example.com"}
    pending = {"SubscriptionArn": "PendingConfirmation", "Endpoint": "b@example.com"}
    gone = {"SubscriptionArn": "Deleted", "Endpoint": "c@example.com"}
    assert_ok(judge_subscribers("arn:topic", [pending, confirmed]), "1 confirmed")
    assert_to_do(judge_subscribers("arn:topic", [pending, gone]), "confirm", "b@example.com")
    for subscriptions in ([], [gone]):
        assert_to_do(judge_subscribers("arn:topic", subscriptions), "aws sns subscribe --topic-arn arn:topic")


def test_alarms_that_ring_or_are_disabled_or_missing_are_named() -> None:
    names = {"stack-A-1": "A", "stack-B-1": "B", "stack-C-1": "C", "stack-D-1": "D"}
    good = [
        alarm("stack-A-1"),
        alarm("stack-B-1"),
        alarm("stack-C-1"),
        alarm("stack-D-1", "INSUFFICIENT_DATA"),
    ]
    assert_ok(judge_alarms(names, good), "4 alarms")
    finding = judge_alarms(
        names, [alarm("stack-A-1", "ALARM"), alarm("stack-B-1", enabled=False), alarm("stack-C-1")]
    )
    assert_to_do(finding, "A in ALARM", "B silenced", "enable-alarm-actions", "D deleted")
    assert "C " not in finding.text


def test_failures_that_wait_name_the_command() -> None:
    assert_ok(judge_failures(0, "--stage dev"))
    assert_to_do(judge_failures(2, "--stage dev"), "holds 2", "groupcast failures --stage dev")


@pytest.mark.parametrize(
    ("visible", "hidden", "oldest_s"),
    # The last one is empty by now.
    [(0, 0, None), (0, 0, 0.0), (5, 0, 15.0), (0, 3, None), (0, 0, 15.1)],
)
def test_a_queue_that_is_worked_off_is_fine(visible: int, hidden: int, oldest_s: float | None) -> None:
    backlog = Backlog("delivery", visible, hidden, oldest_s, 15, "look")
    assert_ok(judge_backlogs([backlog]), f"{visible} in delivery")


def test_a_queue_that_waits_is_named() -> None:
    fine = Backlog("delivery", 0, 0, None, 15, "look there")
    late, stuck = (Backlog("retry", *counts, 15.1, 15, "look here") for counts in ((3, 0), (0, 2)))
    assert_to_do(judge_backlogs([fine, late]), "3 wait in retry", "look here")
    assert_to_do(judge_backlogs([fine, stuck]), "2 are being read", "look here")
    unknown = Backlog("retry", 3, 0, None, 15, "look")
    assert_to_do(judge_backlogs([fine, unknown]), "unknown", "run this again")


def test_settings_of_tables() -> None:
    remedy = "aws {table}"
    assert_ok(judge_tables({"a": "ENABLED", "b": "ENABLING"}, "TTL", remedy), "on for 2 tables")
    finding = judge_tables({"a": "DISABLED", "b": "ENABLED", "c": None, "d": "DISABLING"}, "TTL", remedy)
    assert_to_do(finding, "c is missing", "TTL is off for a, d: `aws a` and so for each")


def test_deployed_settings_are_read_from_the_template() -> None:
    expected = Expected.of(deployed_template())
    assert expected == replace(
        EXPECTED,
        fanout_concurrency=120,
        sets_log_role=False,
        tables=(
            Table("connections", expires=True, recovers=True),
            Table("groups", expires=False, recovers=True),
        ),
    )


def test_a_foreign_template_is_no_basis_for_judgement() -> None:
    with pytest.raises(CannotCheckError, match=r"another version .*FanoutMessageLambdaFunction"):
        Expected.of({"Resources": {}})


def test_each_raw_push_counts() -> None:
    """Twice on one connection is a duplicate; once on each is not. Others' messages don't count."""
    trial = Trial(expected=4)
    sent_at = {"m1": 0.0, "m2": 0.0}
    one, two = (Listener(sent_at, trial) for _ in range(2))
    one.pushed(push("m1", "m1"))
    two.pushed(push("m1", "somebody else's"))
    two.pushed(push("m2"))
    assert (trial.lost, trial.duplicates, trial.complete.is_set()) == (1, 1, False)
    one.pushed(push("m2"))
    assert (trial.lost, trial.duplicates, trial.complete.is_set()) == (0, 1, True)


def test_a_chat_is_summarised() -> None:
    """So few samples have no p99: the maximum is reported as such."""
    trial = Trial(
        connect_ms=[30, 900], ack_ms=[10, 20, 70], delivery_ms=[1, 2, 3, 4], expected=4, duplicates=1
    )
    finding = judge_chat(trial, "ann")
    assert_ok(
        finding, "ann: connects 30 and 900 ms; ack p50 20, max 70 ms; delivery p50 2, max 4 ms; 0 lost, 1 dup"
    )
    assert finding.figures["ack_ms"] == {"p50": 20, "max": 70, "samples": 3}
    assert (finding.figures["lost"], finding.figures["duplicates"]) == (0, 1)


def test_a_chat_through_a_custom_domain_is_reported() -> None:
    trial = Trial(connect_ms=[900, 30], ack_ms=[10], delivery_ms=[1], expected=1)
    assert_ok(
        judge_chat(trial, "ann", "wss://c.example/x"), "900 and 30 ms, the last through wss://c.example/x;"
    )


def test_a_chat_with_losses_is_a_fault() -> None:
    silent = Trial(connect_ms=[30, 900], ack_ms=[10], expected=2)
    finding = judge_chat(silent, "ann")
    assert_to_do(finding, "delivery none; 2 lost", "fanoutMessage")
    assert "delivery_ms" not in finding.figures


@pytest.mark.parametrize(
    ("error", "phrase"),
    [
        (Refused(401), "give a fresh --token"),
        (Refused(403), "another client"),
        (Refused(429), "too often"),
        (Refused(500), "authorize"),
        (Refused(404), "check the stage's URL"),
        (ConnectionLost("no reply to joinGroup in 10 s"), "no reply to joinGroup"),
        (ServerError("RateLimited", "too much"), "another user"),
        (ServerError("InternalError", "oops"), "frame failed"),
    ],
)
def test_a_chat_that_fails_has_a_remedy(error: GroupcastError, phrase: str) -> None:
    assert_to_do(judge_failed_chat(error, "wss://x/dev", "ann"), phrase)


async def test_a_guest_needs_no_token_and_a_token_needs_no_user() -> None:
    guests = replace(EXPECTED, auth_required=False)
    endpoint, who = await _endpoint(STAGE, Login(token="t"), guests)
    assert (endpoint.name, endpoint.token, who) == ("doctor", None, "guest doctor")
    endpoint, who = await _endpoint(STAGE, Login(token="t"), EXPECTED)
    assert (endpoint.name, endpoint.token, who) == (None, "t", "the token's user")


async def test_without_user_and_token_nobody_can_chat() -> None:
    with pytest.raises(SignInError, match=r"give --user NAME, or --token JWT .*; or say --no-chat"):
        await _endpoint(STAGE, Login(), EXPECTED)


def test_a_login_shows_no_secret() -> None:
    assert "secret" not in repr(Login(user="ann", password="secret-1", token="secret-2"))


def test_actions_are_named_as_iam_names_them() -> None:
    assert iam_action("apigateway", "GetAccount") == "apigateway:GET"
    assert iam_action("service-quotas", "GetServiceQuota") == "servicequotas:GetServiceQuota"
    assert iam_action("dynamodb", "DescribeTimeToLive") == "dynamodb:DescribeTimeToLive"


@pytest.mark.parametrize(
    ("service", "operation", "code", "reason"),
    [
        ("sns", "ListSubscriptionsByTopic", "AuthorizationError", "permission sns:ListSubscriptionsByTopic"),
        ("apigateway", "GetAccount", "AccessDeniedException", "lack the permission apigateway:GET"),
        ("service-quotas", "GetServiceQuota", "400", "us-east-1 has no GetServiceQuota of service-quotas"),
        ("sqs", "GetQueueUrl", "Throttling", "AWS refuses GetQueueUrl: Throttling: slowly"),
    ],
)
def test_a_check_that_cannot_be_made_has_a_reason(
    service: str, operation: str, code: str, reason: str
) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "slowly"}}, operation)
    assert _reason(service, error, Place()).endswith(reason)


def test_every_check_and_action_is_documented() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("## After the first deployment")[2]
    section = section.partition("\n## ")[0]
    for check in (*FIRST, *CHECKS, DRIFT):
        assert f"| `{check.name}` |" in section
        for action in check.actions:
            assert f"`{action}`" in section


@pytest.mark.parametrize("usage", [(), ("--stage", "dev", "--no-chat", "--user", "ann")])
def test_wrong_usage(usage: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["doctor", *usage])
    assert caught.value.code == 2
    assert "usage: groupcast doctor" in capsys.readouterr().err


def limits(total: int, free: int | None = None) -> dict[str, int]:
    """Lambda's AccountLimit."""
    return {"ConcurrentExecutions": total, "UnreservedConcurrentExecutions": total if free is None else free}


def alarm(name: str, state: str = "OK", *, enabled: bool = True) -> dict[str, Any]:
    return {"AlarmName": name, "StateValue": state, "ActionsEnabled": enabled}


def push(*message_ids: str) -> Push:
    created_at: Any = None
    return Push("g", tuple(Message(one, "g", 1, "ann", "hi", created_at) for one in message_ids))


def template(deployment: str, key: str, stage: str = "dev") -> dict[str, Any]:
    """A small packaged template."""
    return {
        "Resources": {
            "Function": {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Key": key}}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Delay": 1}},
            f"WebsocketsDeployment{deployment}": {"Type": "AWS::ApiGatewayV2::Deployment"},
            "WebsocketsDeploymentStage": {
                "Type": "AWS::ApiGatewayV2::Stage",
                "Properties": {
                    "StageName": stage,
                    "DeploymentId": {"Ref": f"WebsocketsDeployment{deployment}"},
                },
            },
        }
    }


def deployed_template() -> dict[str, Any]:
    """The parts of a stage's template that contain its settings."""
    environment = {"AUTH": "cognito", "TOKEN_USE": "any", "POSTS_PER_SECOND": "7000", "POST_BURST": "3500"}
    limits = {"ThrottlingRateLimit": "2000", "ThrottlingBurstLimit": 1000}
    recovers = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    expires = {"TimeToLiveSpecification": {"Enabled": True}}
    properties: dict[str, tuple[str, dict[str, Any]]] = {
        "FanoutMessageLambdaFunction": (
            "Lambda::Function",
            {"Environment": {"Variables": environment}, "ReservedConcurrentExecutions": 120},
        ),
        "WebsocketsDeploymentStage": ("ApiGatewayV2::Stage", {"RouteSettings": {"sendMessage": limits}}),
        "Stream": ("Lambda::EventSourceMapping", {**source("MessagesTable"), "ParallelizationFactor": 2}),
        "Lanes": ("Lambda::EventSourceMapping", {**source("DeliveryQueue"), **scaling("100")}),
        "Retries": ("Lambda::EventSourceMapping", {**source("RetryQueue"), **scaling(10)}),
        "OffersWait": ("CloudWatch::Alarm", {"Threshold": "15"}),
        "LeftoversWait": ("CloudWatch::Alarm", {"Threshold": 120}),
        "DeliveryQueue": ("SQS::Queue", {"QueueName": "delivery.fifo"}),
        "RetryQueue": ("SQS::Queue", {"QueueName": "retry"}),
        "FanoutFailures": ("SQS::Queue", {"QueueName": "failures"}),
        "ConnectionsTable": ("DynamoDB::Table", {"TableName": "connections", **expires, **recovers}),
        "GroupsTable": ("DynamoDB::Table", {"TableName": "groups", **recovers}),
    }
    return {
        "Resources": {
            name: {"Type": f"AWS::{kind}", "Properties": given} for name, (kind, given) in properties.items()
        }
    }


def source(name: str) -> dict[str, Any]:
    return {"EventSourceArn": {"Fn::GetAtt": [name, "Arn"]}}


def scaling(concurrency: str | int) -> dict[str, Any]:
    return {"ScalingConfig": {"MaximumConcurrency": concurrency}}
