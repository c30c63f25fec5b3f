"""Users' rights and their end, over real tables in DynamoDB Local."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest

from groupcast.auth import Principal
from groupcast.errors import Code
from groupcast.tables.connections import Connections
from tests.stack.groupcast.world import NOW_MS, World, code_of

pytestmark = pytest.mark.stack
UNTIL_S = NOW_MS // 1000 + 3600


@pytest.fixture
def private() -> str:
    return f"private-{uuid.uuid4()}"


class Ann:
    """A new user for each test: after a test with a fast clock, a bucket would stay empty."""

    user_id = ""


@pytest.fixture(autouse=True)
def _new_ann() -> None:
    Ann.user_id = str(uuid.uuid4())


def ann(*groups: str) -> Principal:
    return Principal(Ann.user_id, "ann", groups, UNTIL_S)


async def test_a_private_group_is_for_its_members(world: World, private: str) -> None:
    """Others and guests can neither join it nor get its replay."""
    insider = await world.member(private, principal=ann(private))
    await world.chat.send(insider, {"message": "secret"})
    for outsider in (await world.connection(principal=ann("private-other")), await world.connection()):
        assert await code_of(world.chat.join(outsider, {"groupId": private, "since": 0})) is Code.FORBIDDEN
        assert await code_of(world.chat.history(outsider, {})) is Code.NOT_IN_GROUP
    joined = await world.chat.join(insider, {"groupId": private, "since": 0})
    assert [message["message"] for message in joined["messages"]] == ["secret"]


async def test_a_refused_join_moves_nobody(world: World, group: str, private: str) -> None:
    """The connection stays in its group."""
    member = await world.member(group, principal=ann())
    assert await code_of(world.chat.join(member, {"groupId": private})) is Code.FORBIDDEN
    assert (await world.chat.ping(member, {}))["groupId"] == group


async def test_the_sender_is_the_signed_in_user(world: World, group: str) -> None:
    """A sender in the frame is ignored."""
    member = await world.member(group, principal=ann())
    await world.chat.send(member, {"message": "hi", "sender": "root"})
    history = await world.chat.history(member, {})
    assert [message["sender"] for message in history["messages"]] == ["ann"]


async def test_rights_end_with_the_token(world: World, group: str) -> None:
    """To the second; a new token restores them on the same connection."""
    member = await world.member(group, principal=ann())
    world.now_ms = UNTIL_S * 1000 - 1
    await world.chat.send(member, {"message": "still"})
    world.now_ms += 1
    assert await code_of(world.chat.send(member, {"message": "too late"})) is Code.FORBIDDEN
    assert await code_of(world.chat.join(member, {"groupId": group})) is Code.FORBIDDEN
    assert await code_of(world.chat.history(member, {})) is Code.FORBIDDEN
    assert await code_of(world.chat.ping(member, {})) is Code.FORBIDDEN
    world.tokens["new"] = replace(ann(), authorized_until_s=UNTIL_S + 3600)
    renewed = await world.chat.renew(member, {"token": "new"})
    assert renewed == {
        "type": "renewed",
        "groupId": group,
        "groups": [group],
        "expiresAt": "2033-05-18T05:33:20.000Z",
    }
    assert (await world.chat.send(member, {"message": "again"}))["seq"] == 2


async def test_a_new_token_must_belong_to_the_same_user(world: World, group: str) -> None:
    """Neither users nor guests can become somebody else on an open connection."""
    member, guest = await world.member(group, principal=ann()), await world.member(group)
    world.tokens["bob"] = replace(ann(), user_id="0000-bob", name="bob")
    assert await code_of(world.chat.renew(member, {"token": "bob"})) is Code.FORBIDDEN
    assert await code_of(world.chat.renew(member, {"token": "made up"})) is Code.FORBIDDEN
    assert await code_of(world.chat.renew(guest, {"token": "bob"})) is Code.FORBIDDEN
    assert await code_of(world.chat.renew("gone=", {"token": "bob"})) is Code.CONFLICT
    for bad in ({}, {"token": 1}, {"token": ""}):
        assert await code_of(world.chat.renew(member, bad)) is Code.BAD_REQUEST


async def test_a_withdrawn_right_ends_with_the_renewal(world: World, private: str) -> None:
    """A user who left the pool's group is removed from the private one and cannot return."""
    member = await world.member(private, principal=ann(private))
    world.tokens["less"] = replace(ann(), authorized_until_s=UNTIL_S + 60)
    assert (await world.chat.renew(member, {"token": "less"}))["groupId"] is None
    assert await code_of(world.chat.send(member, {"message": "hi"})) is Code.NOT_IN_GROUP
    assert await code_of(world.chat.join(member, {"groupId": private})) is Code.FORBIDDEN


async def test_no_race_leaves_a_user_in_a_private_group_without_the_right(world: World, private: str) -> None:
    for turn in range(20):
        member = await world.connection(principal=ann(private))
        world.tokens["less"] = replace(ann(), authorized_until_s=UNTIL_S + 1 + turn)
        await asyncio.gather(
            world.chat.join(member, {"groupId": private}),
            world.chat.renew(member, {"token": "less"}),
            return_exceptions=True,
        )
        item = await world.connection_item(member)
        assert item is not None
        assert await world.entries(member) == {"connection"} or private in item["userGroups"]["S"]


async def test_a_renewal_during_a_join_cancels_the_join(world: World, private: str) -> None:
    """Even if both tokens end at the same time."""
    connections = Connections(world.dynamodb, world.tables["ConnectionsTable"])
    for left, until_s in ((ann(), UNTIL_S), (ann("private-other"), UNTIL_S), (ann(private), UNTIL_S + 1)):
        connection_id = await world.connection(principal=ann(private))
        decided_on = await connections.get(connection_id)
        assert decided_on is not None
        world.tokens["new"] = replace(left, authorized_until_s=until_s)
        await world.chat.renew(connection_id, {"token": "new"})
        assert await code_of(connections.change_groups(decided_on, [private], [private])) is Code.CONFLICT
        assert (await world.chat.ping(connection_id, {}))["groupId"] is None
        unchanged = await connections.get(connection_id)
        assert unchanged is not None
        await connections.change_groups(unchanged, [private], [private])
