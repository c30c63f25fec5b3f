"""A connection in several groups, over real tables in DynamoDB Local."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from groupcast.auth import Principal
from groupcast.errors import Code
from groupcast.protocol import MAX_FRAME_BYTES, MAX_GROUPS
from groupcast.tables.connections import ChangedError, Connections
from tests.stack.groupcast.world import NOW_MS, MakeWorld, World, code_of

pytestmark = pytest.mark.stack

UNTIL_S = NOW_MS // 1000 + 3600


def entries_of(*groups: str) -> set[str]:
    return {"connection", *(f"group:{group}" for group in groups)}


async def disconnect_after(wait_s: float, world: World, connection_id: str) -> None:
    await asyncio.sleep(wait_s)
    await world.chat.disconnect(connection_id)


async def add(world: World, connection_id: str, *groups: str) -> None:
    for group in groups:
        await world.chat.join(connection_id, {"groupId": group, "add": True})


async def test_adding_keeps_the_other_groups_and_moving_leaves_them(world: World, group: str) -> None:
    """A join without `add` moves the connection, however many groups it was in."""
    a, b, c = (f"{group}-{name}" for name in "abc")
    connection_id = await world.connection()
    await add(world, connection_id, a, b)
    assert await world.entries(connection_id) == entries_of(a, b)
    assert (await world.chat.ping(connection_id, {}))["groups"] == {a: 0, b: 0}
    await world.chat.join(connection_id, {"groupId": c})
    assert await world.entries(connection_id) == entries_of(c)


async def test_a_frame_means_the_group_that_it_names_or_the_last_joined(world: World, group: str) -> None:
    """sendMessage, history and leaveGroup; joining a group again makes it the last."""
    a, b = f"{group}-a", f"{group}-b"
    connection_id = await world.connection()
    await add(world, connection_id, a, b)
    assert (await world.chat.send(connection_id, {"message": "to b"}))["groupId"] == b
    assert (await world.chat.send(connection_id, {"message": "to a", "groupId": a}))["groupId"] == a
    await add(world, connection_id, a)
    assert (await world.chat.send(connection_id, {"message": "to a"}))["groupId"] == a
    assert (await world.chat.ping(connection_id, {}))["groups"] == {b: 1, a: 2}
    history = await world.chat.history(connection_id, {"groupId": b})
    assert [message["message"] for message in history["messages"]] == ["to b"]
    assert (await world.chat.leave(connection_id, {}))["groupId"] == a
    assert (await world.chat.history(connection_id, {}))["groupId"] == b
    assert await world.entries(connection_id) == entries_of(b)


@pytest.mark.parametrize(("action", "frame"), [("send", {"message": "hi"}), ("history", {}), ("leave", {})])
async def test_a_group_that_was_not_joined_is_refused(
    world: World, group: str, action: str, frame: dict[str, str]
) -> None:
    """Whether or not it exists; nothing is stored."""
    connection_id = await world.member(group)
    other = await world.member(f"{group}-other")
    refusal = code_of(getattr(world.chat, action)(connection_id, {**frame, "groupId": f"{group}-other"}))
    assert await refusal is Code.NOT_IN_GROUP
    assert (await world.chat.history(other, {}))["messages"] == []
    assert await world.entries(connection_id) == entries_of(group)


async def test_several_groups_in_one_frame_have_results_of_their_own(world: World, group: str) -> None:
    """A private group, a malformed entry and a second mention do not keep the connection from the others."""
    speaker = await world.member(f"{group}-a")
    await world.chat.send(speaker, {"message": "missed"})
    connection_id = await world.member(f"{group}-before")
    names: list[object] = [
        {"groupId": f"{group}-a", "since": 0},
        {"groupId": "private-team"},
        {"groupId": ""},
        "x",
        {"groupId": f"{group}-b", "since": -1},
        {"groupId": f"{group}-c"},
        {"groupId": f"{group}-a"},
    ]
    joined = await world.chat.join(connection_id, {"groups": names})
    assert joined.keys() == {"type", "groups"}
    first, *results = joined["groups"]
    assert [message["message"] for message in first["messages"]] == ["missed"]
    assert (first["groupId"], first["lastSeq"], first["complete"]) == (f"{group}-a", 1, True)
    codes = [(one["groupId"], one["error"]["code"] if "error" in one else None) for one in results]
    assert codes == [
        ("private-team", "Forbidden"),
        ("", "BadRequest"),
        (None, "BadRequest"),
        (f"{group}-b", "BadRequest"),
        (f"{group}-c", None),
        (f"{group}-a", "BadRequest"),
    ]
    expected = entries_of(f"{group}-before", f"{group}-a", f"{group}-c")
    assert await world.entries(connection_id) == expected


async def test_there_is_no_room_for_one_group_more(world: World, group: str) -> None:
    """The 51st is refused, alone or among others; one that the connection is in can be joined again."""
    connection_id = await world.connection()
    names = [f"{group}-{number}" for number in range(MAX_GROUPS + 1)]
    await world.chat.join(connection_id, {"groups": [{"groupId": one} for one in names[:48]]})
    joined = await world.chat.join(connection_id, {"groups": [{"groupId": one} for one in names[46:]]})
    assert ["error" in one for one in joined["groups"]] == [False] * 4 + [True]
    assert joined["groups"][-1]["error"]["code"] == "BadRequest"
    assert await code_of(world.chat.join(connection_id, {"groupId": "one-more", "add": True})) is (
        Code.BAD_REQUEST
    )
    await add(world, connection_id, names[0])
    assert await world.entries(connection_id) == entries_of(*names[:MAX_GROUPS])
    await world.chat.disconnect(connection_id)
    assert await world.entries(connection_id) == set()


async def test_fifty_replays_share_one_frame(world: World, group: str) -> None:
    """The groups named first have their messages; the others are told that there are more."""
    names = [f"{group}-{number}" for number in range(12)]
    speaker = await world.connection()
    await world.chat.join(speaker, {"groups": [{"groupId": one} for one in names]})
    for name in names:
        await world.chat.send(speaker, {"message": "x" * 16_000, "groupId": name})
    late = await world.connection()
    groups = [{"groupId": one, "since": 0} for one in names]
    joined = await world.chat.join(late, {"groups": groups})
    assert len(orjson.dumps(joined)) < MAX_FRAME_BYTES
    results = joined["groups"]
    assert [one["groupId"] for one in results] == names
    assert all(one["lastSeq"] == 1 for one in results)
    assert all(len(one["messages"]) == one["complete"] for one in results)
    assert 5 <= sum(one["complete"] for one in results) < len(names)


async def test_frames_of_one_connection_that_join_at_once_all_count(world: World, group: str) -> None:
    """None undoes another; a disconnect in their midst leaves nothing behind."""
    names = [f"{group}-{number}" for number in range(4)]
    connection_id = await world.connection()
    await asyncio.gather(*(add(world, connection_id, one) for one in names))
    assert await world.entries(connection_id) == entries_of(*names)
    for turn in range(8):
        connection_id = await world.connection()
        await add(world, connection_id, f"{group}-first")
        await asyncio.gather(
            *(add(world, connection_id, one) for one in names[:2]),
            world.chat.leave(connection_id, {"groupId": f"{group}-first"}),
            disconnect_after(turn * 0.004, world, connection_id),
            return_exceptions=True,
        )
        await world.chat.disconnect(connection_id)
        assert await world.entries(connection_id) == set()


async def test_a_disconnect_finds_the_memberships_that_the_fanout_left(world: World, group: str) -> None:
    """The fan-out removes a gone connection and its membership in one group."""
    connection_id = await world.connection()
    await add(world, connection_id, f"{group}-a", f"{group}-b", f"{group}-c")
    await world.remove_connection(connection_id)
    assert await code_of(world.chat.join(connection_id, {"groupId": group})) is Code.CONFLICT
    await world.chat.disconnect(connection_id)
    assert await world.entries(connection_id) == set()


async def test_a_renewal_reaches_every_membership(world: World, group: str) -> None:
    """Groups that the new token closes are left; the others last as long as the token."""
    ann = Principal("ann", "ann", ("private-a", "private-b"), UNTIL_S)
    connection_id = await world.connection(principal=ann)
    await add(world, connection_id, "private-a", group, "private-b")
    world.tokens["new"] = replace(ann, groups=("private-b",), authorized_until_s=UNTIL_S + 60)
    renewed = await world.chat.renew(connection_id, {"token": "new"})
    assert (renewed["groupId"], renewed["groups"]) == ("private-b", [group, "private-b"])
    assert await world.entries(connection_id) == entries_of(group, "private-b")
    for one in (group, "private-b"):
        item = await world.item("ConnectionsTable", connectionId=connection_id, entry=f"group:{one}")
        assert item is not None
        assert item["authorizedUntil"]["N"] == str(UNTIL_S + 60)


async def test_a_change_decided_on_an_old_reading_is_refused(world: World, group: str) -> None:
    """Chat reads the connection again and decides anew."""
    connections = Connections(world.dynamodb, world.tables["ConnectionsTable"])
    connection_id = await world.connection()
    before = await connections.get(connection_id)
    assert before is not None
    await add(world, connection_id, f"{group}-a")
    with pytest.raises(ChangedError):
        await connections.change_groups(before, [f"{group}-b"], [f"{group}-b"])
    assert await world.entries(connection_id) == entries_of(f"{group}-a")


async def test_fifty_groups_cost_one_read_of_heads(make_world: MakeWorld, group: str) -> None:
    """Logs that have no new messages are not read."""
    world = make_world()
    names = [{"groupId": f"{group}-{number}", "since": 0} for number in range(MAX_GROUPS)]
    connection_id = await world.connection()
    world.dynamodb.reset()
    await world.chat.join(connection_id, {"groups": names})
    calls = dict(world.dynamodb.calls)
    assert calls == {"update_item": 1, "get_item": 1, "transact_write_items": 1, "batch_get_item": 1}
