"""Who may do what, and until when, over real tables in DynamoDB Local."""

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
    """Another user in each test: where the clock of one was ahead, her bucket is still empty in the next."""

    user_id = ""


@pytest.fixture(autouse=True)
def _new_ann() -> None:
    Ann.user_id = str(uuid.uuid4())


def ann(*groups: str) -> Principal:
    return Principal(Ann.user_id, "ann", groups, UNTIL_S)


async def test_a_private_group_is_for_those_who_are_in_it(world: World, private: str) -> None:
    """Neither joining nor what it would replay is for others, nor for guests."""
    insider = await world.member(private, principal=ann(private))
    await world.chat.send(insider, {"message": "secret"})
    for outsider in (await world.connection(principal=ann("private-other")), await world.connection()):
        assert await code_of(world.chat.join(outsider, {"groupId": private, "since": 0})) is Code.FORBIDDEN
        assert await code_of(world.chat.history(outsider, {})) is Code.NOT_IN_GROUP
    joined = await world.chat.join(insider, {"groupId": private, "since": 0})
    assert [message["message"] for message in joined["messages"]] == ["secret"]


async def test_a_refused_join_moves_nobody(world: World, group: str, private: str) -> None:
    """Who may not enter stays where they were."""
    member = await world.member(group, principal=ann())
    assert await code_of(world.chat.join(member, {"groupId": private})) is Code.FORBIDDEN
    assert (await world.chat.ping(member, {}))["groupId"] == group


async def test_the_sender_is_who_signed_in(world: World, group: str) -> None:
    """Whatever the frame says."""
    member = await world.member(group, principal=ann())
    await world.chat.send(member, {"message": "hi", "sender": "root"})
    history = await world.chat.history(member, {})
    assert [message["sender"] for message in history["messages"]] == ["ann"]


async def test_rights_end_with_the_token(world: World, group: str) -> None:
    """To the second; then a new token brings them back on the same connection."""
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


async def test_a_new_token_must_be_one_and_the_same_users(world: World, group: str) -> None:
    """Nobody becomes somebody else on an open connection; a guest becomes nobody."""
    member, guest = await world.member(group, principal=ann()), await world.member(group)
    world.tokens["bob"] = replace(ann(), user_id="0000-bob", name="bob")
    assert await code_of(world.chat.renew(member, {"token": "bob"})) is Code.FORBIDDEN
    assert await code_of(world.chat.renew(member, {"token": "made up"})) is Code.FORBIDDEN
    assert await code_of(world.chat.renew(guest, {"token": "bob"})) is Code.FORBIDDEN
    assert await code_of(world.chat.renew("gone=", {"token": "bob"})) is Code.CONFLICT
    for bad in ({}, {"token": 1}, {"token": ""}):
        assert await code_of(world.chat.renew(member, bad)) is Code.BAD_REQUEST


async def test_a_right_that_is_withdrawn_ends_with_the_renewal(world: World, private: str) -> None:
    """Who is no longer in the pool's group is taken out of the private one, and may not come back."""
    member = await world.member(private, principal=ann(private))
    world.tokens["less"] = replace(ann(), authorized_until_s=UNTIL_S + 60)
    assert (await world.chat.renew(member, {"token": "less"}))["groupId"] is None
    assert await code_of(world.chat.send(member, {"message": "hi"})) is Code.NOT_IN_GROUP
    assert await code_of(world.chat.join(member, {"groupId": private})) is Code.FORBIDDEN


async def test_joining_and_losing_the_right_at_once(world: World, private: str) -> None:
    """Whoever wins the race: nobody ends up in a private group without its entry."""
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


async def test_a_join_counts_only_with_the_rights_that_it_was_allowed_by(world: World, private: str) -> None:
    """A renewal between the decision and the join takes it back, also one that ends at the same time."""
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
