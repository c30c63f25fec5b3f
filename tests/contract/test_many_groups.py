"""One connection in several groups, as its user meets it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import Target

pytestmark = pytest.mark.stack
Connect = Callable[..., Any]


@pytest.fixture
def groups() -> list[str]:
    return [f"group-{uuid.uuid4()}" for _ in range(3)]


async def test_a_connection_hears_all_its_groups_and_no_other(connect: Connect, groups: list[str]) -> None:
    """Messages go to the group that the frame names; leaving one keeps the others."""
    ann, bob = await connect("ann"), await connect("bob")
    for group in groups[:2]:
        await ann.join(group, add=True)
    await bob.ask({"action": "joinGroup", "groups": [{"groupId": group} for group in groups]}, "joined")
    for group in groups:
        assert (await bob.say(f"to {group}", groupId=group))["groupId"] == group
    assert {message["message"] for message in await ann.messages(2)} == {f"to {one}" for one in groups[:2]}
    assert (await ann.ask({"action": "leaveGroup", "groupId": groups[1]}, "left"))["groupId"] == groups[1]
    await bob.say("not for ann", groupId=groups[1])
    await bob.say("for ann", groupId=groups[0])
    assert [message["message"] for message in await ann.messages(1)] == ["for ann"]
    assert (await ann.ask({"action": "ping"}, "pong"))["groups"] == {groups[0]: 2}


async def test_rejoining_replays_each_group_and_refuses_one_alone(
    connect: Connect, groups: list[str]
) -> None:
    """As after a lost connection: each group after its own `since`; a private one has an error."""
    ann = await connect("ann")
    await ann.ask({"action": "joinGroup", "groups": [{"groupId": group} for group in groups]}, "joined")
    for number in range(3):
        await ann.say(f"m{number}", groupId=groups[0])
    again = await connect("ann")
    entries = [
        {"groupId": groups[0], "since": 1},
        {"groupId": f"private-{groups[0]}", "since": 0},
        {"groupId": groups[1], "since": 0},
    ]
    joined = await again.ask({"action": "joinGroup", "groups": entries}, "joined")
    replayed, refused, empty = joined["groups"]
    assert [message["message"] for message in replayed["messages"]] == ["m1", "m2"]
    assert (replayed["lastSeq"], replayed["complete"]) == (3, True)
    assert refused["error"]["code"] == "Forbidden"
    assert (empty["groupId"], empty["messages"], empty["complete"]) == (groups[1], [], True)


async def test_a_user_marks_what_they_have_read(connect: Connect, target: Target, groups: list[str]) -> None:
    """Guests cannot: nobody knows who they are when they come again."""
    ann = await connect("ann")
    await ann.join(groups[0])
    await ann.say("hi")
    mark = {"action": "markRead", "seq": 1}
    if not target.user:
        assert (await ann.ask(mark, "error"))["code"] == "Forbidden"
        return
    assert await ann.ask(mark, "marked") == {"type": "marked", "groupId": groups[0], "readSeq": 1}
    assert (await ann.join(groups[0]))["readSeq"] == 1


BAD_FRAMES: list[dict[str, Any]] = [
    {"action": "joinGroup", "groups": []},
    {"action": "joinGroup", "groups": [{"groupId": "a"}] * 51},
    {"action": "joinGroup", "groups": [{"groupId": "a"}], "groupId": "a"},
    {"action": "joinGroup", "groupId": "a", "add": "yes"},
    {"action": "sendMessage", "message": "hi", "groupId": 7},
    {"action": "markRead"},
    {"action": "markRead", "seq": 9},
]


async def test_bad_frames_are_refused(connect: Connect, groups: list[str]) -> None:
    """And leave the connection where it was."""
    ann = await connect("ann")
    await ann.join(groups[0])
    for frame in BAD_FRAMES:
        assert (await ann.ask(frame, "error"))["code"] in ("BadRequest", "Forbidden"), frame
    assert (await ann.ask({"action": "ping"}, "pong"))["groups"] == {groups[0]: 0}
