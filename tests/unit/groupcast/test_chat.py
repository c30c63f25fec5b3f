"""Chat's rules over real tables in DynamoDB Local."""

from __future__ import annotations

import asyncio
import uuid

import aioboto3
import pytest

from groupcast.chat import HOLE_FINAL_MS
from groupcast.errors import Code
from tests.conftest import Stack
from tests.unit.groupcast.world import NOW_MS, World, code_of

pytestmark = pytest.mark.stack


async def test_seq_is_dense_from_the_first_message_on(world: World, group: str) -> None:
    """1, 2, 3 … whoever sends, also when many send at once."""
    members = [await world.member(group) for _ in range(4)]
    acks = await asyncio.gather(
        *(world.chat.send(member, {"message": f"{turn}"}) for member in members for turn in range(5))
    )
    assert sorted(ack["seq"] for ack in acks) == list(range(1, 21))


async def test_a_retry_gets_the_same_ack_and_stores_nothing(world: World, group: str) -> None:
    """The same messageId again is the same message, also from another connection, also at once."""
    first, second = await world.member(group), await world.member(group)
    frame = {"message": "once", "messageId": str(uuid.uuid4())}
    ack = await world.chat.send(first, frame)
    world.now_ms += 5000
    assert await world.chat.send(first, frame) == ack
    assert await world.chat.send(second, frame) == ack
    assert (await world.groups.head(group)).last_seq == 1
    history = await world.chat.history(first, {})
    assert [message["messageId"] for message in history["messages"]] == [frame["messageId"]]


async def test_two_tries_side_by_side_are_one_message(world: World, group: str) -> None:
    """The table's condition decides a race; both tries get the winner's ack."""
    member = await world.member(group)
    frame = {"message": "race", "messageId": str(uuid.uuid4())}
    acks = await asyncio.gather(*(world.chat.send(member, frame) for _ in range(8)))
    assert all(ack == acks[0] for ack in acks)
    assert len((await world.chat.history(member, {}))["messages"]) == 1


async def test_a_message_id_of_another_message_is_a_conflict(world: World, group: str) -> None:
    """An id can't be taken over for another text, or in another group."""
    member, elsewhere = await world.member(group), await world.member(f"{group}-2")
    frame = {"message": "mine", "messageId": str(uuid.uuid4())}
    await world.chat.send(member, frame)
    assert await code_of(world.chat.send(member, {**frame, "message": "other"})) is Code.CONFLICT
    assert await code_of(world.chat.send(elsewhere, frame)) is Code.CONFLICT


async def test_whoever_is_in_no_group_can_neither_send_nor_read(world: World) -> None:
    """NotInGroup, and nothing is stored."""
    connection_id = await world.connection()
    frame = {"message": "hi", "messageId": str(uuid.uuid4())}
    assert await code_of(world.chat.send(connection_id, frame)) is Code.NOT_IN_GROUP
    assert await code_of(world.chat.history(connection_id, {})) is Code.NOT_IN_GROUP
    assert await world.item("MessagesTable", messageId=frame["messageId"]) is None


async def test_a_join_that_races_a_disconnect_leaves_no_item(world: World, group: str) -> None:
    """The disconnect wins: joining does not bring the connection back."""
    connection_id = await world.member(group)
    await world.chat.disconnect(connection_id)
    assert await code_of(world.chat.join(connection_id, {"groupId": group})) is Code.CONFLICT
    assert await code_of(world.chat.leave(connection_id, {})) is Code.CONFLICT
    assert await world.item("ConnectionsTable", connectionId=connection_id) is None


async def test_joining_moves_and_leaving_leaves(world: World, group: str) -> None:
    """A connection is in one group at a time; ping says in which."""
    connection_id = await world.member(group)
    await world.chat.join(connection_id, {"groupId": f"{group}-2"})
    assert (await world.chat.ping(connection_id, {}))["groupId"] == f"{group}-2"
    assert await world.chat.leave(connection_id, {}) == {"type": "left", "groupId": f"{group}-2"}
    assert await world.chat.leave(connection_id, {}) == {"type": "left", "groupId": None}
    pong = await world.chat.ping(connection_id, {})
    assert (pong["groupId"], pong["lastSeq"], pong["connectionId"]) == (None, None, connection_id)
    item = await world.item("ConnectionsTable", connectionId=connection_id)
    assert item is not None
    assert "slot" not in item


