"""Recently active users and connections, over real tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from groupcast.errors import GroupcastError
from groupcast.tables.activity import GET_BATCH, RECENT_S, Activity
from tests.stack.groupcast.world import MakeWorld, World, someone

pytestmark = pytest.mark.stack


class Calls:
    """A boto client with the signed client's interface; `unread` answers omit all but one key."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb
        self.requests: list[tuple[str, int]] = []
        self.unread = False

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        ((table, request),) = payload["RequestItems"].items()
        keys = request["Keys"]
        self.requests.append((table, len(keys)))
        if self.unread:
            request["Keys"] = keys[:1]
        method = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower()
        answer: dict[str, Any] = await getattr(self._dynamodb, method)(**payload)
        return {**answer, "UnprocessedKeys": {table: {"Keys": keys[1:]}} if self.unread and keys[1:] else {}}


def activity_of(world: World) -> tuple[Activity, Calls]:
    calls = Calls(world.dynamodb)
    tables = world.tables["ConnectionsTable"], world.tables["QuotasTable"]
    return Activity(calls, *tables, now_s=lambda: world.now_ms / 1000), calls


async def test_a_new_connection_is_active(world: World, group: str) -> None:
    """For some seconds, for guests and users; a connection without an item is not."""
    connections = [await world.member(group), await world.member(group, principal=someone())]
    activity, _ = activity_of(world)
    world.now_ms += int(RECENT_S * 1000) - 1
    assert await activity.recent([*connections, "nobody="]) == set(connections)
    world.now_ms += 2_000
    assert await activity.recent([*connections, "nobody="]) == set()


async def test_a_frame_makes_active(world: World, group: str) -> None:
    """A guest's connection, or all of a user's connections, since the frame's is not recorded."""
    ann = someone()
    guest, other = await world.member(group), await world.member(group)
    phone, laptop = await world.member(group, principal=ann), await world.member(group, principal=ann)
    world.now_ms += int(RECENT_S * 1000) * 10
    await world.chat.ping(guest, {})
    await world.chat.send(phone, {"message": "hello"})
    activity, _ = activity_of(world)
    world.now_ms += int(RECENT_S * 1000) - 1_000
    assert await activity.recent([guest, other, phone, laptop]) == {guest, phone, laptop}
    world.now_ms += 2_000
    assert await activity.recent([guest, other, phone, laptop]) == set()


async def test_many_are_looked_up_in_few_requests(world: World, group: str) -> None:
    """A hundred at a time; without an item there is no lookup of tokens."""
    quiet = await world.member(group)
    world.now_ms += int(RECENT_S * 1000) + 1
    activity, calls = activity_of(world)
    assert await activity.recent([quiet, *(f"gone-{n}=" for n in range(GET_BATCH + 20))]) == set()
    assert sorted(calls.requests) == sorted(
        [
            (world.tables["ConnectionsTable"], GET_BATCH),
            (world.tables["ConnectionsTable"], 21),
            (world.tables["QuotasTable"], 1),
        ]
    )


async def test_unprocessed_keys_count_as_active(world: World, group: str) -> None:
    """DynamoDB may leave keys unprocessed; these get another try instead of another lookup."""
    first, second = await world.member(group), await world.member(group)
    world.now_ms += int(RECENT_S * 1000) + 1
    activity, calls = activity_of(world)
    calls.unread = True
    assert await activity.recent([first, second]) == {second}


async def test_a_failed_lookup_is_raised(make_world: MakeWorld) -> None:
    """The fan-out decides what it means."""

    class Broken:
        async def call(self, _operation: str, _payload: Mapping[str, Any]) -> dict[str, Any]:
            raise GroupcastError

    with pytest.raises(GroupcastError):
        await Activity(Broken(), "connections", "quotas").recent(["c="])
