"""Connections: each connection with its user and group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from groupcast.errors import ChatError, Code
from groupcast.model import Member
from groupcast.slots import slot_of
from groupcast.tables.buckets import update_if
from groupcast.tables.items import decode, encode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from groupcast.auth import Principal

# API Gateway ends a connection after 2 hours. If its $disconnect is lost, TTL deletes the item.
LIFETIME_S = 2 * 60 * 60 + 10 * 60
PRESENT = "attribute_exists(connectionId)"
GONE = "This connection is no longer registered; connect again."


class Connections:
    """The Connections table through an aioboto3 DynamoDB client."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def add(self, member: Member, connected_at_ms: int) -> None:
        """Store a new connection that is not in a group yet."""
        values: dict[str, str | int | None] = {
            "connectionId": member.connection_id,
            "sender": member.sender,
            "userId": member.user_id,
            "userGroups": _groups(member.groups),
            "authorizedUntil": member.authorized_until_s,
            "connectedAt": connected_at_ms,
            "expiresAt": connected_at_ms // 1000 + LIFETIME_S,
        }
        await self._dynamodb.put_item(TableName=self._table, Item=encode(values))

    async def remove(self, connection_id: str) -> str | None:
        """Remove a connection and return its user's id; None for a guest or an unknown connection."""
        answer = await self._dynamodb.delete_item(
            TableName=self._table, Key=encode({"connectionId": connection_id}), ReturnValues="ALL_OLD"
        )
        user_id = decode(answer.get("Attributes", {})).get("userId")
        return None if user_id is None else str(user_id)

    async def get(self, connection_id: str, *, consistent: bool = True) -> Member | None:
        """The connection, or None; reads that are not `consistent` may be slightly stale and cost half."""
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key=encode({"connectionId": connection_id}), ConsistentRead=consistent
        )
        return _member(answer["Item"]) if "Item" in answer else None

    async def present(self, connection_ids: Collection[str], now_s: int) -> set[str]:
        """Those of at most 100 connections that are registered (consistent reads) and may still be open."""
        keys = [encode({"connectionId": one}) for one in sorted(connection_ids)]
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

    async def join(self, member: Member, group_id: str) -> None:
        """Move a connection to a group.

        ChatError (Conflict) if its rights have changed, or if it is gone: a concurrent disconnect wins.
        """
        values: dict[str, str | int] = {":group": group_id, ":slot": slot_of(member.connection_id)}
        rights = (
            _unchanged("authorizedUntil", member.authorized_until_s, values),
            _unchanged("userGroups", _groups(member.groups), values),
        )
        await self._change(member.connection_id, "SET groupId = :group, slot = :slot", values, *rights)

    async def leave(self, connection_id: str) -> str | None:
        """Remove a connection from its group and return the group, or None if it was in none.

        ChatError (Conflict) if the connection is gone.
        """
        old = await self._change(connection_id, "REMOVE groupId, slot", {})
        group_id = decode(old).get("groupId")
        return None if group_id is None else str(group_id)

    async def renew(self, member: Member, principal: Principal, *, stays: bool) -> None:
        """Give a connection the rights of a new token, and remove it from its group unless it `stays`.

        ChatError (Conflict) if the connection is gone or has joined another group in the meantime.
        """
        values: dict[str, str | int] = {
            ":until": principal.authorized_until_s,
            ":groups": _groups(principal.groups),
        }
        group = _unchanged("groupId", member.group_id, values)
        expression = "SET authorizedUntil = :until, userGroups = :groups"
        if not stays:
            expression += " REMOVE groupId, slot"
        await self._change(member.connection_id, expression, values, group)

    async def _change(
        self, connection_id: str, expression: str, values: Mapping[str, str | int], *conditions: str
    ) -> Mapping[str, Any]:
        changed, old = await update_if(
            self._dynamodb,
            TableName=self._table,
            Key=encode({"connectionId": connection_id}),
            UpdateExpression=expression,
            ConditionExpression=" AND ".join((PRESENT, *conditions)),
            **({"ExpressionAttributeValues": encode(values)} if values else {}),
        )
        if not changed:
            text = "The connection has just changed; try again." if old else GONE
            raise ChatError(Code.CONFLICT, text)
        return old


def _groups(groups: Sequence[str]) -> str:
    """User pool groups as one attribute; equal groups give equal text, so conditions can compare it."""
    return orjson.dumps(groups).decode()


def _unchanged(name: str, value: str | int | None, values: dict[str, str | int]) -> str:
    """The condition that an attribute still has the value read; adds that value to `values`."""
    if value is None:
        return f"attribute_not_exists({name})"
    values[f":{name}"] = value
    return f"{name} = :{name}"


def _member(item: Mapping[str, Any]) -> Member:
    values: dict[str, Any] = decode(item)
    return Member(
        connection_id=values["connectionId"],
        sender=values["sender"],
        group_id=values.get("groupId"),
        user_id=values.get("userId"),
        groups=tuple(orjson.loads(values["userGroups"])),
        authorized_until_s=values.get("authorizedUntil"),
    )
