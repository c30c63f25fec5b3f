"""Connections: each connection with its user and groups.

A connection has one item of its own (`entry` is `connection`), which lists its groups, and one membership for
each of them (`entry` is `group:` plus the group). Only memberships are in GroupIdIndex. Both change in one
transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from groupcast.aws.backoff import back_off
from groupcast.errors import ChatError, Code
from groupcast.model import Member
from groupcast.slots import slot_of
from groupcast.tables.items import decode, encode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from groupcast.auth import Principal
    from groupcast.tables.items import Item

# API Gateway ends a connection after 2 hours. If its $disconnect is lost, TTL deletes the item.
LIFETIME_S = 2 * 60 * 60 + 10 * 60
PRESENT = "attribute_exists(connectionId)"
GONE = "This connection is no longer registered; connect again."
CHANGED = "The connection changed meanwhile; try again."
# The entry of a connection's own item.
CONNECTION = "connection"
MEMBERSHIP = "group:"
# BatchWriteItem takes no more at a time.
DELETE_BATCH = 25
# A client whose change was throttled retries after this.
THROTTLED_RETRY_MS = 1_000
THROTTLES = {"ThrottlingError", "ProvisionedThroughputExceeded"}
CONFLICTS = {"ConditionalCheckFailed", "TransactionConflict"}
# Memberships that stay behind are found gone by their group's next message, or TTL deletes them.
DELETE_ATTEMPTS_MAX = 5
DELETE_RETRY_BASE_S = 0.05


class ChangedError(ChatError):
    """The connection changed since it was read: read it again and decide anew."""

    def __init__(self) -> None:
        super().__init__(Code.CONFLICT, CHANGED)


class ThrottledError(ChatError):
    """DynamoDB throttled a change. The SDK does not retry transactions for that."""

    def __init__(self) -> None:
        super().__init__(
            Code.RATE_LIMITED, "The group is busy; try again.", retry_after_ms=THROTTLED_RETRY_MS
        )


class Connections:
    """The Connections table through an aioboto3 DynamoDB client.

    Changes raise ChatError (Conflict) if the connection is gone, so that a concurrent disconnect wins, and
    ChangedError if its groups or rights are no longer those of `member`.
    """

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def add(self, member: Member, connected_at_ms: int) -> None:
        """Store a new connection that is not in a group yet."""
        values: dict[str, str | int | None] = {
            "connectionId": member.connection_id,
            "entry": CONNECTION,
            "sender": member.sender,
            "userId": member.user_id,
            "userGroups": _text(member.groups),
            "groupIds": _text(()),
            "authorizedUntil": member.authorized_until_s,
            "connectedAt": connected_at_ms,
            "expiresAt": connected_at_ms // 1000 + LIFETIME_S,
        }
        await self._dynamodb.put_item(TableName=self._table, Item=encode(values))

    async def remove(self, connection_id: str) -> Member | None:
        """Remove a connection with its memberships and return it; None if nothing was left of it.

        In this order: once its own item is gone, no join can add a membership.
        """
        member = await self._delete_own_item(connection_id)
        if member is None:
            # The fan-out has removed it, with its membership in the group that it served.
            member = await self._left_over(connection_id)
        if member is not None:
            await self._delete(membership_key(connection_id, group_id) for group_id in member.group_ids)
        return member

    async def get(self, connection_id: str, *, consistent: bool = True) -> Member | None:
        """The connection, or None; reads that are not `consistent` may be slightly stale and cost half."""
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key=connection_key(connection_id), ConsistentRead=consistent
        )
        return _member(answer["Item"]) if "Item" in answer else None

    async def present(self, connection_ids: Collection[str], now_s: int) -> set[str]:
        """Those of at most 100 connections that are registered (consistent reads) and may still be open."""
        keys = [connection_key(one) for one in sorted(connection_ids)]
        request = {self._table: {"Keys": keys, "ConsistentRead": True}}
        answer = await self._dynamodb.batch_get_item(RequestItems=request)
        left = answer["UnprocessedKeys"].get(self._table, {}).get("Keys", [])
        found = {
            item["connectionId"]["S"]
            for item in answer["Responses"].get(self._table, ())
            # TTL deletes items hours late.
            if int(item["expiresAt"]["N"]) > now_s
        }
        # Unread connections count as open.
        return found | {key["connectionId"]["S"] for key in left}

    async def change_groups(self, member: Member, group_ids: Sequence[str], joined: Collection[str]) -> None:
        """Make `group_ids` the groups of a connection, in order of joining; `joined` are among them.

        Memberships of `joined` are written even if the connection was in them already: the fan-out may have
        removed one.
        """
        await self._write(
            member,
            "SET groupIds = :groupIds",
            {":groupIds": _text(group_ids)},
            put=[_membership(member, group_id, member.authorized_until_s) for group_id in joined],
            dropped=[one for one in member.group_ids if one not in group_ids],
        )

    async def renew(self, member: Member, principal: Principal, group_ids: Sequence[str]) -> None:
        """Give a connection the rights of a new token, and keep it in `group_ids`, some of its groups."""
        until_s = principal.authorized_until_s
        await self._write(
            member,
            "SET authorizedUntil = :until, userGroups = :groups, groupIds = :groupIds",
            {":until": until_s, ":groups": _text(principal.groups), ":groupIds": _text(group_ids)},
            put=[_membership(member, group_id, until_s) for group_id in group_ids],
            dropped=[one for one in member.group_ids if one not in group_ids],
        )

    async def _write(
        self,
        member: Member,
        expression: str,
        values: Mapping[str, str | int],
        *,
        put: Sequence[Item],
        dropped: Sequence[str],
    ) -> None:
        """Change a connection's item and memberships, if it has not changed since `member` was read."""
        as_read: dict[str, str | int] = {}
        conditions = (
            PRESENT,
            _unchanged("authorizedUntil", member.authorized_until_s, as_read),
            _unchanged("userGroups", _text(member.groups), as_read),
            _unchanged("groupIds", _text(member.group_ids), as_read),
        )
        update = {
            "TableName": self._table,
            "Key": connection_key(member.connection_id),
            "UpdateExpression": expression,
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeValues": encode({**values, **as_read}),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        keys = [membership_key(member.connection_id, group_id) for group_id in dropped]
        try:
            await self._dynamodb.transact_write_items(
                TransactItems=[
                    {"Update": update},
                    *({"Put": {"TableName": self._table, "Item": item}} for item in put),
                    *({"Delete": {"TableName": self._table, "Key": key}} for key in keys),
                ]
            )
        except self._dynamodb.exceptions.TransactionCanceledException as cancelled:
            raise _refusal(cancelled, cancelled.response["CancellationReasons"]) from cancelled

    async def _delete_own_item(self, connection_id: str) -> Member | None:
        """Delete the connection's own item and return it; again while a transaction holds it."""
        for attempt in range(DELETE_ATTEMPTS_MAX):
            await back_off(attempt, DELETE_RETRY_BASE_S)
            try:
                answer = await self._dynamodb.delete_item(
                    TableName=self._table, Key=connection_key(connection_id), ReturnValues="ALL_OLD"
                )
            except self._dynamodb.exceptions.TransactionConflictException:
                if attempt == DELETE_ATTEMPTS_MAX - 1:
                    raise
            else:
                return _member(answer["Attributes"]) if "Attributes" in answer else None
        raise AssertionError("the last attempt raises")

    async def _left_over(self, connection_id: str) -> Member | None:
        """The connection, by the memberships that are left of it."""
        answer = await self._dynamodb.query(
            TableName=self._table,
            KeyConditionExpression="connectionId = :id",
            ExpressionAttributeValues=encode({":id": connection_id}),
            ConsistentRead=True,
        )
        items = answer["Items"]
        if not items:
            return None
        first = decode(items[0])
        return Member(
            connection_id,
            str(first["sender"]),
            tuple(item["groupId"]["S"] for item in items),
            user_id=None if "userId" not in first else str(first["userId"]),
        )

    async def _delete(self, keys: Iterable[Item]) -> None:
        requests = [{"DeleteRequest": {"Key": key}} for key in keys]
        for start in range(0, len(requests), DELETE_BATCH):
            left = requests[start : start + DELETE_BATCH]
            for attempt in range(DELETE_ATTEMPTS_MAX):
                await back_off(attempt, DELETE_RETRY_BASE_S)
                answer = await self._dynamodb.batch_write_item(RequestItems={self._table: left})
                left = answer["UnprocessedItems"].get(self._table, [])
                if not left:
                    break


def connection_key(connection_id: str) -> Item:
    """The key of a connection's own item."""
    return encode({"connectionId": connection_id, "entry": CONNECTION})


def membership_key(connection_id: str, group_id: str) -> Item:
    """The key of a connection's membership in a group."""
    return encode({"connectionId": connection_id, "entry": f"{MEMBERSHIP}{group_id}"})


def _membership(member: Member, group_id: str, authorized_until_s: int | None) -> Item:
    return membership_key(member.connection_id, group_id) | encode(
        {
            "groupId": group_id,
            "slot": slot_of(member.connection_id),
            "sender": member.sender,
            "userId": member.user_id,
            "authorizedUntil": authorized_until_s,
            "expiresAt": member.expires_at_s,
        }
    )


def _text(values: Sequence[str]) -> str:
    """Several strings as one attribute; the same strings make the same text."""
    return orjson.dumps(values).decode()


def _unchanged(name: str, value: str | int | None, values: dict[str, str | int]) -> str:
    """The condition that an attribute still has the value read; adds that value to `values`."""
    if value is None:
        return f"attribute_not_exists({name})"
    values[f":was_{name}"] = value
    return f"{name} = :was_{name}"


def _refusal(cancelled: Exception, reasons: Sequence[Mapping[str, Any]]) -> Exception:
    """The error that a cancelled transaction stands for."""
    codes = {reason["Code"] for reason in reasons} - {"None"}
    if not codes <= THROTTLES | CONFLICTS:
        return cancelled
    if codes & THROTTLES:
        return ThrottledError()
    if codes == {"ConditionalCheckFailed"} and not reasons[0].get("Item"):
        return ChatError(Code.CONFLICT, GONE)
    return ChangedError()


def _member(item: Mapping[str, Any]) -> Member:
    values: dict[str, Any] = decode(item)
    return Member(
        connection_id=values["connectionId"],
        sender=values["sender"],
        group_ids=tuple(orjson.loads(values["groupIds"])),
        user_id=values.get("userId"),
        groups=tuple(orjson.loads(values["userGroups"])),
        authorized_until_s=values.get("authorizedUntil"),
        expires_at_s=values["expiresAt"],
    )
