"""The resources of serverless.yml that run on this machine: tables, queues, user pools and their clients.

An unknown property is an error. Resources of other types (roles, alarms, log groups, …) exist only on AWS
and are left out. Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from localcloud.errors import ServiceError
from localcloud.service.checks import checked, refuse_unknown
from localcloud.service.model import Queue, Redrive, Table, UserPool, UserPoolClient
from localcloud.service.sections import QUEUE_IGNORED, QueueProperties
from localcloud.service.template import attribute_owner, referred, resolve_intrinsics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from localcloud.service.sections import RedrivePolicy, Resource

# CreateTable's own properties, and those that only CloudFormation has or that mean nothing on one machine.
TABLE_KEYS = (
    "TableName BillingMode AttributeDefinitions KeySchema GlobalSecondaryIndexes StreamSpecification"
).split()
TABLE_EXTRA_KEYS = (
    "TimeToLiveSpecification PointInTimeRecoverySpecification SSESpecification Tags DeletionProtectionEnabled"
).split()
FIFO_SETTINGS = ("ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")
# CreateUserPool's own; the others are about mail, devices and protection, which only AWS has.
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


def read_tables(resources: Mapping[str, Resource]) -> dict[str, Table]:
    """DynamoDB tables by logical id."""
    return {
        logical_id: _table(logical_id, properties)
        for logical_id, properties in _of_type(resources, "AWS::DynamoDB::Table")
    }


def read_queues(resources: Mapping[str, Resource]) -> dict[str, Queue]:
    """SQS queues by logical id."""
    found = {
        logical_id: checked(properties, QueueProperties, f"resources.{logical_id}", ignored=QUEUE_IGNORED)
        for logical_id, properties in _of_type(resources, "AWS::SQS::Queue")
    }
    return {logical_id: _queue(logical_id, properties, found) for logical_id, properties in found.items()}


def read_user_pools(resources: Mapping[str, Resource], names: Mapping[str, str]) -> dict[str, UserPool]:
    """Cognito user pools by logical id; `names` are the values of pseudo parameters."""
    pools = {}
    for logical_id, properties in _of_type(resources, "AWS::Cognito::UserPool"):
        where = f"resources.{logical_id}"
        refuse_unknown(properties, (*POOL_KEYS, *POOL_EXTRA_KEYS), where)
        name = resolve_intrinsics(properties.get("UserPoolName", logical_id), names, f"{where}.UserPoolName")
        definition = _definition(properties, POOL_KEYS, names, where)
        pools[logical_id] = UserPool(logical_id, {"PoolName": str(name), **definition})
    return pools


def read_user_pool_clients(
    resources: Mapping[str, Resource], pools: Collection[str], names: Mapping[str, str]
) -> dict[str, UserPoolClient]:
    """Clients of user pools by logical id; `pools` are the logical ids of all pools."""
    clients = {}
    for logical_id, properties in _of_type(resources, "AWS::Cognito::UserPoolClient"):
        where = f"resources.{logical_id}"
        refuse_unknown(properties, (*CLIENT_KEYS, *CLIENT_EXTRA_KEYS), where)
        pool = referred(properties.get("UserPoolId"), f"{where}.UserPoolId")
        if pool not in pools:
            raise ServiceError(f"{where}.UserPoolId: {pool} is not a user pool of this file")
        name = resolve_intrinsics(properties.get("ClientName", logical_id), names, f"{where}.ClientName")
        definition = _definition(properties, CLIENT_KEYS, names, where)
        clients[logical_id] = UserPoolClient(logical_id, pool, {"ClientName": str(name), **definition})
    return clients


def _of_type(resources: Mapping[str, Resource], resource_type: str) -> Iterable[tuple[str, dict[str, Any]]]:
    for logical_id, resource in resources.items():
        if resource.type == resource_type:
            yield logical_id, resource.properties


def _table(logical_id: str, properties: dict[str, Any]) -> Table:
    refuse_unknown(properties, (*TABLE_KEYS, *TABLE_EXTRA_KEYS), f"resources.{logical_id}")
    definition = {key: value for key, value in properties.items() if key in TABLE_KEYS}
    definition.setdefault("TableName", logical_id)
    if "StreamSpecification" in definition:
        definition["StreamSpecification"] = {"StreamEnabled": True, **definition["StreamSpecification"]}
    ttl = properties.get("TimeToLiveSpecification") or {}
    return Table(logical_id, definition, ttl.get("AttributeName") if ttl.get("Enabled") else None)


def _queue(logical_id: str, given: QueueProperties, queues: Mapping[str, QueueProperties]) -> Queue:
    where, fifo = f"resources.{logical_id}", given.fifo_queue
    name = given.queue_name or (f"{logical_id}.fifo" if fifo else logical_id)
    if name.endswith(".fifo") != fifo:
        raise ServiceError(f"{where}: QueueName must end in .fifo if FifoQueue is true, and only then")
    settings: dict[str, Any] = msgspec.to_builtins(given)
    attributes = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
        if key not in ("QueueName", "RedrivePolicy")
    }
    for key in FIFO_SETTINGS:
        if key in attributes and not fifo:
            raise ServiceError(f"{where}: {key} is for FIFO queues alone")
    limit, scope = given.fifo_throughput_limit, given.deduplication_scope
    if limit == "perMessageGroupId" and scope != "messageGroup":
        raise ServiceError(
            f"{where}: FifoThroughputLimit perMessageGroupId needs DeduplicationScope messageGroup"
        )
    redrive = _redrive(given.redrive_policy, queues, f"{where}.RedrivePolicy")
    if redrive is not None and queues[redrive.queue].fifo_queue != fifo:
        kind = "FIFO" if fifo else "standard"
        raise ServiceError(f"{where}: the dead-letter queue of a {kind} queue must be {kind}, too")
    return Queue(logical_id, name, attributes, redrive)


def _redrive(policy: RedrivePolicy | None, queues: Collection[str], where: str) -> Redrive | None:
    if policy is None:
        return None
    queue = attribute_owner(policy.dead_letter_target_arn, "Arn", f"{where}.deadLetterTargetArn")
    if queue not in queues:
        raise ServiceError(f"{where}.deadLetterTargetArn: {queue} is not a queue of this file")
    return Redrive(queue, policy.max_receive_count)


def _definition(
    properties: Mapping[str, Any], keys: Iterable[str], names: Mapping[str, str], where: str
) -> dict[str, Any]:
    return {
        key: _typed(resolve_intrinsics(properties[key], names, f"{where}.{key}"))
        for key in keys
        if key in properties
    }


def _typed(value: Any) -> Any:
    """A value as the API wants it. CloudFormation converts "true" and "12" of a parameter, too."""
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
