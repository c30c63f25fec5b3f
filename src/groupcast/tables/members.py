"""The members of a group, read at the fan-out's speed: by the signed client instead of an SDK."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groupcast.aws.backoff import back_off
from groupcast.errors import GroupcastError
from groupcast.tables.connections import membership_key
from groupcast.tables.items import encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from groupcast.aws.calls import Calls
    from groupcast.slots import SlotRange

# What BatchGetItem takes at a time.
GET_BATCH = 100
GET_ATTEMPTS_MAX = 5
GET_RETRY_BASE_S = 0.05


@dataclass(frozen=True, slots=True)
class Page:
    """Some members of a group: `connection_ids` to post to, and `expired` ones, whose sign-in has ended.

    `next` is the start of the next page: a slot, or an index into the listed connections. A page never splits
    a slot, so a pass can stop after any page and be resumed at `next`.
    """

    connection_ids: list[str]
    expired: list[str]
    next: int
    is_last: bool


class UnreadError(GroupcastError):
    """DynamoDB left items unread in every attempt."""


class MembersTable:
    """`GroupIdIndex` of the Connections table.

    With `auth_required` connections without a token's end count as expired. `now_s` gives seconds since 1970.
    """

    def __init__(
        self,
        dynamodb: Calls,
        table: str,
        page_size: int,
        *,
        auth_required: bool,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._page_size = page_size
        self._auth_required = auth_required
        self._now_s = now_s

    async def pages(self, group_id: str, slots: SlotRange) -> AsyncGenerator[Page, None]:
        """The members of a group in these slots; reads one page ahead. Raises GroupcastError."""
        reading: asyncio.Task[dict[str, Any]] | None = self._read(group_id, slots, None)
        held: list[dict[str, Any]] = []
        try:
            while reading is not None:
                answer = await reading
                last = answer.get("LastEvaluatedKey")
                reading = None if last is None else self._read(group_id, slots, last)
                items, held = held + answer["Items"], []
                next_slot = slots.last + 1
                if last is not None:
                    # The next page may hold more connections of the last slot: keep them together.
                    next_slot = int(last["slot"]["N"])
                    while items and int(items[-1]["slot"]["N"]) == next_slot:
                        held.insert(0, items.pop())
                yield self._page(items, next_slot, is_last=last is None)
        finally:
            if reading is not None:
                reading.cancel()

    async def listed(self, group_id: str, connection_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Like `pages`, for those of the given connections that are still in the group (consistent reads)."""
        for start in range(0, len(connection_ids), GET_BATCH):
            end = min(start + GET_BATCH, len(connection_ids))
            items = await self._get(group_id, connection_ids[start:end])
            yield self._page(items, end, is_last=end == len(connection_ids))

    def _read(
        self, group_id: str, slots: SlotRange, start: dict[str, Any] | None
    ) -> asyncio.Task[dict[str, Any]]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": "GroupIdIndex",
            "KeyConditionExpression": "groupId = :group AND slot BETWEEN :first AND :last",
            "ExpressionAttributeValues": encode(
                {":group": group_id, ":first": slots.first, ":last": slots.last}
            ),
            "ProjectionExpression": "connectionId, slot, authorizedUntil",
            "Limit": self._page_size,
        }
        if start is not None:
            query["ExclusiveStartKey"] = start
        return asyncio.get_running_loop().create_task(self._dynamodb.call("Query", query))

    def _page(self, items: list[dict[str, Any]], following: int, *, is_last: bool) -> Page:
        now_s, guests_stay = self._now_s(), not self._auth_required
        page = Page([], [], following, is_last)
        for item in items:
            until = item.get("authorizedUntil")
            stays = guests_stay if until is None else int(until["N"]) > now_s
            (page.connection_ids if stays else page.expired).append(item["connectionId"]["S"])
        return page

    async def _get(self, group_id: str, connection_ids: Sequence[str]) -> list[dict[str, Any]]:
        keys: list[Any] = [membership_key(one, group_id) for one in connection_ids]
        found: list[dict[str, Any]] = []
        for attempt in range(GET_ATTEMPTS_MAX):
            await back_off(attempt, GET_RETRY_BASE_S)
            request = {
                "Keys": keys,
                "ConsistentRead": True,
                "ProjectionExpression": "connectionId, authorizedUntil",
            }
            answer = await self._dynamodb.call("BatchGetItem", {"RequestItems": {self._table: request}})
            found += answer["Responses"].get(self._table, ())
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not keys:
                return found
        raise UnreadError(f"{len(keys)} connections could not be read")
