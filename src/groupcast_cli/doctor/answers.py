"""Answers that take several calls of AWS, or some picking apart."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from groupcast_cli.doctor.finding import CannotCheckError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from groupcast_cli.doctor.expected import Table
    from groupcast_cli.doctor.subject import Subject

AGE_WINDOW = timedelta(minutes=10)
# Of 100 resources each: a stack has at most 500.
RESOURCE_PAGES_MAX = 5


async def resource_names(subject: Subject, kind: str) -> dict[str, str]:
    """Logical names of the stack's resources of a type, by physical name."""
    names: dict[str, str] = {}
    token: dict[str, str] = {}
    for _ in range(RESOURCE_PAGES_MAX):
        page = await subject.call(
            "cloudformation", "list_stack_resources", StackName=subject.stack_name, **token
        )
        for one in page["StackResourceSummaries"]:
            if one["ResourceType"] == kind:
                names[one["PhysicalResourceId"]] = one["LogicalResourceId"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    return names


async def role_exists(subject: Subject, name: str) -> bool:
    """Whether IAM has a role of this name."""
    try:
        await subject.call("iam", "get_role", RoleName=name)
    except CannotCheckError as error:
        if error_code(error) == "NoSuchEntity":
            return False
        raise
    return True


def error_code(error: CannotCheckError) -> str:
    """AWS's code of the error behind it; empty where AWS did not answer."""
    cause = error.__cause__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else ""


async def gateway_quota(subject: Subject, code: str) -> float:
    """A quota of API Gateway, as Service Quotas has it for this account and region; else AWS's default."""
    quota = {"ServiceCode": "apigateway", "QuotaCode": code}
    try:
        answer = await subject.call("service-quotas", "get_service_quota", **quota)
    except CannotCheckError as error:
        # Of a quota that nobody changed here (Service Quotas API reference, GetServiceQuota).
        if error_code(error) != "NoSuchResourceException":
            raise
        answer = await subject.call("service-quotas", "get_aws_default_service_quota", **quota)
    return float(answer["Quota"]["Value"])


async def message_counts(subject: Subject, queue: str) -> tuple[int, int]:
    """Messages of a queue that are visible, and that a reader or a delay hides."""
    url = (await subject.call("sqs", "get_queue_url", QueueName=queue))["QueueUrl"]
    shown, *hidden = (f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed"))
    answer = await subject.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=[shown, *hidden])
    counts = answer["Attributes"]
    return int(counts[shown]), sum(int(counts[name]) for name in hidden)


async def oldest_s(subject: Subject, queue_names: tuple[str, ...]) -> list[float | None]:
    """Age of each queue's oldest message; None where CloudWatch has no value of the last minutes."""
    now = datetime.now(UTC)
    answer = await subject.call(
        "cloudwatch",
        "get_metric_data",
        StartTime=now - AGE_WINDOW,
        EndTime=now,
        MetricDataQueries=[
            {
                "Id": f"age{place}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SQS",
                        "MetricName": "ApproximateAgeOfOldestMessage",
                        "Dimensions": [{"Name": "QueueName", "Value": name}],
                    },
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
            for place, name in enumerate(queue_names)
        ],
    )
    # The newest value comes first.
    values = {one["Id"]: one["Values"] for one in answer["MetricDataResults"]}
    return [next(iter(values.get(f"age{place}", ())), None) for place in range(len(queue_names))]


async def table_statuses(
    tables: list[Table], status: Callable[[Table], Awaitable[Any]]
) -> dict[str, str | None]:
    """The status of a setting, by table; None where the table is missing."""

    async def one(table: Table) -> Any:
        try:
            return await status(table)
        except CannotCheckError as error:
            if error_code(error) in ("ResourceNotFoundException", "TableNotFoundException"):
                return None
            raise

    found = await asyncio.gather(*(one(table) for table in tables))
    return {table.name: status for table, status in zip(tables, found, strict=True)}
