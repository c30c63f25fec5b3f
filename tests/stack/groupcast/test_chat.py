"""The chat's rules over real tables in DynamoDB Local."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import AsyncMock, patch

import aioboto3
import pytest
from botocore.exceptions import ClientError

from groupcast.auth import Principal
from groupcast.errors import Code
from groupcast.holes import HOLE_FINAL_MS, SEND_TIMEOUT_MS
from groupcast.tables.messages import Messages, NotStoredError
from tests.conftest import Stack
from tests.stack.groupcast.world import NOW_MS, MakeWorld, World, code_of

pytestmark = pytest.mark.stack


async def log_of(world: World, member: str) -> list[dict[str, Any]]:
    """The history of the member's group."""
    messages: list[dict[str, Any]] = (await world.chat.history(member, {"since": 0}))["messages"]
    return messages


@contextmanager
def refused(world: World, code: str, status: int, *, stores: bool) -> Iterator[None]:
    """DynamoDB fails the next put, with or without storing the item."""
    put_item = world.dynamodb.put_item
    kind = getattr(world.dynamodb.exceptions, code)

    async def put_once(**arguments: Any) -> None:
        world.dynamodb.put_item = put_item
        if stores:
            await put_item(**arguments)
        response = {
            "Error": {"Code": code, "Message": "as told"},
            "ResponseMetadata": {"HTTPStatusCode": status},
            "Item": arguments["Item"],
        }
        raise kind(response, "PutItem")

    with patch.object(world.dynamodb, "put_item", put_once):
        yield


async def test_seq_is_dense_from_the_first_message_on(world: World, group: str) -> None:
    """1, 2, 3 … for any senders, even if many send at once."""
    members = [await world.member(group) for _ in range(4)]
    acks = await asyncio.gather(
        *(world.chat.send(member, {"message": f"{turn}"}) for member in members for turn in range(5))
    )
    assert sorted(ack["seq"] for ack in acks) == list(range(1, 21))


async def test_a_retry_gets_the_same_ack_and_stores_nothing(world: World, group: str) -> None:
    """The same messageId is the same message, also from another connection and concurrently."""
    first, second = await world.member(group), await world.member(group)
    frame = {"message": "once", "messageId": str(uuid.uuid4())}
    ack = await world.chat.send(first, frame)
    world.now_ms += 5000
    assert await world.chat.send(first, frame) == ack
    assert await world.chat.send(second, frame) == ack
    assert (await world.groups.head(group)).last_seq == 1
    history = await world.chat.history(first, {})
    assert [message["messageId"] for message in history["messages"]] == [frame["messageId"]]


async def test_concurrent_retries_are_one_message(world: World, group: str) -> None:
    """The table's condition decides the race; both get the winner's ack."""
    member = await world.member(group)
    frame = {"message": "race", "messageId": str(uuid.uuid4())}
    acks = await asyncio.gather(*(world.chat.send(member, frame) for _ in range(8)))
    assert all(ack == acks[0] for ack in acks)
    log = await log_of(world, member)
    assert [one["messageId"] for one in log if "void" not in one] == [frame["messageId"]]


async def test_a_lost_race_leaves_no_hole(world: World, group: str) -> None:
    """The losers' numbers are published as void."""
    member, elsewhere = await world.member(group), await world.member(f"{group}-2")
    frame = {"message": "race", "messageId": str(uuid.uuid4())}
    # Both have seen the id as free.
    with patch.object(Messages, "get", AsyncMock(return_value=None)):
        ack = await world.chat.send(member, frame)
        assert await world.chat.send(member, frame) == ack
        assert await code_of(world.chat.send(member, {**frame, "message": "other"})) is Code.CONFLICT
        assert await code_of(world.chat.send(elsewhere, frame)) is Code.CONFLICT
    await world.chat.send(member, {"message": "next"})
    assert [(one["seq"], "void" in one) for one in await log_of(world, member)] == [
        *((1, False), (2, True), (3, True), (4, False))
    ]
    assert await log_of(world, elsewhere) == [{"seq": 1, "void": True}]


