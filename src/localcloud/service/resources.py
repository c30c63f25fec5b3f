"""The resources of serverless.yml that run on this machine: tables, queues, user pools and their clients.

A property that is not known is an error; a resource of any other type (roles, alarms, log groups, …) is AWS's
own business and left out. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.errors import ServiceError
from localcloud.service.checks import choice, flag, only, whole
from localcloud.service.model import Queue, Redrive, Table, UserPool, UserPoolClient
from localcloud.service.template import attribute_owner, referred, resolve_intrinsics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

RESOURCE_KEYS = "Type Properties DependsOn Condition DeletionPolicy UpdateReplacePolicy Metadata".split()
MAX_RECEIVES = 1000
# CreateTable's own members, and those that CloudFormation adds or that mean nothing on one machine.
TABLE_KEYS = (
    "TableName BillingMode AttributeDefinitions KeySchema GlobalSecondaryIndexes StreamSpecification"
).split()
TABLE_EXTRA_KEYS = (
    "TimeToLiveSpecification PointInTimeRecoverySpecification SSESpecification Tags DeletionProtectionEnabled"
).split()
# Numeric attributes of CreateQueue and their bounds (SQS API Reference).
QUEUE_NUMBERS = {
    "MessageRetentionPeriod": (60, 1_209_600),
    "VisibilityTimeout": (0, 43_200),
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, 1_048_576),
}
FIFO_KEYS = ("ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")
QUEUE_KEYS = (
    "QueueName",
    "FifoQueue",
    *QUEUE_NUMBERS,
    *FIFO_KEYS,
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "Tags",
)
# What CreateUserPool is told here; the others are about mail, devices and protection, which are AWS's.
POOL_KEYS = "Policies AdminCreateUserConfig MfaConfiguration UsernameConfiguration Schema".split()
POOL_EXTRA_KEYS = (
    "UserPoolName AccountRecoverySetting AutoVerifiedAttributes DeletionProtection DeviceConfiguration"
    " EmailConfiguration EnabledMfas UserAttributeUpdateSettings UserPoolAddOns UserPoolTags UserPoolTier"
    " VerificationMessageTemplate"
).split()
CLIENT_KEYS = (
    "ExplicitAuthFlows GenerateSecret AccessTokenValidity IdTokenValidity RefreshTokenValidity"
    " TokenValidityUnits PreventUserExistenceErrors EnableTokenRevocation AuthSessionValidity"
).split()
CLIENT_EXTRA_KEYS = (
    "ClientName UserPoolId ReadAttributes WriteAttributes SupportedIdentityProviders RefreshTokenRotation"
).split()


def check_resources(resources: Mapping[str, Any]) -> None:
    """ServiceError where a resource of any type is no mapping, or has a misspelt key beside `Properties`."""
    for logical_id, resource in resources.items():
        only(resource, RESOURCE_KEYS, f"resources.{logical_id}")


def read_tables(resources: Mapping[str, Any]) -> dict[str, Table]:
    """DynamoDB tables by logical id."""
    return {
        logical_id: _table(logical_id, properties)
        for logical_id, properties in _of_type(resources, "AWS::DynamoDB::Table")
    }


def read_queues(resources: Mapping[str, Any]) -> dict[str, Queue]:
    """SQS queues by logical id."""
    found = dict(_of_type(resources, "AWS::SQS::Queue"))
    return {logical_id: _queue(logical_id, properties, found) for logical_id, properties in found.items()}


def read_user_pools(resources: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, UserPool]:
    """Cognito user pools by logical id; `names` are the values of pseudo parameters."""
    pools = {}
    for logical_id, properties in _of_type(resources, "AWS::Cognito::UserPool"):
        where = f"resources.{logical_id}"
        only(properties, (*POOL_KEYS, *POOL_EXTRA_KEYS), where)
        name = resolve_intrinsics(properties.get("UserPoolName", logical_id), names, f"{where}.UserPoolName")
        definition = _definition(properties, POOL_KEYS, names, where)
        pools[logical_id] = UserPool(logical_id, {"PoolName": str(name), **definition})
    return pools


def read_user_pool_clients(
    resources: Mapping[str, Any], pools: Collection[str], names: Mapping[str, str]
) -> dict[str, UserPoolClient]:
    """Clients of user pools by logical id; `pools` are the logical ids of all pools."""
    clients = {}
    for logical_id, properties in _of_type(resources, "AWS::Cognito::UserPoolClient"):
        where = f"resources.{logical_id}"
        only(properties, (*CLIENT_KEYS, *CLIENT_EXTRA_KEYS), where)
        pool = referred(properties.get("UserPoolId"), f"{where}.UserPoolId")
        if pool not in pools:
            raise ServiceError(f"serverless.yml: {where}.UserPoolId: {pool} is no user pool of this file")
        name = resolve_intrinsics(properties.get("ClientName", logical_id), names, f"{where}.ClientName")
        definition = _definition(properties, CLIENT_KEYS, names, where)
        clients[logical_id] = UserPoolClient(logical_id, pool, {"ClientName": str(name), **definition})
    return clients


def _of_type(resources: Mapping[str, Any], resource_type: str) -> Iterable[tuple[str, dict[str, Any]]]:
    for logical_id, resource in resources.items():
        if resource.get("Type") == resource_type:
            yield logical_id, resource.get("Properties") or {}


def _table(logical_id: str, properties: dict[str, Any]) -> Table:
    only(properties, (*TABLE_KEYS, *TABLE_EXTRA_KEYS), f"resources.{logical_id}")
    definition = {key: value for key, value in properties.items() if key in TABLE_KEYS}
    definition.setdefault("TableName", logical_id)
    if "StreamSpecification" in definition:
        definition["StreamSpecification"] = {"StreamEnabled": True, **definition["StreamSpecification"]}
    ttl = properties.get("TimeToLiveSpecification") or {}
    return Table(logical_id, definition, ttl.get("AttributeName") if ttl.get("Enabled") else None)


def _queue(logical_id: str, properties: dict[str, Any], queues: Mapping[str, dict[str, Any]]) -> Queue:
    where = f"resources.{logical_id}"
    only(properties, QUEUE_KEYS, where)
    fifo = flag(properties, "FifoQueue", where)
    name = str(properties.get("QueueName", f"{logical_id}.fifo" if fifo else logical_id))
    if name.endswith(".fifo") != fifo:
        raise ServiceError(
            f"serverless.yml: {where}: QueueName must end in .fifo if FifoQueue is true, only then"
        )
    attributes = {
        key: str(whole(properties, key, 0, bounds, where))
        for key, bounds in QUEUE_NUMBERS.items()
        if key in properties
    }
    attributes |= _fifo_attributes(properties, where, fifo=fifo)
    redrive = _redrive(properties.get("RedrivePolicy"), queues, f"{where}.RedrivePolicy")
    if redrive is not None and flag(queues[redrive.queue], "FifoQueue", f"resources.{redrive.queue}") != fifo:
        kind = "FIFO" if fifo else "standard"
        raise ServiceError(
            f"serverless.yml: {where}: the dead-letter queue of a {kind} queue must be {kind}, too"
        )
    return Queue(logical_id, name, attributes, redrive)


def _fifo_attributes(properties: dict[str, Any], where: str, *, fifo: bool) -> dict[str, str]:
    """CreateQueue's attributes that only a FIFO queue has."""
    given = [key for key in FIFO_KEYS if key in properties]
    if not fifo:
        if given:
            raise ServiceError(f"serverless.yml: {where}: {given[0]} is for FIFO queues alone")
        return {}
    attributes = {"FifoQueue": "true"}
    if "ContentBasedDeduplication" in given:
        content_based = flag(properties, "ContentBasedDeduplication", where)
        attributes["ContentBasedDeduplication"] = str(content_based).lower()
    scope = choice(properties, "DeduplicationScope", ("messageGroup", "queue"), where)
    limit = choice(properties, "FifoThroughputLimit", ("perQueue", "perMessageGroupId"), where)
    if limit == "perMessageGroupId" and scope != "messageGroup":
        raise ServiceError(
            f"serverless.yml: {where}: FifoThroughputLimit perMessageGroupId needs"
            " DeduplicationScope messageGroup"
        )
    if scope is not None:
        attributes["DeduplicationScope"] = scope
    if limit is not None:
        attributes["FifoThroughputLimit"] = limit
    return attributes


def _redrive(raw: Any, queues: Collection[str], where: str) -> Redrive | None:
    if raw is None:
        return None
    only(raw, ("deadLetterTargetArn", "maxReceiveCount"), where)
    queue = attribute_owner(raw.get("deadLetterTargetArn"), "Arn", f"{where}.deadLetterTargetArn")
    if queue not in queues:
        raise ServiceError(f"serverless.yml: {where}.deadLetterTargetArn: {queue} is no queue of this file")
    return Redrive(queue, whole(raw, "maxReceiveCount", 0, (1, MAX_RECEIVES), where))


def _definition(
    properties: Mapping[str, Any], keys: Iterable[str], names: Mapping[str, str], where: str
) -> dict[str, Any]:
    return {
        key: _typed(resolve_intrinsics(properties[key], names, f"{where}.{key}"))
        for key in keys
        if key in properties
    }


def _typed(value: Any) -> Any:
    """A value as the API wants it: CloudFormation takes "true" and "12" of a parameter for what they say."""
    match value:
        case dict():
            return {key: _typed(inner) for key, inner in value.items()}
        case list():
            return [_typed(inner) for inner in value]
        case "true" | "false":
            return value == "true"
        case str() if value.isdecimal():
            return int(value)
    return value
