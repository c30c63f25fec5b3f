"""How far users have read, over real tables in DynamoDB Local."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from groupcast.auth import Principal
from groupcast.errors import Code
from tests.stack.groupcast.world import NOW_MS, World, code_of

pytestmark = pytest.mark.stack


def someone(name: str, group: str) -> Principal:
    return Principal(f"{name}-{group}", name, (), NOW_MS // 1000 + 3600)


async def mark(world: World, connection_id: str, **frame: Any) -> int:
    marked = await world.chat.mark_read(connection_id, frame)
    assert marked.keys() == {"type", "groupId", "readSeq"}
    return int(marked["readSeq"])


async def test_a_mark_is_the_users_own_on_all_their_connections(world: World, group: str) -> None:
    """`joined` and `pong` carry it, so that unread messages are a subtraction; others have their own."""
    ann, bob = someone("ann", group), someone("bob", group)
    phone, laptop = [await world.member(group, principal=ann) for _ in range(2)]
    other = await world.member(group, principal=bob)
    for number in range(5):
        await world.chat.send(phone, {"message": f"m{number}"})
    assert await mark(world, phone, seq=3) == 3
    assert (await world.chat.ping(laptop, {}))["readSeqs"] == {group: 3}
    joined = await world.chat.join(laptop, {"groupId": group})
    assert joined["lastSeq"] - joined["readSeq"] == 2
    (result,) = (await world.chat.join(laptop, {"groups": [{"groupId": group, "since": 4}]}))["groups"]
    assert result["readSeq"] == 3
    assert (await world.chat.ping(other, {}))["readSeqs"] == {group: 0}


async def test_a_mark_only_moves_forward(world: World, group: str) -> None:
    """However many devices report at once, in whatever order."""
    phone = await world.member(group, principal=someone("ann", group))
    for number in range(6):
        await world.chat.send(phone, {"message": f"m{number}"})
    marks = await asyncio.gather(*(mark(world, phone, seq=seq) for seq in (2, 6, 4, 1)))
    assert max(marks) == 6
    assert await mark(world, phone, seq=3) == 6
    assert await mark(world, phone, seq=0) == 6


async def test_bad_marks_are_refused(world: World, group: str) -> None:
    """A number that the group has not reached, another group's, one that is none, and a guest's."""
    phone = await world.member(group, principal=someone("ann", group))
    guest = await world.member(group)
    await world.chat.send(phone, {"message": "hi"})
    refused: list[tuple[str, dict[str, Any], Code]] = [
        (phone, {"seq": 2}, Code.BAD_REQUEST),
        (phone, {"seq": -1}, Code.BAD_REQUEST),
        (phone, {}, Code.BAD_REQUEST),
        (phone, {"seq": 1, "groupId": f"{group}-other"}, Code.NOT_IN_GROUP),
        (guest, {"seq": 1}, Code.FORBIDDEN),
    ]
    for connection_id, frame, code in refused:
        assert await code_of(world.chat.mark_read(connection_id, frame)) is code
    assert (await world.chat.ping(phone, {}))["readSeqs"] == {group: 0}
    assert "readSeqs" not in await world.chat.ping(guest, {})