async def test_a_refused_put_leaves_no_hole(world: World, group: str) -> None:
    """Its number becomes void, and the sender gets an error and retries with the same id."""
    member = await world.member(group)
    frame = {"message": "hi", "messageId": str(uuid.uuid4())}
    throttled = "ProvisionedThroughputExceededException"
    with refused(world, throttled, 400, stores=False), pytest.raises(NotStoredError):
        await world.chat.send(member, frame)
    assert (await world.chat.send(member, frame))["seq"] == 2
    assert [(one["seq"], "void" in one) for one in await log_of(world, member)] == [(1, True), (2, False)]


async def test_a_put_with_a_lost_answer_is_not_void(world: World, group: str) -> None:
    """Its first attempt stored it and the second was refused: the number has a message."""
    member = await world.member(group)
    for code in ("ProvisionedThroughputExceededException", "ConditionalCheckFailedException"):
        with refused(world, code, 400, stores=True):
            ack = await world.chat.send(member, {"message": code})
        log = await log_of(world, member)
        assert (log[-1]["seq"], log[-1].get("message")) == (ack["seq"], code)


async def test_an_outage_makes_no_number_void(world: World, group: str) -> None:
    """It is unknown whether DynamoDB stored the message, which may appear in a moment."""
    member = await world.member(group)
    with refused(world, "InternalServerError", 500, stores=False), pytest.raises(ClientError):
        await world.chat.send(member, {"message": "hi"})
    assert await log_of(world, member) == []


async def test_ids_belong_to_their_user(world: World, group: str) -> None:
    """Another user's id is free and reveals nothing about their message."""
    ann, eve = Principal("0000-ann", "ann", (), 2**40), Principal("0000-eve", "eve", (), 2**40)
    users = [await world.member(group, principal=ann), await world.member(f"{group}-2", principal=eve)]
    users += [await world.member(group, principal=eve), await world.member(group)]
    message_id = str(uuid.uuid4())
    acks = [
        await world.chat.send(user, {"message": f"by {number}", "messageId": message_id})
        for number, user in enumerate(users)
        if number != 2
    ]
    assert {ack["messageId"] for ack in acks} == {message_id}
    assert (
        await code_of(world.chat.send(users[2], {"message": "2", "messageId": message_id})) is Code.CONFLICT
    )
    shown = [(one["message"], one.get("userId")) for one in await log_of(world, users[0])]
    assert shown == [("by 0", "0000-ann"), ("by 3", None)]
    assert [one["userId"] for one in await log_of(world, users[1])] == ["0000-eve"]


async def test_a_message_id_of_another_message_is_a_conflict(world: World, group: str) -> None:
    """An id cannot be reused for another text or group."""
    member, elsewhere = await world.member(group), await world.member(f"{group}-2")
    frame = {"message": "mine", "messageId": str(uuid.uuid4())}
    await world.chat.send(member, frame)
    assert await code_of(world.chat.send(member, {**frame, "message": "other"})) is Code.CONFLICT
    assert await code_of(world.chat.send(elsewhere, frame)) is Code.CONFLICT


async def test_without_a_group_nobody_can_send_or_read(world: World) -> None:
    """NotInGroup, and nothing is stored."""
    connection_id = await world.connection()
    frame = {"message": "hi", "messageId": str(uuid.uuid4())}
    assert await code_of(world.chat.send(connection_id, frame)) is Code.NOT_IN_GROUP
    assert await code_of(world.chat.history(connection_id, {})) is Code.NOT_IN_GROUP
    assert await world.item("MessagesTable", messageId=frame["messageId"]) is None


async def test_a_join_that_races_a_disconnect_leaves_no_item(world: World, group: str) -> None:
    """The disconnect wins: joining does not recreate the connection."""
    connection_id = await world.member(group)
    await world.chat.disconnect(connection_id)
    assert await code_of(world.chat.join(connection_id, {"groupId": group})) is Code.CONFLICT
    assert await code_of(world.chat.leave(connection_id, {})) is Code.CONFLICT
    assert await world.entries(connection_id) == set()


async def test_joining_moves_the_connection(world: World, group: str) -> None:
    """It is in one group at a time, as ping shows, and in none after leaving."""
    connection_id = await world.member(group)
    await world.chat.join(connection_id, {"groupId": f"{group}-2"})
    assert (await world.chat.ping(connection_id, {}))["groupId"] == f"{group}-2"
    assert await world.chat.leave(connection_id, {}) == {"type": "left", "groupId": f"{group}-2"}
    assert await world.chat.leave(connection_id, {}) == {"type": "left", "groupId": None}
    pong = await world.chat.ping(connection_id, {})
    assert (pong["groupId"], pong["lastSeq"], pong["connectionId"]) == (None, None, connection_id)
    assert await world.entries(connection_id) == {"connection"}


