"""Reads serverless.yml into the service that localcloud runs. A setting it does not know is an error."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any

from localcloud.errors import ServiceError
from localcloud.model import (
    ACCOUNT_ID,
    Function,
    Queue,
    QueueMapping,
    Redrive,
    Route,
    Service,
    StreamMapping,
    Table,
)
from localcloud.template import (
    API_ID,
    Variables,
    attribute_owner,
    parse_yaml,
    resolve_intrinsics,
    resolve_variables,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

DEFAULT_TIMEOUT_S = 6
DEFAULT_MEMORY_MB = 1024

TOP_KEYS = (
    "service frameworkVersion configValidationMode params provider package functions resources plugins custom"
).split()
PROVIDER_KEYS = (
    "name runtime architecture region stage memorySize timeout logRetentionInDays versionFunctions"
    " environment iam websocketsApiName websocketsApiRouteSelectionExpression logs tracing tags stackTags"
    " deploymentMethod deploymentBucket"
).split()
FUNCTION_KEYS = (
    "handler events timeout memorySize environment description reservedConcurrency role tags tracing"
).split()
WEBSOCKET_KEYS = ("route", "authorizer", "routeResponseSelectionExpression")
STREAM_KEYS = (
    "type arn startingPosition batchSize batchWindow parallelizationFactor bisectBatchOnFunctionError"
    " maximumRetryAttempts maximumRecordAgeInSeconds functionResponseType filterPatterns destinations enabled"
).split()
QUEUE_EVENT_KEYS = "arn batchSize maximumBatchingWindow functionResponseType enabled".split()
# What one ReceiveMessage returns; more than that in a batch is for queues busier than any on this machine.
MAX_QUEUE_BATCH = 10
MAX_WINDOW_S = 300
DEFAULT_VISIBILITY_S = 30
MAX_RECEIVES = 1000
# CreateTable's own members, and those that CloudFormation adds.
TABLE_KEYS = (
    "TableName BillingMode AttributeDefinitions KeySchema GlobalSecondaryIndexes StreamSpecification"
).split()
TABLE_EXTRA_KEYS = (
    "TimeToLiveSpecification PointInTimeRecoverySpecification SSESpecification Tags DeletionProtectionEnabled"
).split()
QUEUE_KEYS = (
    "QueueName MessageRetentionPeriod VisibilityTimeout RedrivePolicy SqsManagedSseEnabled DelaySeconds Tags"
).split()
# Attributes that an SQS on this machine has a use for.
QUEUE_ATTRIBUTES = ("MessageRetentionPeriod", "VisibilityTimeout", "DelaySeconds")


def load_service(path: Path, *, stage: str, region: str, params: Mapping[str, str]) -> Service:
    """The service of one stage. `params` override the file's; ServiceError says what is wrong, and where."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ServiceError(f"cannot read {path.name}: {error.strerror}") from None
    document = resolve_variables(parse_yaml(text), Variables(stage, region, params, os.environ))
    _only(document, TOP_KEYS, "top level")
    provider = document.get("provider") or {}
    _only(provider, PROVIDER_KEYS, "provider")
    resources = (document.get("resources") or {}).get("Resources") or {}
    tables = dict(_tables(resources))
    queues = dict(_queues(resources))
    names = {
        "AWS::Region": region,
        "AWS::AccountId": ACCOUNT_ID,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "WebsocketsApi": API_ID,
        **{logical_id: table.name for logical_id, table in tables.items()},
        # Ref of a queue is its URL; the endpoint that is really asked is the SDKs' AWS_ENDPOINT_URL_SQS.
        **{
            logical_id: f"https://sqs.{region}.amazonaws.com/{ACCOUNT_ID}/{queue.name}"
            for logical_id, queue in queues.items()
        },
    }
    raw_functions = document.get("functions") or {}
    functions = {name: _function(name, raw, provider, names) for name, raw in raw_functions.items()}
    return Service(
        name=str(document["service"]),
        stage=stage,
        region=region,
        functions=functions,
        routes={route.key: route for route in _routes(raw_functions)},
        tables=tables,
        queues=queues,
        stream_mappings=tuple(_stream_mappings(raw_functions, tables, queues)),
        queue_mappings=tuple(_queue_mappings(raw_functions, functions, queues)),
        route_selection_expression=provider.get(
            "websocketsApiRouteSelectionExpression", "$request.body.action"
        ),
    )


