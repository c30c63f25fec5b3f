"""Removes connections that are gone or closed, many at a time, by the signed client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from groupcast.aws.backoff import back_off
from groupcast.errors import GroupcastError
from groupcast.tables.connections import connection_key, membership_key

if TYPE_CHECKING:
    from groupcast.aws.calls import Calls

# BatchWriteItem takes 25 keys; each connection has two of them.
DISCARD_BATCH = 12
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
        self._discarded: list[tuple[str, str]] = []
        self._removals: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(DELETES_AT_ONCE)

    def discard(self, connection_id: str, group_id: str) -> None:
        """Remove a connection and its membership in a group at the latest by the end of `flush`.

        Its other memberships are found gone by their own groups, or removed by $disconnect.
        """
        self._discarded.append((connection_id, group_id))
        if len(self._discarded) == DISCARDED_MAX:
            self._remove_discarded()

    async def flush(self) -> None:
        """Return when all discarded connections are removed, or given up."""
        self._remove_discarded()
        if self._removals:
            await asyncio.wait(self._removals)

    def _remove_discarded(self) -> None:
        discarded, self._discarded = list(dict.fromkeys(self._discarded)), []
        for start in range(0, len(discarded), DISCARD_BATCH):
            batch = discarded[start : start + DISCARD_BATCH]
            task = asyncio.get_running_loop().create_task(self._remove(batch))
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    async def _remove(self, discarded: list[tuple[str, str]]) -> None:
        keys = {
            (one, key["entry"]["S"]): key
            for one, group_id in discarded
            for key in (connection_key(one), membership_key(one, group_id))
        }
        left: list[Any] = [{"DeleteRequest": {"Key": key}} for key in keys.values()]
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
