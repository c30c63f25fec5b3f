"""The service that serverless.yml describes, in plain values for the rest of localcloud."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The account and region of everything on this machine. serverless.yml also deploys to this region by default.
ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
API_ID = "localcloud"


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function. `handler` is `package.module.attribute`; `environment` is resolved."""

    name: str
    handler: str
    timeout_s: int
    memory_mb: int
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """A WebSocket route. `responds` says that the function's answer goes back to the client."""

    key: str
    function: str
    responds: bool
    authorizer: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table. `definition` is CreateTable's request; `ttl_attribute` is None without TTL."""

    logical_id: str
    definition: Mapping[str, Any]
    ttl_attribute: str | None

    @property
    def name(self) -> str:
        return str(self.definition["TableName"])


@dataclass(frozen=True, slots=True)
class Redrive:
    """The dead-letter queue (its logical id) for messages that were received `max_receive_count` times."""

    queue: str
    max_receive_count: int


@dataclass(frozen=True, slots=True)
class Queue:
    """An SQS queue. `attributes` is CreateQueue's map (all values strings) without the redrive policy."""

    logical_id: str
    name: str
    attributes: Mapping[str, str]
    redrive: Redrive | None = None

    @property
    def is_fifo(self) -> bool:
        return "FifoQueue" in self.attributes


@dataclass(frozen=True, slots=True)
class UserPool:
    """A Cognito user pool. `definition` is CreateUserPool's request."""

    logical_id: str
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UserPoolClient:
    """A client of a user pool (its logical id). `definition` is CreateUserPoolClient's without the pool."""

    logical_id: str
    user_pool: str
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamMapping:
    """An event source mapping from a table's stream to a function (AWS: CreateEventSourceMapping).

    `max_retries` and `max_record_age_s` are -1 for unlimited; `filters` are event patterns, any of which lets
    a record through (without patterns all pass); `on_failure_queue` is the logical id of a queue.
    """

    function: str
    table: str
    batch_size: int = 100
    window_s: int = 0
    parallelization: int = 1
    bisect_on_error: bool = False
    report_item_failures: bool = False
    max_retries: int = -1
    max_record_age_s: int = -1
    starting_position: str = "TRIM_HORIZON"
    filters: tuple[Mapping[str, Sequence[str]], ...] = ()
    on_failure_queue: str | None = None


@dataclass(frozen=True, slots=True)
class QueueMapping:
    """An event source mapping from a queue (its logical id) to a function.

    `maximum_concurrency` bounds the batches that the function works on at once; None: the mapping does not.
    """

    function: str
    queue: str
    batch_size: int = 10
    window_s: int = 0
    report_item_failures: bool = False
    maximum_concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """All of serverless.yml that localcloud runs, for one stage."""

    name: str
    stage: str
    region: str
    functions: Mapping[str, Function]
    routes: Mapping[str, Route]
    tables: Mapping[str, Table]
    queues: Mapping[str, Queue]
    stream_mappings: tuple[StreamMapping, ...]
    queue_mappings: tuple[QueueMapping, ...] = ()
    user_pools: Mapping[str, UserPool] = field(default_factory=dict)
    user_pool_clients: Mapping[str, UserPoolClient] = field(default_factory=dict)
    route_selection_expression: str = "$request.body.action"


def placeholder(logical_id: str) -> str:
    """A placeholder in an environment for the id that a resource gets when it is created."""
    return f"<{logical_id}>"


def with_ids(service: Service, ids: Mapping[str, str]) -> Service:
    """The service with the placeholders in its functions' environments replaced; `ids` by logical id."""

    def filled(value: str) -> str:
        for logical_id, made in ids.items():
            value = value.replace(placeholder(logical_id), made)
        return value

    functions = {
        name: replace(
            function, environment={key: filled(value) for key, value in function.environment.items()}
        )
        for name, function in service.functions.items()
    }
    return replace(service, functions=functions)
