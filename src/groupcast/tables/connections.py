"""Connections: who is connected, as whom, and who is in which group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from groupcast.errors import ChatError, Code
from groupcast.model import Member
from groupcast.slots import slot_of
from groupcast.tables.items import decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groupcast.auth import Principal
    from groupcast.ratelimit import Bucket

# API Gateway ends a connection after 2 hours; TTL sweeps what a lost $disconnect left.
LIFETIME_S = 2 * 60 * 60 + 10 * 60
PRESENT = "attribute_exists(connectionId)"
GONE = "This connection is no longer registered; connect again."


class Connections:
    """The Connections table through an aioboto3 DynamoDB client."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def add(self, member: Member, connected_at_ms: int) -> None:
        """Store a new connection, in no group yet."""
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

    async def remove(self, connection_id: str) -> None:
        """Remove a connection; one that is not there is no error."""
        await self._dynamodb.delete_item(TableName=self._table, Key=encode({"connectionId": connection_id}))

    async def get(self, connection_id: str) -> Member | None:
        """The connection as it stands now (a consistent read), or None."""
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key=encode({"connectionId": connection_id}), ConsistentRead=True
        )
        return _member(answer["Item"]) if "Item" in answer else None

    async def take_token(self, connection_id: str, bucket: Bucket, now_us: int) -> Member | None:
        """Take a token from the connection's bucket and return the connection, None where it is gone.

        ChatError (RateLimited) where the bucket is empty.
        """
        latest_us = bucket.latest_full_us(now_us)
        # Whoever types has a full bucket: one write. Only a busy connection costs the second.
        tries = (
            (
                "SET bucketFullAt = :next",
                "attribute_not_exists(bucketFullAt) OR bucketFullAt <= :now",
                {":next": now_us + bucket.interval_us, ":now": now_us},
            ),
            (
                "SET bucketFullAt = bucketFullAt + :interval",
                "bucketFullAt <= :latest",
                {":interval": bucket.interval_us, ":latest": latest_us},
            ),
        )
        for expression, condition, values in tries:
            taken, item = await self._update(connection_id, expression, condition, values, "ALL_NEW")
            if not item:
                return None
            if taken:
                return _member(item)
        full_at_us = int(item["bucketFullAt"]["N"])
        raise ChatError(
            Code.RATE_LIMITED,
            f"At most {bucket.per_second} messages a second, {bucket.burst} at once; wait and send again.",
            retry_after_ms=bucket.retry_after_ms(full_at_us, now_us),
        )

    async def join(self, member: Member, group_id: str) -> None:
        """Put a connection into a group, out of its last one.

        ChatError (Conflict) where the connection is gone, for a disconnect that raced this call wins, or has
        other rights by now.
        """
        values: dict[str, str | int] = {":group": group_id, ":slot": slot_of(member.connection_id)}
        rights = (
            f"{_unchanged('authorizedUntil', member.authorized_until_s, values)} AND "
            f"{_unchanged('userGroups', _groups(member.groups), values)}"
        )
        await self._change(member.connection_id, "SET groupId = :group, slot = :slot", rights, values)

    async def leave(self, connection_id: str) -> str | None:
        """Take a connection out of its group and return that group, None where it was in none.

        ChatError (Conflict) where the connection is gone.
        """
        old = await self._change(connection_id, "REMOVE groupId, slot", PRESENT, {})
        group_id = decode(old).get("groupId")
        return None if group_id is None else str(group_id)

    async def renew(self, member: Member, principal: Principal, *, stays: bool) -> None:
        """Give a connection the rights of a new token, and take it out of its group unless it `stays`.

        ChatError (Conflict) where the connection is gone, or has joined another group meanwhile.
        """
        values: dict[str, str | int] = {
            ":until": principal.authorized_until_s,
            ":groups": _groups(principal.groups),
        }
        group = _unchanged("groupId", member.group_id, values)
        expression = "SET authorizedUntil = :until, userGroups = :groups"
        if not stays:
            expression += " REMOVE groupId, slot"
        await self._change(member.connection_id, expression, group, values)

    async def _change(
        self, connection_id: str, expression: str, condition: str, values: Mapping[str, str | int]
    ) -> Mapping[str, Any]:
        changed, old = await self._update(connection_id, expression, condition, values, "ALL_OLD")
        if not changed:
            text = "The connection changed meanwhile; try again." if old else GONE
            raise ChatError(Code.CONFLICT, text)
        return old

    async def _update(
        self,
        connection_id: str,
        expression: str,
        condition: str,
        values: Mapping[str, str | int],
        returned: str,
    ) -> tuple[bool, Mapping[str, Any]]:
        """Whether the condition held, and the item: as asked for, or as it stood in the way (empty: gone)."""
        try:
            answer = await self._dynamodb.update_item(
                TableName=self._table,
                Key=encode({"connectionId": connection_id}),
                UpdateExpression=expression,
                ConditionExpression=f"{PRESENT} AND ({condition})",
                ReturnValues=returned,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **({"ExpressionAttributeValues": encode(values)} if values else {}),
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as failed:
            return False, failed.response.get("Item", {})
        return True, answer["Attributes"]


def _groups(groups: Sequence[str]) -> str:
    """Groups of the user pool as an attribute; the same groups make the same text."""
    return orjson.dumps(groups).decode()


def _unchanged(name: str, value: str | int | None, values: dict[str, str | int]) -> str:
    """The condition that an attribute is as it was read; its value joins `values`."""
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
