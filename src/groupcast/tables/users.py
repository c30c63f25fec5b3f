"""Quotas, for the routes: each user's token bucket and open connections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from groupcast.ratelimit import CONNECT_TOKENS, US_PER_S
from groupcast.tables.buckets import Buckets, update_if
from groupcast.tables.items import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Mapping

    from groupcast.model import Caller
    from groupcast.ratelimit import Bucket
    from groupcast.tables.buckets import Values

# TTL deletes an item that is unused for this long: longer than any debt, and than a connection's lifetime.
IDLE_S = 24 * 60 * 60
# At most one lookup per user in this time, since it reads each of their connections.
LOOK_PAUSE_US = 10 * US_PER_S


@dataclass(frozen=True, slots=True)
class AtLimit:
    """A user is at the connection limit; `may_look` if it is time to look for gone connections."""

    connection_ids: frozenset[str]
    may_look: bool


class Users:
    """The items of users in the Quotas table, through an aioboto3 DynamoDB client.

    Guests have one item per connection and no connection limit.
    """

    def __init__(self, dynamodb: Any, table: str, bucket: Bucket, connections_max: int) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._bucket = bucket
        self._connections_max = connections_max
        self._buckets = Buckets()
        self._refusal = (
            f"At most {bucket.per_second} messages a second, {bucket.burst} at once, on all connections: "
            "long messages and other requests count accordingly. Wait and try again."
        )

    def take(self, caller: Caller, tokens: float, now_us: int) -> Awaitable[object]:
        """Take a user's tokens. ChatError (RateLimited) if there are too few, at once or when awaited."""
        name = quota_name(caller)
        update = partial(self._update, name, now_us, "", "")
        return self._buckets.take(name, self._bucket.charge(tokens), now_us, self._refusal, update)

    async def debit(self, caller: Caller, tokens: float, now_us: int) -> None:
        """Charge for completed work, even into debt; negative `tokens` are a refund."""
        name, cost_us = quota_name(caller), self._bucket.charge(tokens).cost_us
        answer = await self._dynamodb.update_item(
            TableName=self._table,
            Key=encode({"name": name}),
            UpdateExpression="SET fullAtUs = if_not_exists(fullAtUs, :now) + :cost, expiresAt = :expires",
            ExpressionAttributeValues=encode({":now": now_us, ":cost": cost_us, ":expires": _expiry(now_us)}),
            ReturnValues="UPDATED_NEW",
        )
        self._buckets.forget(name)
        self._buckets.remember(name, int(answer["Attributes"]["fullAtUs"]["N"]))

    def require_connect(self, caller: Caller, now_us: int) -> None:
        """ChatError (RateLimited) if a user is known to have too few tokens to connect. Sends no request."""
        self._buckets.require(quota_name(caller), self._bucket.charge(CONNECT_TOKENS), now_us, self._refusal)

    async def add_connection(self, caller: Caller, now_us: int) -> AtLimit | None:
        """Count a new connection or return AtLimit. ChatError (RateLimited) if there are too few tokens."""
        name = quota_name(caller)
        update = partial(
            self._update,
            name,
            now_us,
            " ADD connectionIds :id",
            " AND (attribute_not_exists(connectionIds) OR size(connectionIds) < :max)",
            more={":id": {"SS": [caller.connection_id]}, ":max": {"N": str(self._connections_max)}},
        )
        charge = self._bucket.charge(CONNECT_TOKENS)
        entered, old = await self._buckets.take(name, charge, now_us, self._refusal, update)
        # An attempt of this call whose answer was lost may have added it.
        if entered or caller.connection_id in old["connectionIds"]["SS"]:
            return None
        looked_at_us = int(old["lookedAt"]["N"]) if "lookedAt" in old else 0
        may_look = not 0 <= now_us - looked_at_us < LOOK_PAUSE_US
        return AtLimit(frozenset(old["connectionIds"]["SS"]), may_look)

    async def charge_refused(self, caller: Caller, now_us: int, *, looks: bool) -> None:
        """Charge for a refused connect, and record the time if it `looks` for gone connections.

        ChatError (RateLimited) if the user has too few tokens.
        """
        name, charge = quota_name(caller), self._bucket.charge(CONNECT_TOKENS)
        also, more = (", lookedAt = :looked", encode({":looked": now_us})) if looks else ("", {})
        update = partial(self._update, name, now_us, also, "", more=more)
        await self._buckets.take(name, charge, now_us, self._refusal, update)

    async def remove_connections(self, caller: Caller, connection_ids: Collection[str]) -> None:
        """Stop counting connections of a user. Ignores guests, and connections that are not counted."""
        if caller.user_id is None or not connection_ids:
            return
        await update_if(
            self._dynamodb,
            TableName=self._table,
            Key=encode({"name": quota_name(caller)}),
            UpdateExpression="DELETE connectionIds :ids",
            ConditionExpression="attribute_exists(connectionIds)",
            ExpressionAttributeValues={":ids": {"SS": sorted(connection_ids)}},
        )

    async def _update(
        self,
        name: str,
        now_us: int,
        also: str,
        unless: str,
        full_at: str,
        condition: str,
        values: Values,
        *,
        more: Mapping[str, Any] | None = None,
    ) -> tuple[bool, Mapping[str, Any]]:
        return await update_if(
            self._dynamodb,
            TableName=self._table,
            Key=encode({"name": name}),
            UpdateExpression=f"SET fullAtUs = {full_at}, expiresAt = :expires{also}",
            ConditionExpression=condition + unless,
            ExpressionAttributeValues=encode({**values, ":expires": _expiry(now_us)}) | dict(more or {}),
        )


def quota_name(caller: Caller) -> str:
    """The key in Quotas under which frames are charged: the user, or a guest's connection."""
    return f"connection:{caller.connection_id}" if caller.user_id is None else f"user:{caller.user_id}"


def _expiry(now_us: int) -> int:
    return now_us // US_PER_S + IDLE_S