def _only(value: Any, known: Iterable[str], where: str) -> None:
    if not isinstance(value, dict):
        raise ServiceError(f"serverless.yml: {where} must be a mapping")
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ServiceError(f"serverless.yml: {where}: unknown setting {key}{hint}")


def _function(name: str, raw: dict[str, Any], provider: dict[str, Any], names: Mapping[str, str]) -> Function:
    where = f"functions.{name}"
    _only(raw, FUNCTION_KEYS, where)
    if not isinstance(raw.get("handler"), str):
        raise ServiceError(f"serverless.yml: {where}: handler is missing")
    environment = {**(provider.get("environment") or {}), **(raw.get("environment") or {})}
    return Function(
        name=name,
        handler=raw["handler"],
        timeout_s=raw.get("timeout", provider.get("timeout", DEFAULT_TIMEOUT_S)),
        memory_mb=raw.get("memorySize", provider.get("memorySize", DEFAULT_MEMORY_MB)),
        environment={
            key: str(resolve_intrinsics(value, names, f"{where}.environment.{key}"))
            for key, value in environment.items()
        },
    )


def _events(functions: Mapping[str, Any], kind: str) -> Iterable[tuple[str, dict[str, Any], str]]:
    """(function, settings, where) of every event of one kind; an event of an unknown kind is an error."""
    for name, raw in functions.items():
        for index, event in enumerate(raw.get("events") or []):
            where = f"functions.{name}.events[{index}]"
            _only(event, ("websocket", "stream", "sqs"), where)
            if kind in event:
                yield name, event[kind], f"{where}.{kind}"


def _routes(functions: Mapping[str, Any]) -> Iterable[Route]:
    for name, raw, where in _events(functions, "websocket"):
        _only(raw, WEBSOCKET_KEYS, where)
        authorizer = raw.get("authorizer")
        if authorizer is not None:
            _only(authorizer, ("name", "identitySource"), f"{where}.authorizer")
            if authorizer.get("name") not in functions:
                raise ServiceError(
                    f"serverless.yml: {where}.authorizer: no function {authorizer.get('name')}"
                )
        responds = raw.get("routeResponseSelectionExpression")
        if responds not in (None, "$default"):
            raise ServiceError(f"serverless.yml: {where}: routeResponseSelectionExpression can be $default")
        yield Route(raw["route"], name, responds is not None, authorizer["name"] if authorizer else None)


def _stream_mappings(
    functions: Mapping[str, Any], tables: Mapping[str, Table], queues: Mapping[str, Queue]
) -> Iterable[StreamMapping]:
    for name, raw, where in _events(functions, "stream"):
        _only(raw, STREAM_KEYS, where)
        if not raw.get("enabled", True):
            continue
        if raw.get("type") != "dynamodb":
            raise ServiceError(f"serverless.yml: {where}: localcloud runs streams of type dynamodb only")
        table = attribute_owner(raw.get("arn"), "StreamArn", f"{where}.arn")
        if table not in tables or "StreamSpecification" not in tables[table].definition:
            raise ServiceError(f"serverless.yml: {where}.arn: {table} is no table with a stream")
        yield StreamMapping(
            function=name,
            table=table,
            batch_size=raw.get("batchSize", 100),
            window_s=raw.get("batchWindow", 0),
            parallelization=raw.get("parallelizationFactor", 1),
            bisect_on_error=raw.get("bisectBatchOnFunctionError", False),
            report_item_failures=_reports_failures(raw, where),
            max_retries=raw.get("maximumRetryAttempts", -1),
            max_record_age_s=raw.get("maximumRecordAgeInSeconds", -1),
            starting_position=raw.get("startingPosition", "TRIM_HORIZON"),
            filters=tuple(raw.get("filterPatterns") or ()),
            on_failure_queue=_failure_queue(raw.get("destinations"), queues, f"{where}.destinations"),
        )


