"""Groups: the counter that numbers each group's messages."""

from __future__ import annotations

from typing import Any

from groupcast.model import EMPTY_HEAD, Head
from groupcast.tables.items import decode, encode


class Groups:
    """The Groups table through an aioboto3 DynamoDB client."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def next_seq(self, group_id: str, now_ms: int) -> int:
        """Take the group's next number: 1, 2, 3 …; each is given out once."""
        answer = await self._dynamodb.update_item(
            TableName=self._table,
            Key=encode({"groupId": group_id}),
            UpdateExpression="ADD lastSeq :one SET movedAt = :now",
            ExpressionAttributeValues=encode({":one": 1, ":now": now_ms}),
            ReturnValues="UPDATED_NEW",
        )
        return int(decode(answer["Attributes"])["lastSeq"])

    async def head(self, group_id: str) -> Head:
        """The last number given out (a consistent read); 0 for a group without messages."""
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key=encode({"groupId": group_id}), ConsistentRead=True
        )
        if "Item" not in answer:
            return EMPTY_HEAD
        values = decode(answer["Item"])
        return Head(int(values["lastSeq"]), int(values["movedAt"]))
