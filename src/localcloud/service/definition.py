"""Reads serverless.yml into the service that localcloud runs. An unknown setting is an error."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localcloud.errors import ServiceError
from localcloud.service import sections
from localcloud.service.checks import checked
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
from localcloud.service.resources import read_queues, read_tables, read_user_pool_clients, read_user_pools
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
    from localcloud.service.sections import Event, FunctionSection, Provider, Resource

# SQS's own.
DEFAULT_VISIBILITY_S = 30
MIN_RECORD_AGE_S = 60


def load_service(
    path: Path,
    *,
    stage: str,
    region: str,
    params: Mapping[str, str],
    timeouts: Mapping[str, int] | None = None,
) -> Service:
    """The service of one stage. ServiceError says which setting is wrong, where, and what is allowed.

    `params` and `timeouts` (seconds, by function) override the file's.
    """
    try:
        document = parse_yaml(path.read_text())
        return _service(document, Variables(stage, region, params, os.environ), timeouts or {})
    except OSError as error:
        raise ServiceError(f"cannot read {path.name}: {error.strerror}") from None
    except ServiceError as error:
        raise ServiceError(f"{path.name}: {error}") from None


def _service(raw: dict[str, Any], variables: Variables, timeouts: Mapping[str, int]) -> Service:
    document = checked(
        resolve_variables(raw, variables), sections.Document, "top level", ignored=sections.IGNORED
    )
    provider = checked(document.provider, sections.Provider, "provider", ignored=sections.PROVIDER_IGNORED)
    described = {
        name: checked(one, sections.FunctionSection, f"functions.{name}", ignored=sections.FUNCTION_IGNORED)
        for name, one in document.functions.items()
    }
    resources = _own_resources(document.resources)
    pseudo = _pseudo_parameters(variables.region)
    tables, queues = read_tables(resources), read_queues(resources)
    pools = read_user_pools(resources, pseudo)
    clients = read_user_pool_clients(resources, pools, pseudo)
    names = {
        **pseudo,
        "WebsocketsApi": API_ID,
        **{logical_id: table.name for logical_id, table in tables.items()},
        **{logical_id: _queue_url(queue, variables.region) for logical_id, queue in queues.items()},
        **{logical_id: placeholder(logical_id) for logical_id in (*pools, *clients)},
    }
    functions = {name: _function(name, one, provider, names) for name, one in described.items()}
    functions |= {name: _with_timeout(name, functions, s) for name, s in timeouts.items()}
    return Service(
        name=document.service,
        stage=variables.stage,
        region=variables.region,
        functions=functions,
        routes={route.key: route for route in _routes(described)},
        tables=tables,
        queues=queues,
        user_pools=pools,
        user_pool_clients=clients,
        stream_mappings=tuple(_stream_mappings(described, tables, queues)),
        queue_mappings=tuple(_queue_mappings(described, functions, queues)),
        route_selection_expression=provider.websockets_api_route_selection_expression,
    )


def _pseudo_parameters(region: str) -> dict[str, str]:
    return {
        "AWS::Region": region,
        "AWS::AccountId": ACCOUNT_ID,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }


def _queue_url(queue: Queue, region: str) -> str:
    """The value of a queue's Ref. SDKs ask AWS_ENDPOINT_URL_SQS instead."""
    return f"https://sqs.{region}.amazonaws.com/{ACCOUNT_ID}/{queue.name}"


def _own_resources(raw: Any) -> dict[str, Resource]:
    """The resources that the file itself has. Those of `${file(…)}` are for AWS alone."""
    parts = raw if isinstance(raw, list) else [raw]
    own = [part for part in parts if not (isinstance(part, str) and part.startswith("${file("))]
    if len(own) != 1:
        raise ServiceError("resources: must have one part that is not a file")
    found = checked(own[0], sections.Resources, "resources", ignored=sections.RESOURCES_IGNORED).resources
    return {
        logical_id: checked(
            one, sections.Resource, f"resources.{logical_id}", ignored=sections.RESOURCE_IGNORED
        )
        for logical_id, one in found.items()
    }


def _function(name: str, raw: FunctionSection, provider: Provider, names: Mapping[str, str]) -> Function:
    return Function(
        name=name,
        handler=raw.handler,
        timeout_s=raw.timeout or provider.timeout,
        memory_mb=raw.memory_size or provider.memory_size,
        environment={
            key: str(resolve_intrinsics(value, names, f"functions.{name}.environment.{key}"))
            for key, value in {**provider.environment, **raw.environment}.items()
        },
    )


