"""The chat from its users' view, as in README.md, "The wire"."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import Target
from tests.contract.peer import Peer

pytestmark = pytest.mark.stack
Connect = Callable[..., Any]
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


async def test_two_people_chat(connect: Connect, target: Target, group: str) -> None:
    """Both receive each message in the contract's shape, Korean text unchanged."""
    ann, bob = await connect("ann"), await connect("bob")
    joined = await ann.join(group)
    expected = {"type": "joined", "groupId": group, "lastSeq": 0, "messages": [], "complete": True}
    assert joined == (expected | {"readSeq": 0} if target.user else expected)
    await bob.join(group)
    ack = await ann.say("안녕하세요!")
    assert set(ack) == {"type", "messageId", "groupId", "seq", "createdAt"}
    assert (ack["groupId"], ack["seq"]) == (group, 1)
    assert ISO.fullmatch(ack["createdAt"])
    for peer in (ann, bob):
        push = await peer.expect("messages")
        assert push == {
            "type": "messages",
            "groupId": group,
            "messages": [
                {
                    "messageId": ack["messageId"],
                    "seq": 1,
                    "sender": target.sender("ann"),
                    "message": "안녕하세요!",
                    "createdAt": ack["createdAt"],
                    **target.user,
                }
            ],
        }


async def test_the_frames_of_the_readme_work_as_written(connect: Connect) -> None:
    ann = await connect()
    assert (await ann.ask('{"action":"joinGroup","groupId":"group1"}', "joined"))["groupId"] == "group1"
    ack = await ann.ask('{"action":"sendMessage","message":"안녕하세요!"}', "ack")
    texts = {message["seq"]: message["message"] for message in await ann.messages(1)}
    assert texts[ack["seq"]] == "안녕하세요!"


async def test_other_groups_receive_nothing(connect: Connect, group: str) -> None:
    """A member who moved on receives nothing of the old group."""
    ann, bob, eve = await connect("ann"), await connect("bob"), await connect("eve")
    await ann.join(group)
    await bob.join(f"{group}-other")
    await eve.join(group)
    await eve.join(f"{group}-elsewhere")
    await ann.say("for us")
    await ann.messages(1)
    assert await bob.is_quiet()
    assert await eve.is_quiet()


async def test_leaving_ends_the_membership(connect: Connect, group: str) -> None:
    """After leaveGroup no pushes come, and sending is refused."""
    ann, bob = await connect("ann"), await connect("bob")
    await ann.join(group)
    await bob.join(group)
    assert await bob.ask({"action": "leaveGroup"}, "left") == {"type": "left", "groupId": group}
    await ann.say("bye")
    await ann.messages(1)
    assert await bob.is_quiet()
    error = await bob.ask({"action": "sendMessage", "message": "me?"}, "error")
    assert error["code"] == "NotInGroup"


async def test_the_name_comes_from_the_connection_not_from_the_frame(
    connect: Connect, target: Target, group: str
) -> None:
    """A sender in a frame is ignored; a guest without a name gets a generated one."""
    ann, guest = await connect("Ann%20Lee"), await connect()
    await ann.join(group)
    await guest.join(group)
    await ann.say("hi", sender="root")
    await guest.say("hello")
    senders = {message["message"]: message["sender"] for message in await ann.messages(2)}
    assert senders["hi"] == target.sender("Ann Lee")
    nameless = re.escape(senders["hi"]) if target.token else r"guest-.{6}"
    assert re.fullmatch(nameless, senders["hello"])


async def test_every_reply_repeats_the_id(connect: Connect, group: str) -> None:
    """For each action and for errors, too."""
    ann = await connect("ann")
    frames = [
        ({"action": "joinGroup", "groupId": group}, "joined"),
        ({"action": "sendMessage", "message": "hi"}, "ack"),
        ({"action": "history"}, "history"),
        ({"action": "ping"}, "pong"),
        ({"action": "leaveGroup"}, "left"),
        ({"action": "history"}, "error"),
        ({"action": "dance"}, "error"),
    ]
    for number, (frame, kind) in enumerate(frames):
        reply = await ann.ask({**frame, "id": f"call-{number}"}, kind)
        assert reply["id"] == f"call-{number}"


async def test_a_retry_is_one_message(connect: Connect, group: str) -> None:
    """The same messageId, from this or a new connection, gets the same ack; members receive it once."""
    ann, bob = await connect("ann"), await connect("bob")
    await bob.join(group)
    await ann.join(group)
    message_id = str(uuid.uuid4())
    ack = await ann.say("once", messageId=message_id)
    again = await connect("ann")
    await again.join(group)
    assert await again.say("once", messageId=message_id) == ack
    assert (await bob.messages(1))[0]["messageId"] == message_id
    assert await bob.is_quiet()
    error = await ann.ask({"action": "sendMessage", "message": "two", "messageId": message_id}, "error")
    assert error["code"] == "Conflict"


async def test_missed_messages_are_replayed(connect: Connect, group: str) -> None:
    """A returning client names its last seq and gets the rest, oldest first."""
    ann = await connect("ann")
    await ann.join(group)
    for number in range(6):
        await ann.say(f"m{number}")
    late = await connect("late")
    joined = await late.join(group, since=2)
    assert [message["seq"] for message in joined["messages"]] == [3, 4, 5, 6]
    assert (joined["lastSeq"], joined["complete"]) == (6, True)
    page = await late.ask({"action": "history", "before": 3}, "history")
    assert [message["message"] for message in page["messages"]] == ["m0", "m1"]
    assert page["complete"] is True


async def test_ping_names_the_current_group(connect: Connect, group: str) -> None:
    """null if the connection is in no group; else the group and its last seq."""
    ann = await connect("ann")
    assert (await ann.ask({"action": "ping"}, "pong"))["groupId"] is None
    await ann.join(group)
    await ann.say("hi")
    pong = await ann.ask({"action": "ping"}, "pong")
    assert (pong["groupId"], pong["lastSeq"]) == (group, 1)


async def test_a_broken_connection_harms_nobody(connect: Connect, target: Target, group: str) -> None:
    """A TCP connection that just breaks does not keep messages from the other members."""
    ann = await connect("ann")
    await ann.join(group)
    async with Peer.connect(target.connect_url("broken")) as broken:
        await broken.join(group)
        broken.socket.transport.abort()
    await ann.say("still here")
    assert (await ann.messages(1))[0]["message"] == "still here"


async def test_many_senders_get_dense_numbers(connect: Connect, group: str) -> None:
    """Ten people send at the same time, and everybody receives everything."""
    peers: list[Peer] = [await connect(f"p{number}") for number in range(10)]
    await asyncio.gather(*(peer.join(group) for peer in peers))
    acks = await asyncio.gather(*(peer.say(f"from {number}") for number, peer in enumerate(peers)))
    assert sorted(ack["seq"] for ack in acks) == list(range(1, 11))
    for peer in peers:
        heard = await peer.messages(10)
        assert sorted(message["seq"] for message in heard) == list(range(1, 11))
