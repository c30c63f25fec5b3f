"""Connections: who is connected, and who is in which group."""

from __future__ import annotations

from typing import Any

from groupcast.errors import ChatError, Code
from groupcast.model import Member
from groupcast.slots import slot_of
from groupcast.tables.items import decode, encode

# API Gateway ends a connection after 2 hours; TTL sweeps what a lost $disconnect left.
LIFETIME_S = 2 * 60 * 60 + 10 * 60


class Connections:
    """The Connections table through an aioboto3 DynamoDB client."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def add(self, connection_id: str, sender: str, connected_at_ms: int) -> None:
        """Store a new connection, in no group yet."""
        values: dict[str, str | int] = {
            "connectionId": connection_id,
            "sender": sender,
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
        if "Item" not in answer:
            return None
        values = decode(answer["Item"])
        group_id = values.get("groupId")
        return Member(connection_id, str(values["sender"]), None if group_id is None else str(group_id))

    async def join(self, connection_id: str, group_id: str) -> None:
        """Put a connection into a group, out of its last one.

        ChatError (Conflict) where the connection is gone: a disconnect that raced this call wins.
        """
        await self._update(
            connection_id,
            "SET groupId = :group, slot = :slot",
            {":group": group_id, ":slot": slot_of(connection_id)},
        )

    async def leave(self, connection_id: str) -> str | None:
        """Take a connection out of its group and return that group, None where it was in none.

        ChatError (Conflict) where the connection is gone.
        """
        old = await self._update(connection_id, "REMOVE groupId, slot", {})
        group_id = old.get("groupId")
        return None if group_id is None else str(group_id)

    async def _update(
        self, connection_id: str, expression: str, values: dict[str, str | int]
    ) -> dict[str, str | int]:
        try:
            answer = await self._dynamodb.update_item(
                TableName=self._table,
                Key=encode({"connectionId": connection_id}),
                UpdateExpression=expression,
                ConditionExpression="attribute_exists(connectionId)",
                ReturnValues="ALL_OLD",
                **({"ExpressionAttributeValues": encode(values)} if values else {}),
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            raise ChatError(
                Code.CONFLICT, "This connection is no longer registered; connect again."
            ) from None
        return decode(answer["Attributes"])