async def test_a_ping_tells_that_the_connection_is_unregistered(world: World, group: str) -> None:
    """Its item was removed while its socket lives: no group, and joining tells it to reconnect."""
    connection_id = await world.member(group)
    await world.remove_connection(connection_id)
    pong = await world.chat.ping(connection_id, {})
    assert (pong["groupId"], pong["lastSeq"]) == (None, None)
    assert await code_of(world.chat.join(connection_id, {"groupId": group, "since": 0})) is Code.CONFLICT


async def test_only_a_ping_reads_eventually_consistently(make_world: MakeWorld, group: str) -> None:
    """It costs half and may be slightly stale; a join or a read of the log may not."""
    world = make_world()
    connection_id = await world.member(group)
    world.dynamodb.reset()
    await world.chat.ping(connection_id, {})
    assert world.dynamodb.consistent_gets == [False, False]
    await world.chat.join(connection_id, {"groupId": group})
    await world.chat.history(connection_id, {})
    assert world.dynamodb.consistent_gets[2:] == [True] * 4


async def test_since_replays_missed_messages_oldest_first(world: World, group: str) -> None:
    """Without since, joinGroup replays nothing."""
    member = await world.member(group)
    for number in range(5):
        await world.chat.send(member, {"message": f"m{number}"})
    late = await world.member(group)
    joined = await world.chat.join(late, {"groupId": group, "since": 2})
    assert [message["seq"] for message in joined["messages"]] == [3, 4, 5]
    assert (joined["lastSeq"], joined["complete"]) == (5, True)
    joined = await world.chat.join(late, {"groupId": group})
    assert (joined["messages"], joined["lastSeq"], joined["complete"]) == ([], 5, True)


async def test_a_long_replay_continues_with_history(world: World, group: str) -> None:
    """complete is false until the end, and each message comes once."""
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
    """Pages are cut by bytes, stay below API Gateway's limit, and still reach the end."""
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
    """before gives the last messages below it, oldest first; complete at the group's first message."""
    member = await world.member(group)
    for number in range(7):
        await world.chat.send(member, {"message": f"m{number}"})
    latest = await world.chat.history(member, {"limit": 3})
    assert [message["seq"] for message in latest["messages"]] == [5, 6, 7]
    assert latest["complete"] is False
    older = await world.chat.history(member, {"before": 5, "limit": 4})
    assert [message["seq"] for message in older["messages"]] == [1, 2, 3, 4]
    assert older["complete"] is True


async def test_a_hole_is_void_when_it_is_final(world: World, group: str) -> None:
    """While sendMessage may still run, a number without a message may still get one."""
    member = await world.member(group)
    await world.groups.next_seq(group, world.now_ms, 9)
    await world.chat.send(member, {"message": "two"})
    await world.groups.next_seq(group, world.now_ms, 9)
    void, message, last = {"seq": 1, "void": True}, 2, {"seq": 3, "void": True}
    for passed_ms, known, complete in (
        (HOLE_FINAL_MS, [message], False),
        (1, [void, message], False),
        (SEND_TIMEOUT_MS, [void, message, last], True),
    ):
        world.now_ms += passed_ms
        for answer in (
            await world.chat.history(member, {"since": 0}),
            await world.chat.join(member, {"groupId": group, "since": 0}),
        ):
            assert [one if "void" in one else one["seq"] for one in answer["messages"]] == known
            assert answer["complete"] is complete


async def test_retention_sets_an_expiry(stack: Stack, unit_tables: dict[str, str], group: str) -> None:
    """Messages have their expiry in seconds; by default none."""
    async with aioboto3.Session().client("dynamodb", **stack.aws(stack.dynamodb_url)) as dynamodb:
        for days, expected in ((0, None), (3, {"N": str(NOW_MS // 1000 + 3 * 86_400)})):
            world = World(dynamodb, unit_tables, retention_days=days)
            ack = await world.chat.send(await world.member(group), {"message": "hi"})
            item = await world.item("MessagesTable", messageId=ack["messageId"])
            assert item is not None
            assert item.get("expiresAt") == expected
