"""The checks: each asks AWS and has the answers judged. A new one is a function, and a row of CHECKS."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from groupcast_cli.doctor.account import (
    judge_clock,
    judge_concurrency,
    judge_connects,
    judge_identity,
    judge_log_role,
    judge_requests,
    role_name,
)
from groupcast_cli.doctor.answers import (
    gateway_quota,
    message_counts,
    oldest_s,
    resource_names,
    role_exists,
    table_statuses,
)
from groupcast_cli.doctor.contents import (
    Backlog,
    judge_alarms,
    judge_backlogs,
    judge_failures,
    judge_subscribers,
    judge_tables,
)
from groupcast_cli.doctor.expected import Expected
from groupcast_cli.doctor.finding import CannotCheckError, Finding, to_do
from groupcast_cli.doctor.stack import (
    TEMPLATE_PATH,
    judge_drift,
    judge_slow_drift,
    judge_stack,
    judge_template,
)
from groupcast_cli.stage import deploy_hint, outputs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from groupcast_cli.doctor.expected import Table
    from groupcast_cli.doctor.subject import Subject

CALL_TIMEOUT_S = 10.0
# CloudFormation asks for each resource, and takes its time.
DRIFT_TIMEOUT_S = 45.0
DRIFT_WAIT_S = 35.0
DRIFT_POLL_S = 2.0
ALARMS_MAX = 100


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the report. `actions` are the IAM actions that `examine` needs.

    `is_required`: the other checks make no sense unless this one can be made.
    """

    name: str
    examine: Callable[[Subject], Awaitable[Finding]]
    actions: tuple[str, ...]
    timeout_s: float = CALL_TIMEOUT_S
    is_required: bool = False


async def credentials(subject: Subject) -> Finding:
    return judge_identity(await subject.call("sts", "get_caller_identity"), subject.place.region)


async def clock(subject: Subject) -> Finding:
    sent_s = time.time()
    try:
        answer = await subject.call("sts", "get_caller_identity")
    except CannotCheckError as error:
        # A wrong clock makes a wrong signature; the refusal has the time, too.
        if not isinstance(error.__cause__, ClientError):
            raise
        answer = error.__cause__.response
    return judge_clock(answer["ResponseMetadata"]["HTTPHeaders"]["date"], sent_s, time.time())


async def stack(subject: Subject) -> Finding:
    try:
        found = await subject.stack()
    except CannotCheckError as error:
        if "does not exist" not in str(error):
            raise
        return to_do(
            f"there is no stack {subject.stack_name} in {subject.place.region}: "
            f"{deploy_hint(subject.stage, subject.place)}",
            blocks=True,
        )
    return judge_stack(subject.stack_name, found["StackStatus"], found.get("StackStatusReason", ""))


async def template(subject: Subject) -> Finding:
    deployed = await subject.template()
    try:
        Expected.of(deployed)
    except CannotCheckError as error:
        # Most checks need these settings: a report without them must not look healthy.
        return to_do(str(error))
    try:
        local = json.loads(await asyncio.to_thread(Path(TEMPLATE_PATH).read_text))
    except FileNotFoundError:
        local = None
    return judge_template(deployed, local, subject.stage)


async def concurrency(subject: Subject) -> Finding:
    settings = await subject.call("lambda", "get_account_settings")
    return judge_concurrency(settings["AccountLimit"], await subject.expected())


async def requests(subject: Subject) -> Finding:
    try:
        rate, burst = await asyncio.gather(
            gateway_quota(subject, "L-8A5B8E43"), gateway_quota(subject, "L-CDF5615A")
        )
    except CannotCheckError:
        # API Gateway tells its limits as well.
        limits = (await subject.account())["throttleSettings"]
        rate, burst = limits["rateLimit"], limits["burstLimit"]
    return judge_requests(rate, burst, await subject.expected())


async def connects(subject: Subject) -> Finding:
    return judge_connects(await gateway_quota(subject, "L-9ED1E49A"))


async def log_role(subject: Subject) -> Finding:
    account, expected = await asyncio.gather(subject.account(), subject.expected())
    own_role = None
    if expected.sets_log_role:
        roles = await resource_names(subject, "AWS::IAM::Role")
        own_role = next(name for name, logical in roles.items() if logical == "ApiGatewayLogRole")
    role_arn = account.get("cloudwatchRoleArn")
    exists = bool(role_arn) and await role_exists(subject, role_name(role_arn))
    return judge_log_role(role_arn, own_role, exists=exists)


async def subscribers(subject: Subject) -> Finding:
    topic_arn = outputs(await subject.stack())["AlarmTopicArn"]
    answer = await subject.call("sns", "list_subscriptions_by_topic", TopicArn=topic_arn)
    return judge_subscribers(topic_arn, answer["Subscriptions"])


async def alarms(subject: Subject) -> Finding:
    names = await resource_names(subject, "AWS::CloudWatch::Alarm")
    answer = await subject.call(
        "cloudwatch", "describe_alarms", AlarmNames=list(names)[:ALARMS_MAX], MaxRecords=ALARMS_MAX
    )
    return judge_alarms(names, answer["MetricAlarms"])