def _with_timeout(name: str, functions: Mapping[str, Function], timeout_s: int) -> Function:
    if name not in functions:
        raise ServiceError(f"--timeout: there is no function {name}; there are {', '.join(functions)}")
    return replace(functions[name], timeout_s=timeout_s)


def _events(functions: Mapping[str, FunctionSection]) -> Iterable[tuple[str, Event, str]]:
    """(function, event, where) of every event."""
    for name, function in functions.items():
        for index, event in enumerate(function.events):
            yield name, event, f"functions.{name}.events[{index}]"


def _routes(functions: Mapping[str, FunctionSection]) -> Iterable[Route]:
    for name, event, where in _events(functions):
        if event.websocket is None:
            continue
        authorizer = event.websocket.authorizer and event.websocket.authorizer.name
        if authorizer not in (None, *functions):
            raise ServiceError(f"{where}.websocket.authorizer: there is no function {authorizer}")
        responds = event.websocket.route_response_selection_expression is not None
        yield Route(event.websocket.route, name, responds, authorizer)


def _stream_mappings(
    functions: Mapping[str, FunctionSection], tables: Mapping[str, Table], queues: Mapping[str, Queue]
) -> Iterable[StreamMapping]:
    for name, event, parent in _events(functions):
        stream, where = event.stream, f"{parent}.stream"
        if stream is None or not stream.enabled:
            continue
        table = attribute_owner(stream.arn, "StreamArn", f"{where}.arn")
        if table not in tables or "StreamSpecification" not in tables[table].definition:
            raise ServiceError(f"{where}.arn: {table} is not a table with a stream")
        if 0 <= stream.maximum_record_age_in_seconds < MIN_RECORD_AGE_S:
            raise ServiceError(
                f"{where}: maximumRecordAgeInSeconds must be -1 or at least {MIN_RECORD_AGE_S}"
            )
        yield StreamMapping(
            function=name,
            table=table,
            batch_size=stream.batch_size,
            window_s=stream.batch_window,
            parallelization=stream.parallelization_factor,
            bisect_on_error=stream.bisect_batch_on_function_error,
            report_item_failures=stream.function_response_type is not None,
            max_retries=stream.maximum_retry_attempts,
            max_record_age_s=stream.maximum_record_age_in_seconds,
            starting_position=stream.starting_position,
            filters=tuple(stream.filter_patterns),
            on_failure_queue=_failure_queue(stream.destinations, queues, f"{where}.destinations.onFailure"),
        )


def _queue_mappings(
    raw_functions: Mapping[str, FunctionSection],
    functions: Mapping[str, Function],
    queues: Mapping[str, Queue],
) -> Iterable[QueueMapping]:
    for name, event, parent in _events(raw_functions):
        source, where = event.sqs, f"{parent}.sqs"
        if source is None or not source.enabled:
            continue
        queue = attribute_owner(source.arn, "Arn", f"{where}.arn")
        if queue not in queues:
            raise ServiceError(f"{where}.arn: {queue} is not a queue of this file")
        # CreateEventSourceMapping asks for it, too. Else a queue would return messages during their batch.
        visibility_s = int(queues[queue].attributes.get("VisibilityTimeout", DEFAULT_VISIBILITY_S))
        if visibility_s < functions[name].timeout_s:
            raise ServiceError(f"{where}: VisibilityTimeout of {queue} must be at least {name}'s timeout")
        if source.maximum_batching_window and queues[queue].is_fifo:
            raise ServiceError(f"{where}: a FIFO queue allows no maximumBatchingWindow")
        yield QueueMapping(
            function=name,
            queue=queue,
            batch_size=source.batch_size,
            window_s=source.maximum_batching_window,
            report_item_failures=source.function_response_type is not None,
            maximum_concurrency=source.maximum_concurrency,
        )


def _failure_queue(raw: sections.Destinations | None, queues: Mapping[str, Queue], where: str) -> str | None:
    if raw is None:
        return None
    queue = attribute_owner(raw.on_failure.arn, "Arn", f"{where}.arn")
    if queue not in queues:
        raise ServiceError(f"{where}.arn: {queue} is not an SQS queue of this file")
    if queues[queue].is_fifo:
        raise ServiceError(f"{where}: Lambda does not send failures to a FIFO queue")
    return queue
