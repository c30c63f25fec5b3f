"""Removes connections that are gone or closed, many at a time, by the signed client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from groupcast.aws.backoff import back_off
from groupcast.errors import GroupcastError
from groupcast.tables.items import encode

if TYPE_CHECKING:
    from groupcast.aws.calls import Calls

# BatchWriteItem takes no more at a time.
DELETE_BATCH = 25
DELETES_AT_ONCE = 4
# Up to so many are removed only when all the others have their messages.
DISCARDED_MAX = 1_000
DELETE_ATTEMPTS_MAX = 5
DELETE_RETRY_BASE_S = 0.05


class RemovalsTable:
    """The Connections table. The next fan-out or TTL finds connections that could not be removed."""

    def __init__(self, dynamodb: Calls, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._discarded: list[str] = []
        self._removals: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(DELETES_AT_ONCE)

    def discard(self, connection_id: str) -> None:
        """Remove a connection some time before `flush` returns."""
        self._discarded.append(connection_id)
        if len(self._discarded) == DISCARDED_MAX:
            self._remove_discarded()

    async def flush(self) -> None:
        """Return when all discarded connections are removed, or given up."""
        self._remove_discarded()
        if self._removals:
            await asyncio.wait(self._removals)

    def _remove_discarded(self) -> None:
        discarded, self._discarded = list(dict.fromkeys(self._discarded)), []
        for start in range(0, len(discarded), DELETE_BATCH):
            batch = discarded[start : start + DELETE_BATCH]
            task = asyncio.get_running_loop().create_task(self._remove(batch))
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    async def _remove(self, connection_ids: list[str]) -> None:
        left: list[Any] = [
            {"DeleteRequest": {"Key": encode({"connectionId": connection_id})}}
            for connection_id in connection_ids
        ]
        async with self._at_once:
            for attempt in range(DELETE_ATTEMPTS_MAX):
                await back_off(attempt, DELETE_RETRY_BASE_S)
                try:
                    answer = await self._dynamodb.call(
                        "BatchWriteItem", {"RequestItems": {self._table: left}}
                    )
                except GroupcastError:
                    return
                left = answer.get("UnprocessedItems", {}).get(self._table, [])
                if not left:
                    return