async def failures(subject: Subject) -> Finding:
    expected = await subject.expected()
    counts = await message_counts(subject, expected.failures_queue)
    return judge_failures(sum(counts), f"--stage {subject.stage}{subject.place.options}")


async def queues(subject: Subject) -> Finding:
    expected = await subject.expected()
    queue_names = (expected.delivery_queue, expected.retry_queue)
    counts = await asyncio.gather(*(message_counts(subject, name) for name in queue_names))
    ages_s = await oldest_s(subject, queue_names)
    limits_s = (expected.offer_alarm_s, expected.leftover_alarm_s)
    return judge_backlogs(
        [
            Backlog(
                name, *count, age_s, limit_s, f"look at errors and throttles of {function}, and the budget"
            )
            for name, count, age_s, limit_s, function in zip(
                queue_names, counts, ages_s, limits_s, ("fanoutMessage", "fanoutRetry"), strict=True
            )
        ]
    )


async def expiry(subject: Subject) -> Finding:
    async def status(table: Table) -> Any:
        answer = await subject.call("dynamodb", "describe_time_to_live", TableName=table.name)
        return answer["TimeToLiveDescription"]["TimeToLiveStatus"]

    tables = [table for table in (await subject.expected()).tables if table.expires]
    remedy = (
        "aws dynamodb update-time-to-live --table-name {table} "
        "--time-to-live-specification Enabled=true,AttributeName=expiresAt"
    )
    return judge_tables(await table_statuses(tables, status), "time to live", remedy)


async def recovery(subject: Subject) -> Finding:
    async def status(table: Table) -> Any:
        answer = await subject.call("dynamodb", "describe_continuous_backups", TableName=table.name)
        backups = answer["ContinuousBackupsDescription"]
        return backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]

    tables = [table for table in (await subject.expected()).tables if table.recovers]
    remedy = (
        "aws dynamodb update-continuous-backups --table-name {table} "
        "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
    )
    return judge_tables(await table_statuses(tables, status), "point-in-time recovery", remedy)


async def drift(subject: Subject, wait_s: float = DRIFT_WAIT_S) -> Finding:
    before = await subject.stack()
    started = await subject.call("cloudformation", "detect_stack_drift", StackName=subject.stack_name)
    identified = {"StackDriftDetectionId": started["StackDriftDetectionId"]}
    give_up_at = time.monotonic() + wait_s
    while True:
        detection = await subject.call(
            "cloudformation", "describe_stack_drift_detection_status", **identified
        )
        if detection["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        if time.monotonic() >= give_up_at:
            return judge_slow_drift(before.get("DriftInformation", {}))
        await asyncio.sleep(DRIFT_POLL_S)
    answer = await subject.call(
        "cloudformation",
        "describe_stack_resource_drifts",
        StackName=subject.stack_name,
        StackResourceDriftStatusFilters=["MODIFIED", "DELETED"],
    )
    return judge_drift(detection, answer["StackResourceDrifts"])


TEMPLATE_ACTION = "cloudformation:GetTemplate"
QUOTA_ACTIONS = ("servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota")
# GetCallerIdentity needs no permission. A wrong clock spoils credentials, so both are judged in any case.
FIRST = (
    Check("credentials", credentials, (), is_required=True),
    Check("clock", clock, ()),
    Check("stack", stack, ("cloudformation:DescribeStacks",), is_required=True),
)
CHECKS = (
    Check("template", template, (TEMPLATE_ACTION,)),
    Check("concurrency", concurrency, ("lambda:GetAccountSettings", TEMPLATE_ACTION)),
    Check("requests", requests, (*QUOTA_ACTIONS, "apigateway:GET", TEMPLATE_ACTION)),
    Check("connects", connects, QUOTA_ACTIONS),
    Check(
        "log role",
        log_role,
        ("apigateway:GET", TEMPLATE_ACTION, "cloudformation:ListStackResources", "iam:GetRole"),
    ),
    Check("subscribers", subscribers, ("cloudformation:DescribeStacks", "sns:ListSubscriptionsByTopic")),
    Check("alarms", alarms, ("cloudformation:ListStackResources", "cloudwatch:DescribeAlarms")),
    Check("failures", failures, (TEMPLATE_ACTION, "sqs:GetQueueUrl", "sqs:GetQueueAttributes")),
    Check(
        "queues",
        queues,
        (TEMPLATE_ACTION, "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "cloudwatch:GetMetricData"),
    ),
    Check("expiry", expiry, (TEMPLATE_ACTION, "dynamodb:DescribeTimeToLive")),
    Check("recovery", recovery, (TEMPLATE_ACTION, "dynamodb:DescribeContinuousBackups")),
)
# Runs beside all others, since it takes longest.
DRIFT = Check(
    "drift",
    drift,
    (
        "cloudformation:DescribeStacks",
        "cloudformation:DetectStackDrift",
        "cloudformation:DetectStackResourceDrift",
        "cloudformation:DescribeStackDriftDetectionStatus",
        "cloudformation:DescribeStackResourceDrifts",
    ),
    DRIFT_TIMEOUT_S,
)