def _queue_mappings(
    raw_functions: Mapping[str, Any], functions: Mapping[str, Function], queues: Mapping[str, Queue]
) -> Iterable[QueueMapping]:
    for name, raw, where in _events(raw_functions, "sqs"):
        _only(raw, QUEUE_EVENT_KEYS, where)
        if not raw.get("enabled", True):
            continue
        queue = attribute_owner(raw.get("arn"), "Arn", f"{where}.arn")
        if queue not in queues:
            raise ServiceError(f"serverless.yml: {where}.arn: {queue} is no queue of this file")
        # What CreateEventSourceMapping asks for, too: or the queue gives out again what is being worked on.
        visibility_s = int(queues[queue].attributes.get("VisibilityTimeout", DEFAULT_VISIBILITY_S))
        if visibility_s < functions[name].timeout_s:
            raise ServiceError(
                f"serverless.yml: {where}: VisibilityTimeout of {queue} must be at least {name}'s timeout"
            )
        yield QueueMapping(
            function=name,
            queue=queue,
            batch_size=_whole(raw, "batchSize", MAX_QUEUE_BATCH, (1, MAX_QUEUE_BATCH), where),
            window_s=_whole(raw, "maximumBatchingWindow", 0, (0, MAX_WINDOW_S), where),
            report_item_failures=_reports_failures(raw, where),
        )


def _reports_failures(raw: Mapping[str, Any], where: str) -> bool:
    response_type = raw.get("functionResponseType")
    if response_type not in (None, "ReportBatchItemFailures"):
        raise ServiceError(f"serverless.yml: {where}: functionResponseType can be ReportBatchItemFailures")
    return response_type is not None


def _whole(raw: Mapping[str, Any], key: str, default: int, bounds: tuple[int, int], where: str) -> int:
    value, (low, high) = raw.get(key, default), bounds
    if not isinstance(value, int) or not low <= value <= high:
        raise ServiceError(f"serverless.yml: {where}: {key} must be {low} to {high}, not {value}")
    return value


def _failure_queue(raw: Any, queues: Mapping[str, Queue], where: str) -> str | None:
    if raw is None:
        return None
    _only(raw, ("onFailure",), where)
    _only(raw["onFailure"], ("type", "arn"), f"{where}.onFailure")
    queue = attribute_owner(raw["onFailure"].get("arn"), "Arn", f"{where}.onFailure.arn")
    if raw["onFailure"].get("type") != "sqs" or queue not in queues:
        raise ServiceError(f"serverless.yml: {where}.onFailure: must be an SQS queue of this file")
    return queue


def _tables(resources: Mapping[str, Any]) -> Iterable[tuple[str, Table]]:
    for logical_id, resource in resources.items():
        if resource.get("Type") != "AWS::DynamoDB::Table":
            continue
        properties = resource.get("Properties") or {}
        _only(properties, (*TABLE_KEYS, *TABLE_EXTRA_KEYS), f"resources.{logical_id}")
        definition = {key: value for key, value in properties.items() if key in TABLE_KEYS}
        definition.setdefault("TableName", logical_id)
        if "StreamSpecification" in definition:
            definition["StreamSpecification"] = {"StreamEnabled": True, **definition["StreamSpecification"]}
        ttl = properties.get("TimeToLiveSpecification") or {}
        yield (
            logical_id,
            Table(logical_id, definition, ttl.get("AttributeName") if ttl.get("Enabled") else None),
        )


def _queues(resources: Mapping[str, Any]) -> Iterable[tuple[str, Queue]]:
    known = [name for name, resource in resources.items() if resource.get("Type") == "AWS::SQS::Queue"]
    for logical_id in known:
        properties = resources[logical_id].get("Properties") or {}
        where = f"resources.{logical_id}"
        _only(properties, QUEUE_KEYS, where)
        attributes = {key: str(properties[key]) for key in QUEUE_ATTRIBUTES if key in properties}
        redrive = _redrive(properties.get("RedrivePolicy"), known, f"{where}.RedrivePolicy")
        yield logical_id, Queue(logical_id, properties.get("QueueName", logical_id), attributes, redrive)


def _redrive(raw: Any, queues: Collection[str], where: str) -> Redrive | None:
    if raw is None:
        return None
    _only(raw, ("deadLetterTargetArn", "maxReceiveCount"), where)
    queue = attribute_owner(raw.get("deadLetterTargetArn"), "Arn", f"{where}.deadLetterTargetArn")
    if queue not in queues:
        raise ServiceError(f"serverless.yml: {where}.deadLetterTargetArn: {queue} is no queue of this file")
    return Redrive(queue, _whole(raw, "maxReceiveCount", 0, (1, MAX_RECEIVES), where))
