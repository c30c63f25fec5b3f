"""Groups: the counter that numbers each group's messages, and the fan-out's notes on the group."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from groupcast.errors import GroupcastError
from groupcast.model import EMPTY_HEAD, Audience, Head
from groupcast.ratelimit import US_PER_MS, is_large
from groupcast.tables.buckets import Buckets, update_if
from groupcast.tables.items import decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from groupcast.aws.calls import Calls
    from groupcast.ratelimit import GroupLimit
    from groupcast.tables.buckets import Values
    from groupcast.tables.items import Item

# A busy group's messages go through the stream until it has paused for this long. A message rarely spends
# longer in the stream (docs/architecture.md, "Why lanes"), so later ones do not overtake it.
QUIET_MS = 1_000
# Mark a group busy for longer than that, so that this is written at most once in QUIET_MS.
BUSY_MS = 2 * QUIET_MS
# What the fan-out notes is not worth more of its time.
NOTE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Numbered:
    """A newly taken number, and the state of the group at that time.

    `busy_until_ms` is 0 if the group has never been busy. `moved_at_ms` is the time when the number before
    this one was taken, 0 if this is the first.
    """

    seq: int
    audience: Audience
    busy_until_ms: int
    moved_at_ms: int


class Groups:
    """The Groups table through an aioboto3 DynamoDB client; `limit` applies to each group."""

    def __init__(self, dynamodb: Any, table: str, limit: GroupLimit) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._limit = limit
        self._buckets = Buckets()
        self._refusal = (
            f"A group takes {limit.messages_per_second} messages and {limit.bytes_per_second} bytes a second "
            "from all its members together; wait and send again."
        )

    async def next_seq(self, group_id: str, now_ms: int, size_bytes: int) -> Numbered:
        """Take the group's next number: 1, 2, 3 …, each given out once.

        `size_bytes` is the size of the message's text in a frame. ChatError (RateLimited) if the group has
        reached its limit; then no number is taken.
        """
        charge = self._limit.charge(size_bytes)
        taker = uuid4().hex

        async def update(full_at: str, condition: str, values: Values) -> tuple[bool, Mapping[str, Any]]:
            more = ", largeSeq = if_not_exists(lastSeq, :zero) + :one" if is_large(size_bytes) else ""
            values |= {":one": 1, ":moved": now_ms, ":taker": taker, **({":zero": 0} if more else {})}
            taken, item = await update_if(
                self._dynamodb,
                TableName=self._table,
                Key=encode({"groupId": group_id}),
                UpdateExpression=(
                    f"ADD lastSeq :one SET movedAt = :moved, takenBy = :taker, fullAtUs = {full_at}{more}"
                ),
                ConditionExpression=f"{condition} AND (attribute_not_exists(takenBy) OR takenBy <> :taker)",
                ExpressionAttributeValues=encode(values),
            )
            if not taken and item.get("takenBy") == {"S": taker}:
                # This call took it, but the answer was lost. Restore roughly the item as it was before.
                before = {"lastSeq": -1, "fullAtUs": -charge.cost_us}
                numbers = {name: int(item[name]["N"]) + change for name, change in before.items()}
                return True, {**item, **encode(numbers)}
            return taken, item

        taken, item = await self._buckets.take(group_id, charge, now_ms * US_PER_MS, self._refusal, update)
        assert taken
        old = decode(item)
        audience = Audience(int(old.get("members", 0)), int(old.get("lanes", 1)))
        return Numbered(
            seq=int(old.get("lastSeq", 0)) + 1,
            audience=audience,
            busy_until_ms=int(old.get("busyUntil", 0)),
            moved_at_ms=int(old.get("movedAt", 0)),
        )

    async def keep_busy(self, group_id: str, until_ms: int) -> None:
        """Send the group's messages through the stream until this time, even after a pause."""
        await self._dynamodb.update_item(
            TableName=self._table,
            Key=encode({"groupId": group_id}),
            UpdateExpression="SET busyUntil = :until",
            ExpressionAttributeValues=encode({":until": until_ms}),
        )

    async def head(self, group_id: str) -> Head:
        """The group's head, by a consistent read."""
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key=encode({"groupId": group_id}), ConsistentRead=True
        )
        return head_of(answer["Item"]) if "Item" in answer else EMPTY_HEAD


def head_of(item: Item) -> Head:
    """The head in a group's item."""
    values = decode(item)
    return Head(int(values["lastSeq"]), int(values["movedAt"]), int(values.get("largeSeq", 0)))


@dataclass(frozen=True, slots=True)
class Note:
    """A fan-out pass's update of a group; None leaves an attribute unchanged.

    `served` is the first and last seq that the lane named `lane` took from the log.
    """

    audience: Audience | None = None
    busy_until_ms: int | None = None
    lane: str = ""
    served: tuple[int, int] | None = None


class ServedGroups:
    """The Groups table for the fan-out, through the signed client. Never raises.

    A failed read counts as unknown; after a failed write the next pass writes its own note.
    """

    def __init__(self, dynamodb: Calls, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def served(self, group_id: str, lane: str) -> tuple[int, int] | None:
        """The first and last seq of a lane's last read of the log (a consistent read), or None."""
        get = {"TableName": self._table, "Key": encode({"groupId": group_id}), "ConsistentRead": True}
        with contextlib.suppress(GroupcastError, TimeoutError):
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                item = decode((await self._dynamodb.call("GetItem", get)).get("Item", {}))
                if f"servedTo{lane}" in item:
                    return int(item[f"servedFrom{lane}"]), int(item[f"servedTo{lane}"])
        return None

    async def note(self, group_id: str, note: Note) -> None:
        """Write the values that are not None, unless the group has no item."""
        values: dict[str, str | int] = {}
        if note.audience is not None:
            values |= {"members": note.audience.members, "lanes": note.audience.lanes}
        if note.busy_until_ms is not None:
            values["busyUntil"] = note.busy_until_ms
        if note.served is not None:
            first, last = note.served
            values |= {f"servedFrom{note.lane}": first, f"servedTo{note.lane}": last}
        if not values:
            return
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": encode({"groupId": group_id}),
            "UpdateExpression": "SET " + ", ".join(f"{name} = :{name}" for name in values),
            "ConditionExpression": "attribute_exists(groupId)",
            "ExpressionAttributeValues": encode({f":{name}": value for name, value in values.items()}),
        }
        with contextlib.suppress(GroupcastError, TimeoutError):
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._dynamodb.call("UpdateItem", update)
