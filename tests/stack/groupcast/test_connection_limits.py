"""A user's connection limit, over real tables in DynamoDB Local."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from groupcast.errors import ChatError, Code
from groupcast.handlers import connect, disconnect
from groupcast.model import Caller
from groupcast.ratelimit import (
    Bucket,
)
from groupcast.tables.connections import LIFETIME_S
from groupcast.tables.users import Users
from tests.stack.groupcast.world import NOW_MS, MakeWorld, Repeating, code_of, refused, someone

pytestmark = pytest.mark.stack


async def test_a_users_connections_are_limited(make_world: MakeWorld) -> None:
    """One more is refused and leaves nothing; after a disconnect there is room. Guests have no limit."""
    world, ann = make_world(connections_max=3), someone()
    connections = [await world.connection(principal=ann) for _ in range(3)]
    assert await code_of(world.connection(principal=ann)) is Code.RATE_LIMITED
    assert world.last_connection not in connections
    assert await world.connection_item(world.last_connection) is None
    await world.chat.disconnect(connections[0])
    await world.connection(principal=ann)
    await world.connection(principal=someone())
    for _ in range(4):
        await world.connection()


@pytest.mark.parametrize("authorizer", [True, False])
@pytest.mark.parametrize("removed", [True, False])
async def test_a_disconnect_makes_room(make_world: MakeWorld, authorizer: bool, removed: bool) -> None:
    """The user is named by the event or by the item, which the fan-out may have removed before."""
    world, ann = make_world(connections_max=1), someone()
    connection_id = await world.connection(principal=ann)
    if removed:
        await world.remove_connection(connection_id)
    context: dict[str, Any] = {"connectionId": connection_id}
    if authorizer:
        context["authorizer"] = {"principalId": ann.user_id}
    await disconnect._disconnect(world.chat._chat, {"requestContext": context})
    assert await world.connection_item(connection_id) is None
    item = await world.item("QuotasTable", name=f"user:{ann.user_id}")
    assert item is not None
    assert ("connectionIds" in item) is (removed and not authorizer)


async def test_connecting_at_once_does_not_exceed_the_limit(make_world: MakeWorld) -> None:
    """Three of ten succeed."""
    world, ann = make_world(connections_max=3), someone()
    assert len(await refused([world.connection(principal=ann) for _ in range(10)])) == 7


@pytest.mark.parametrize("swept", [True, False])
async def test_connections_without_a_disconnect_event_make_room(make_world: MakeWorld, swept: bool) -> None:
    """Without $disconnect: items that the fan-out or TTL removed, or that TTL is late for, don't count."""
    world, ann = make_world(connections_max=3), someone()
    connections = [await world.connection(principal=ann) for _ in range(3)]
    if swept:
        for connection_id in connections[:2]:
            await world.remove_connection(connection_id)
    else:
        world.now_ms += LIFETIME_S * 1000
    await world.connection(principal=ann)
    await world.connection(principal=ann)


async def test_a_tab_too_many_disturbs_the_others_little(make_world: MakeWorld) -> None:
    """It retries again and again: it costs one lookup in 10 s, and leaves tokens for the others."""
    world, ann = make_world(connections_max=1, bucket=Bucket(10, 20)), someone()
    tab = await world.connection(principal=ann)
    for _ in range(2):
        world.now_ms += 10_000
        world.dynamodb.reset()
        for _ in range(20):
            assert await code_of(world.connection(principal=ann)) is Code.RATE_LIMITED
        assert world.dynamodb.calls["batch_get_item"] == 1
        await world.chat.ping(tab, {})


async def test_a_flood_of_connects_ends_without_requests(make_world: MakeWorld) -> None:
    """Each takes tokens, refused or not; with an empty bucket nothing is written."""
    world, ann = make_world(connections_max=1, bucket=Bucket(1, 2)), someone()
    for _ in range(8):
        await asyncio.gather(world.connection(principal=ann), return_exceptions=True)
    assert await code_of(world.connection(principal=ann)) is Code.RATE_LIMITED
    world.dynamodb.reset()
    assert await code_of(world.connection(principal=ann)) is Code.RATE_LIMITED
    assert world.dynamodb.calls.total() == 0


@pytest.mark.parametrize(("broken", "code"), [("delete_item", Code.RATE_LIMITED), ("batch_get_item", None)])
async def test_a_failed_connect_leaves_nothing_and_has_a_reason(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, broken: str, code: Code | None
) -> None:
    """DynamoDB fails besides a refusal, which is reported, or before it; then the item is removed."""
    world, ann = make_world(connections_max=1), someone()
    await world.connection(principal=ann)

    async def fail(**_request: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(world.dynamodb, broken, fail, raising=False)
    with pytest.raises((ChatError, ConnectionError)) as caught:
        await world.connection(principal=ann)
    assert getattr(caught.value, "code", None) is code
    left = await world.connection_item(world.last_connection)
    assert (left is None) is (broken != "delete_item")


async def test_a_connect_with_a_lost_answer_succeeds(
    make_world: MakeWorld, unit_tables: dict[str, str]
) -> None:
    """AWS's SDK repeats the request; by then this connection itself has taken the last place."""
    client, caller = Repeating(make_world().dynamodb), Caller("one=", str(uuid.uuid4()))
    users = Users(client, unit_tables["QuotasTable"], Bucket(10, 20), 1)
    assert await users.add_connection(caller, NOW_MS * 1000) is None
    assert await users.add_connection(replace(caller, connection_id="two="), NOW_MS * 1000) is not None


def test_a_refused_connect_is_logged_by_its_reason(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """API Gateway passes no text to the client; operators find it in the log."""

    def refuse(_event: Any) -> None:
        raise ChatError(Code.RATE_LIMITED, "You have 20 connections.")

    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"service-{uuid.uuid4()}")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "groupcast")
    monkeypatch.setattr(connect, "_run", refuse)
    assert connect.handler({}, None) == {"statusCode": 429}
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["reason"] for line in lines if line.get("message") == "connect refused"] == [
        "You have 20 connections."
    ]
