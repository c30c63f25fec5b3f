"""How far groups have come, and how far users have read them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groupcast.aws.backoff import back_off
from groupcast.errors import ChatError, Code
from groupcast.model import EMPTY_HEAD, Progress
from groupcast.tables.buckets import update_if
from groupcast.tables.groups import head_of
from groupcast.tables.items import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_ATTEMPTS_MAX = 5
READ_RETRY_BASE_S = 0.05
# A client whose groups DynamoDB left unread retries after this.
UNREAD_RETRY_MS = 1_000


class ProgressTables:
    """The tables Groups and ReadMarks through an aioboto3 DynamoDB client."""

    def __init__(self, dynamodb: Any, groups_table: str, marks_table: str) -> None:
        self._dynamodb = dynamodb
        self._groups_table = groups_table
        self._marks_table = marks_table

    async def of(
        self, user_id: str | None, group_ids: Sequence[str], *, consistent: bool = True
    ) -> dict[str, Progress]:
        """The progress of at most 50 groups, in their order; `consistent` as in Connections.get.

        ChatError (RateLimited) if DynamoDB leaves items unread after all attempts.
        """
        found = dict.fromkeys(group_ids, Progress(EMPTY_HEAD, None if user_id is None else 0))
        keys: dict[str, list[Any]] = {self._groups_table: [encode({"groupId": one}) for one in group_ids]}
        if user_id is not None:
            keys[self._marks_table] = [mark_key(user_id, one) for one in group_ids]
        if not group_ids:
            return found
        for attempt in range(READ_ATTEMPTS_MAX):
            await back_off(attempt, READ_RETRY_BASE_S)
            request = {table: {"Keys": left, "ConsistentRead": consistent} for table, left in keys.items()}
            answer = await self._dynamodb.batch_get_item(RequestItems=request)
            for item in answer["Responses"].get(self._groups_table, ()):
                group_id = item["groupId"]["S"]
                found[group_id] = replace(found[group_id], head=head_of(item))
            for item in answer["Responses"].get(self._marks_table, ()):
                group_id = item["groupId"]["S"]
                found[group_id] = replace(found[group_id], read_seq=int(item["readSeq"]["N"]))
            keys = {table: left["Keys"] for table, left in answer["UnprocessedKeys"].items()}
            if not keys:
                return found
        raise ChatError(Code.RATE_LIMITED, "The groups are busy; try again.", retry_after_ms=UNREAD_RETRY_MS)

    async def mark_read(self, user_id: str, group_id: str, seq: int) -> int:
        """Move a user's mark forward to `seq`; return where it is, which may be further on."""
        moved, old = await update_if(
            self._dynamodb,
            TableName=self._marks_table,
            Key=mark_key(user_id, group_id),
            UpdateExpression="SET readSeq = :seq",
            ConditionExpression="attribute_not_exists(readSeq) OR readSeq < :seq",
            ExpressionAttributeValues=encode({":seq": seq}),
        )
        return seq if moved else int(old["readSeq"]["N"])


def mark_key(user_id: str, group_id: str) -> dict[str, dict[str, str]]:
    """The key of a user's mark in a group."""
    return encode({"userId": user_id, "groupId": group_id})
