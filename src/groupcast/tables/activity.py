"""Finds recently active connections: their items hold when they connected, Quotas the users' last frames.

GroupIdIndex holds neither, to keep reads per message small. Each of the two reads costs half a read unit.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from groupcast.model import Caller
from groupcast.tables.connections import connection_key
from groupcast.tables.items import encode
from groupcast.tables.users import IDLE_S, quota_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from groupcast.aws.calls import Calls
    from groupcast.tables.items import Item

# Longer than API Gateway needs to register a connection, and than $disconnect needs to remove one.
RECENT_S = 30.0
# The limit of BatchGetItem.
GET_BATCH = 100
GETS_AT_ONCE = 4


class Activity:
    """Reads the tables Connections and Quotas eventually consistently; `now_s` is seconds since 1970."""

    def __init__(
        self,
        dynamodb: Calls,
        connections_table: str,
        quotas_table: str,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._dynamodb = dynamodb
        self._connections_table = connections_table
        self._quotas_table = quotas_table
        self._now_s = now_s

    async def recent(self, connection_ids: Sequence[str]) -> set[str]:
        """The connections that connected, or whose user sent a frame, within RECENT_S.

        A connection without an item is not recent: $disconnect has removed it. One whose item DynamoDB left
        unread counts as recent. Raises GroupcastError.
        """
        at_once = asyncio.Semaphore(GETS_AT_ONCE)
        starts = range(0, len(connection_ids), GET_BATCH)
        found = await asyncio.gather(
            *(self._recent(connection_ids[start : start + GET_BATCH], at_once) for start in starts)
        )
        return set().union(*found)

    async def _recent(self, connection_ids: Sequence[str], at_once: asyncio.Semaphore) -> set[str]:
        async with at_once:
            return await self._recent_of(connection_ids)

    async def _recent_of(self, connection_ids: Sequence[str]) -> set[str]:
        keys = [connection_key(one) for one in connection_ids]
        items, recent = await self._get(
            self._connections_table, "connectionId", keys, "connectedAt", "userId"
        )
        since_s = self._now_s() - RECENT_S
        users: dict[str, list[str]] = {}
        for connection_id, item in items.items():
            if _number(item, "connectedAt") > since_s * 1000:
                recent.add(connection_id)
            else:
                caller = Caller(connection_id, item.get("userId", {}).get("S"))
                users.setdefault(quota_name(caller), []).append(connection_id)
        # A user's item expires IDLE_S after their last frame.
        keys = [encode({"name": name}) for name in users]
        quotas, active = await self._get(self._quotas_table, "name", keys, "expiresAt")
        active |= {name for name, item in quotas.items() if _number(item, "expiresAt") - IDLE_S > since_s}
        return recent.union(*(users[name] for name in active))

    async def _get(
        self, table: str, key: str, keys: Sequence[Item], *attributes: str
    ) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """The items found, by their attribute `key`, and those of the keys that DynamoDB left unread."""
        if not keys:
            return {}, set()
        # `name` is a reserved word.
        names = {f"#{number}": name for number, name in enumerate((key, *attributes))}
        request = {
            "Keys": keys,
            "ProjectionExpression": ", ".join(names),
            "ExpressionAttributeNames": names,
        }
        answer = await self._dynamodb.call("BatchGetItem", {"RequestItems": {table: request}})
        unread = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        found = {item[key]["S"]: item for item in answer["Responses"].get(table, ())}
        return found, {one[key]["S"] for one in unread}


def _number(item: dict[str, Any], name: str) -> int:
    return int(item[name]["N"]) if name in item else 0