async def test_since_replays_what_was_missed_oldest_first(world: World, group: str) -> None:
    """joinGroup with since gives all after it; without it, nothing."""
    member = await world.member(group)
    for number in range(5):
        await world.chat.send(member, {"message": f"m{number}"})
    late = await world.member(group)
    joined = await world.chat.join(late, {"groupId": group, "since": 2})
    assert [message["seq"] for message in joined["messages"]] == [3, 4, 5]
    assert (joined["lastSeq"], joined["complete"]) == (5, True)
    joined = await world.chat.join(late, {"groupId": group})
    assert (joined["messages"], joined["lastSeq"], joined["complete"]) == ([], 5, True)


async def test_a_long_replay_is_read_on_with_history(world: World, group: str) -> None:
    """complete false means that more is to come; a client that asks on gets each message once."""
    member = await world.member(group)
    for number in range(230):
        await world.chat.send(member, {"message": f"m{number}"})
    answer = await world.chat.join(member, {"groupId": group, "since": 0})
    seen = [message["seq"] for message in answer["messages"]]
    assert len(seen) == 200
    while not answer["complete"]:
        answer = await world.chat.history(member, {"since": seen[-1], "limit": 13})
        seen += [message["seq"] for message in answer["messages"]]
    assert seen == list(range(1, 231))


async def test_a_replay_of_large_messages_fits_a_frame(world: World, group: str) -> None:
    """The page is cut by bytes, never over what API Gateway sends, and still goes on to the end."""
    member = await world.member(group)
    for _ in range(12):
        await world.chat.send(member, {"message": "x" * 16_000})
    answer = await world.chat.join(member, {"groupId": group, "since": 0})
    assert not answer["complete"]
    seen = [message["seq"] for message in answer["messages"]]
    assert sum(len(message["message"]) for message in answer["messages"]) < 128 * 1024
    while not answer["complete"]:
        answer = await world.chat.history(member, {"since": seen[-1]})
        seen += [message["seq"] for message in answer["messages"]]
    assert seen == list(range(1, 13))


async def test_history_before_pages_backwards(world: World, group: str) -> None:
    """before gives the last ones below it, oldest first; complete at the group's first message."""
    member = await world.member(group)
    for number in range(7):
        await world.chat.send(member, {"message": f"m{number}"})
    latest = await world.chat.history(member, {"limit": 3})
    assert [message["seq"] for message in latest["messages"]] == [5, 6, 7]
    assert latest["complete"] is False
    older = await world.chat.history(member, {"before": 5, "limit": 4})
    assert [message["seq"] for message in older["messages"]] == [1, 2, 3, 4]
    assert older["complete"] is True


async def test_a_young_hole_is_not_complete_an_old_one_is(world: World, group: str) -> None:
    """A number without a message may still be on its way for as long as sendMessage can run."""
    member = await world.member(group)
    await world.chat.send(member, {"message": "one"})
    await world.groups.next_seq(group, world.now_ms)
    young = await world.chat.history(member, {"since": 0})
    world.now_ms += HOLE_FINAL_MS + 1
    old = await world.chat.history(member, {"since": 0})
    assert [message["seq"] for message in old["messages"]] == [1]
    assert (young["complete"], old["complete"]) == (False, True)


async def test_retention_sets_an_expiry(stack: Stack, unit_tables: dict[str, str], group: str) -> None:
    """With a retention the message carries its end in seconds; by default it has none."""
    async with aioboto3.Session().client("dynamodb", **stack.aws(stack.dynamodb_url)) as dynamodb:
        for days, expected in ((0, None), (3, {"N": str(NOW_MS // 1000 + 3 * 86_400)})):
            world = World(dynamodb, unit_tables, retention_days=days)
            ack = await world.chat.send(await world.member(group), {"message": "hi"})
            item = await world.item("MessagesTable", messageId=ack["messageId"])
            assert item is not None
            assert item.get("expiresAt") == expected
