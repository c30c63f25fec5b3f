"""Reads serverless.yml into the service that localcloud runs. A setting it does not know is an error."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localcloud.errors import ServiceError
from localcloud.service.checks import only, whole
from localcloud.service.model import (
    ACCOUNT_ID,
    API_ID,
    Function,
    QueueMapping,
    Route,
    Service,
    StreamMapping,
    placeholder,
)
from localcloud.service.resources import (
    check_resources,
    read_queues,
    read_tables,
    read_user_pool_clients,
    read_user_pools,
)
from localcloud.service.template import (
    Variables,
    attribute_owner,
    parse_yaml,
    resolve_intrinsics,
    resolve_variables,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from localcloud.service.model import Queue, Table

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
    "handler events allow timeout memorySize environment description reservedConcurrency role tags tracing"
).split()
WEBSOCKET_KEYS = ("route", "authorizer", "routeResponseSelectionExpression")
STREAM_KEYS = (
    "type arn startingPosition batchSize batchWindow parallelizationFactor bisectBatchOnFunctionError"
    " maximumRetryAttempts maximumRecordAgeInSeconds functionResponseType filterPatterns destinations enabled"
).split()
QUEUE_EVENT_KEYS = (
    "arn batchSize maximumBatchingWindow maximumConcurrency functionResponseType enabled".split()
)
# What one ReceiveMessage returns; more than that in a batch is for queues busier than any on this machine.
MAX_QUEUE_BATCH = 10
MAX_WINDOW_S = 300
CONCURRENCY_BOUNDS = (2, 1000)
DEFAULT_VISIBILITY_S = 30
RESOURCES_KEYS = "Description Metadata Parameters Mappings Conditions Resources Outputs extensions".split()


def load_service(
    path: Path,
    *,
    stage: str,
    region: str,
    params: Mapping[str, str],
    timeouts: Mapping[str, int] | None = None,
) -> Service:
    """The service of one stage; ServiceError says what is wrong, and where.

    `params` and `timeouts` (seconds, by function) override the file's.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ServiceError(f"cannot read {path.name}: {error.strerror}") from None
    document = resolve_variables(parse_yaml(text), Variables(stage, region, params, os.environ))
    only(document, TOP_KEYS, "top level")
    provider = document.get("provider") or {}
    only(provider, PROVIDER_KEYS, "provider")
    resources = _own_resources(document.get("resources") or {})
    pseudo = _pseudo_parameters(region)
    tables, queues = read_tables(resources), read_queues(resources)
    pools = read_user_pools(resources, pseudo)
    clients = read_user_pool_clients(resources, pools, pseudo)
    names = {
        **pseudo,
        "WebsocketsApi": API_ID,
        **{logical_id: table.name for logical_id, table in tables.items()},
        **{logical_id: _queue_url(queue, region) for logical_id, queue in queues.items()},
        **{logical_id: placeholder(logical_id) for logical_id in (*pools, *clients)},
    }
    raw_functions = document.get("functions") or {}
    functions = {name: _function(name, raw, provider, names) for name, raw in raw_functions.items()}
    functions |= {name: _with_timeout(name, functions, s) for name, s in (timeouts or {}).items()}
    return Service(
        name=str(document["service"]),
        stage=stage,
        region=region,
        functions=functions,
        routes={route.key: route for route in _routes(raw_functions)},
        tables=tables,
        queues=queues,
        user_pools=pools,
        user_pool_clients=clients,
        stream_mappings=tuple(_stream_mappings(raw_functions, tables, queues)),
        queue_mappings=tuple(_queue_mappings(raw_functions, functions, queues)),
        route_selection_expression=provider.get(
            "websocketsApiRouteSelectionExpression", "$request.body.action"
        ),
    )


def _pseudo_parameters(region: str) -> dict[str, str]:
    return {
        "AWS::Region": region,
        "AWS::AccountId": ACCOUNT_ID,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }


