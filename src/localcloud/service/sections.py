"""The sections of serverless.yml that localcloud runs, with the values that AWS allows, and defaults.

Source: Serverless Framework's reference, and CreateEventSourceMapping, CreateFunction and CreateQueue of AWS.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

from localcloud.service.checks import Section

Timeout: TypeAlias = Annotated[int, Meta(ge=1, le=900)]
Memory: TypeAlias = Annotated[int, Meta(ge=128, le=10_240)]
Window: TypeAlias = Annotated[int, Meta(ge=0, le=300)]
# -1: unlimited.
Retries: TypeAlias = Annotated[int, Meta(ge=-1, le=10_000)]
RecordAge: TypeAlias = Annotated[int, Meta(ge=-1, le=604_800)]
Strings: TypeAlias = Annotated[list[str], Meta(min_length=1)]
Pattern: TypeAlias = Annotated[dict[str, Strings], Meta(min_length=1)]
ResponseType: TypeAlias = Literal["ReportBatchItemFailures"] | None

# Sections and settings that mean nothing on one machine.
IGNORED = "frameworkVersion configValidationMode params package plugins custom".split()
PROVIDER_IGNORED = (
    "name runtime architecture region stage logRetentionInDays versionFunctions iam websocketsApiName logs"
    " tracing tags stackTags deploymentMethod deploymentBucket"
).split()
FUNCTION_IGNORED = "allow description reservedConcurrency role tags tracing".split()
RESOURCES_IGNORED = "Description Metadata Parameters Mappings Conditions Outputs extensions".split()
RESOURCE_IGNORED = "DependsOn Condition DeletionPolicy UpdateReplacePolicy Metadata".split()
QUEUE_IGNORED = ("SqsManagedSseEnabled", "Tags")


class Document(Section):
    service: str
    provider: dict[str, Any] = {}
    functions: dict[str, Any] = {}
    resources: Any = {}


class Provider(Section):
    memory_size: Memory = 1024
    timeout: Timeout = 6
    environment: dict[str, Any] = {}
    websockets_api_route_selection_expression: str = "$request.body.action"


class Authorizer(Section):
    name: str
    identity_source: Any = None


class WebsocketEvent(Section):
    route: str
    authorizer: Authorizer | None = None
    route_response_selection_expression: Literal["$default"] | None = None


class OnFailure(Section):
    type: Literal["sqs"]
    arn: Any


class Destinations(Section):
    on_failure: OnFailure


class StreamEvent(Section):
    """`filter_patterns` list the allowed strings of top-level fields: localcloud knows no other patterns."""

    type: Literal["dynamodb"]
    arn: Any
    starting_position: Literal["TRIM_HORIZON", "LATEST"] = "TRIM_HORIZON"
    batch_size: Annotated[int, Meta(ge=1, le=10_000)] = 100
    batch_window: Window = 0
    parallelization_factor: Annotated[int, Meta(ge=1, le=10)] = 1
    bisect_batch_on_function_error: bool = False
    maximum_retry_attempts: Retries = -1
    maximum_record_age_in_seconds: RecordAge = -1
    function_response_type: ResponseType = None
    filter_patterns: list[Pattern] = []
    destinations: Destinations | None = None
    enabled: bool = True


class QueueEvent(Section):
    arn: Any
    # One ReceiveMessage returns no more. No queue on this machine is busy enough for larger batches.
    batch_size: Annotated[int, Meta(ge=1, le=10)] = 10
    maximum_batching_window: Window = 0
    maximum_concurrency: Annotated[int, Meta(ge=2, le=1000)] | None = None
    function_response_type: ResponseType = None
    enabled: bool = True


class Event(Section):
    websocket: WebsocketEvent | None = None
    stream: StreamEvent | None = None
    sqs: QueueEvent | None = None


class FunctionSection(Section):
    """`timeout` and `memory_size` are the provider's unless given."""

    handler: str
    timeout: Timeout | None = None
    memory_size: Memory | None = None
    environment: dict[str, Any] = {}
    events: list[Event] = []


class Resources(Section, rename="pascal"):
    resources: dict[str, Any] = {}


class Resource(Section, rename="pascal"):
    type: str
    properties: dict[str, Any] = {}


class RedrivePolicy(Section):
    dead_letter_target_arn: Any
    max_receive_count: Annotated[int, Meta(ge=1, le=1000)]


class QueueProperties(Section, rename="pascal", omit_defaults=True):
    queue_name: str | None = None
    fifo_queue: bool = False
    content_based_deduplication: bool | None = None
    deduplication_scope: Literal["messageGroup", "queue"] | None = None
    fifo_throughput_limit: Literal["perQueue", "perMessageGroupId"] | None = None
    message_retention_period: Annotated[int, Meta(ge=60, le=1_209_600)] | None = None
    visibility_timeout: Annotated[int, Meta(ge=0, le=43_200)] | None = None
    delay_seconds: Annotated[int, Meta(ge=0, le=900)] | None = None
    maximum_message_size: Annotated[int, Meta(ge=1024, le=1_048_576)] | None = None
    redrive_policy: RedrivePolicy | None = None
