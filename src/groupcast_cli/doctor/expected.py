"""The settings of a stage, read from its CloudFormation template. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from groupcast_cli.doctor.finding import CannotCheckError

if TYPE_CHECKING:
    from collections.abc import Mapping

# A stream invokes parallelizationFactor times a shard, and a new table on demand has four shards.
STREAM_SHARDS = 4


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table and the settings that it was deployed with."""

    name: str
    expires: bool
    recovers: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """Parameters of serverless.yml as the stage was deployed with them.

    `posts_per_second` is 0 where there is no budget, `fanout_concurrency` None where nothing is reserved.
    """

    auth_required: bool
    token_use: str
    posts_per_second: float
    post_burst: float
    requests_per_second: float
    request_burst: float
    delivery_concurrency: int
    retry_concurrency: int
    stream_concurrency: int
    fanout_concurrency: int | None
    sets_log_role: bool
    offer_alarm_s: float
    leftover_alarm_s: float
    delivery_queue: str
    retry_queue: str
    failures_queue: str
    tables: tuple[Table, ...]

    @classmethod
    def of(cls, template: Mapping[str, Any]) -> Self:
        """Read a template as osls packages it. CannotCheckError where a part is missing."""
        try:
            return cls._of(template["Resources"])
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise CannotCheckError(
                f"the stack has the template of another version ({type(error).__name__}: {error}): deploy it"
            ) from error

    @classmethod
    def _of(cls, resources: Mapping[str, Any]) -> Self:
        fanout = resources["FanoutMessageLambdaFunction"]["Properties"]
        environment = fanout["Environment"]["Variables"]
        limits = resources["WebsocketsDeploymentStage"]["Properties"]["RouteSettings"]["sendMessage"]
        reserved = fanout.get("ReservedConcurrentExecutions")
        stream = _mapping(resources, "MessagesTable")
        return cls(
            auth_required=environment["AUTH"] != "none",
            token_use=environment["TOKEN_USE"],
            posts_per_second=float(environment["POSTS_PER_SECOND"]),
            post_burst=float(environment["POST_BURST"]),
            requests_per_second=float(limits["ThrottlingRateLimit"]),
            request_burst=float(limits["ThrottlingBurstLimit"]),
            delivery_concurrency=_concurrency(resources, "DeliveryQueue"),
            retry_concurrency=_concurrency(resources, "RetryQueue"),
            stream_concurrency=STREAM_SHARDS * int(stream.get("ParallelizationFactor", 1)),
            fanout_concurrency=None if reserved is None else int(reserved),
            sets_log_role="ApiGatewayAccount" in resources,
            offer_alarm_s=float(resources["OffersWait"]["Properties"]["Threshold"]),
            leftover_alarm_s=float(resources["LeftoversWait"]["Properties"]["Threshold"]),
            delivery_queue=resources["DeliveryQueue"]["Properties"]["QueueName"],
            retry_queue=resources["RetryQueue"]["Properties"]["QueueName"],
            failures_queue=resources["FanoutFailures"]["Properties"]["QueueName"],
            tables=tuple(
                _table(resource["Properties"])
                for resource in resources.values()
                if resource["Type"] == "AWS::DynamoDB::Table"
            ),
        )


def _table(properties: Mapping[str, Any]) -> Table:
    recovery = properties.get("PointInTimeRecoverySpecification", {})
    return Table(
        properties["TableName"],
        expires=properties.get("TimeToLiveSpecification", {}).get("Enabled", False),
        recovers=recovery.get("PointInTimeRecoveryEnabled", False),
    )


def _mapping(resources: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """The event source mapping of a table's stream or of a queue."""
    return next(
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::EventSourceMapping"
        and resource["Properties"]["EventSourceArn"]["Fn::GetAtt"][0] == source
    )


def _concurrency(resources: Mapping[str, Any], queue: str) -> int:
    return int(_mapping(resources, queue)["ScalingConfig"]["MaximumConcurrency"])