def _queue_url(queue: Queue, region: str) -> str:
    """What Ref of a queue gives; the endpoint that is really asked is the SDKs' AWS_ENDPOINT_URL_SQS."""
    return f"https://sqs.{region}.amazonaws.com/{ACCOUNT_ID}/{queue.name}"


def _own_resources(raw: Any) -> dict[str, Any]:
    """The resources that stand in the file itself. Those of `${file(…)}` are for AWS alone."""
    parts = raw if isinstance(raw, list) else [raw]
    own = [part for part in parts if not (isinstance(part, str) and part.startswith("${file("))]
    if len(own) != 1:
        raise ServiceError("serverless.yml: resources: must have one part that is no file")
    only(own[0], RESOURCES_KEYS, "resources")
    resources: dict[str, Any] = own[0].get("Resources") or {}
    check_resources(resources)
    return resources


def _function(name: str, raw: dict[str, Any], provider: dict[str, Any], names: Mapping[str, str]) -> Function:
    where = f"functions.{name}"
    only(raw, FUNCTION_KEYS, where)
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


def _with_timeout(name: str, functions: Mapping[str, Function], timeout_s: int) -> Function:
    if name not in functions:
        raise ServiceError(f"--timeout: there is no function {name}; there are {', '.join(functions)}")
    return replace(functions[name], timeout_s=timeout_s)


def _events(functions: Mapping[str, Any], kind: str) -> Iterable[tuple[str, dict[str, Any], str]]:
    """(function, settings, where) of every event of one kind; an event of an unknown kind is an error."""
    for name, raw in functions.items():
        for index, event in enumerate(raw.get("events") or []):
            where = f"functions.{name}.events[{index}]"
            only(event, ("websocket", "stream", "sqs"), where)
            if kind in event:
                yield name, event[kind], f"{where}.{kind}"


def _routes(functions: Mapping[str, Any]) -> Iterable[Route]:
    for name, raw, where in _events(functions, "websocket"):
        only(raw, WEBSOCKET_KEYS, where)
        authorizer = raw.get("authorizer")
        if authorizer is not None:
            only(authorizer, ("name", "identitySource"), f"{where}.authorizer")
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
        only(raw, STREAM_KEYS, where)
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
        only(raw, QUEUE_EVENT_KEYS, where)
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
        window_s = whole(raw, "maximumBatchingWindow", 0, (0, MAX_WINDOW_S), where)
        if window_s and queues[queue].is_fifo:
            raise ServiceError(f"serverless.yml: {where}: a FIFO queue allows no maximumBatchingWindow")
        yield QueueMapping(
            function=name,
            queue=queue,
            batch_size=whole(raw, "batchSize", MAX_QUEUE_BATCH, (1, MAX_QUEUE_BATCH), where),
            window_s=window_s,
            report_item_failures=_reports_failures(raw, where),
            maximum_concurrency=whole(raw, "maximumConcurrency", 0, CONCURRENCY_BOUNDS, where)
            if "maximumConcurrency" in raw
            else None,
        )


def _reports_failures(raw: Mapping[str, Any], where: str) -> bool:
    response_type = raw.get("functionResponseType")
    if response_type not in (None, "ReportBatchItemFailures"):
        raise ServiceError(f"serverless.yml: {where}: functionResponseType can be ReportBatchItemFailures")
    return response_type is not None


def _failure_queue(raw: Any, queues: Mapping[str, Queue], where: str) -> str | None:
    if raw is None:
        return None
    only(raw, ("onFailure",), where)
    only(raw["onFailure"], ("type", "arn"), f"{where}.onFailure")
    queue = attribute_owner(raw["onFailure"].get("arn"), "Arn", f"{where}.onFailure.arn")
    if raw["onFailure"].get("type") != "sqs" or queue not in queues:
        raise ServiceError(f"serverless.yml: {where}.onFailure: must be an SQS queue of this file")
    if queues[queue].is_fifo:
        raise ServiceError(f"serverless.yml: {where}.onFailure: Lambda sends to no FIFO queue")
    return queue
