"""Limits of users and groups, over real tables in DynamoDB Local."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from groupcast.errors import Code
from groupcast.model import Caller
from groupcast.ratelimit import (
    GROUP_BURST_S,
    GROUP_USERS_MIN,
    TOKEN_BYTES,
    US_PER_S,
    Bucket,
    GroupLimit,
)
from groupcast.tables.groups import Groups
from groupcast.tables.users import Users
from tests.stack.groupcast.world import NOW_MS, UNTIL_S, MakeWorld, Repeating, code_of, refused, someone

pytestmark = pytest.mark.stack
LARGE = "x" * 16_000


async def test_a_users_connections_share_one_bucket(make_world: MakeWorld, group: str) -> None:
    """Above it: RateLimited with a retry time, and nothing stored. Guests and other users have their own."""
    world = make_world(bucket=Bucket(10, 5))
    ann = someone()
    members = [await world.member(group, principal=ann) for _ in range(2)]
    others = [await world.member(group, principal=someone()), *[await world.member(group) for _ in range(2)]]
    world.now_ms += 1000
    limited = await refused([world.chat.send(members[n % 2], {"message": f"m{n}"}) for n in range(12)])
    assert [error.retry_after_ms for error in limited] == [100] * 7
    assert (await world.groups.head(group)).last_seq == 5
    for other in others:
        await world.chat.send(other, {"message": "mine"})
    world.now_ms += 100
    await world.chat.send(members[1], {"message": "later"})
    assert await code_of(world.chat.send(members[0], {"message": "too soon"})) is Code.RATE_LIMITED
    assert await code_of(world.chat.send("gone=", {"message": "hi"})) is Code.NOT_IN_GROUP


async def test_every_action_takes_tokens(make_world: MakeWorld, group: str) -> None:
    """With an empty bucket each is refused without effect."""
    world = make_world(bucket=Bucket(1, 5))
    ann = someone()
    world.tokens["new"] = ann
    member = await world.member(group, principal=ann)
    world.now_ms += 5000
    frames: dict[str, dict[str, Any]] = {
        "send": {"message": "hi"},
        "join": {"groupId": f"{group}-2"},
        "leave": {},
        "history": {},
        "ping": {},
        "renew": {"token": "new"},
    }
    for action, frame in frames.items():
        calls = [getattr(world.chat, action)(member, frame) for _ in range(30)]
        assert len(await refused(calls)) >= 9, action
        world.now_ms += 5000
        if action in ("join", "leave"):
            await world.chat.join(member, {"groupId": group})
            world.now_ms += 5000


async def test_a_message_is_charged_by_its_size_in_frames(make_world: MakeWorld, group: str) -> None:
    """One that costs more than the bucket holds passes a full one, and its debt delays the next."""
    world = make_world(bucket=Bucket(10, 20))
    member = await world.member(group, principal=someone())
    world.now_ms += 1000
    await world.chat.send(member, {"message": "\x01" * 16_384})
    (error,) = await refused([world.chat.send(member, {"message": "hi"})])
    # 96 tokens for 96 KB: 76 below zero, plus one for the next message.
    assert error.retry_after_ms == 7_700
    world.now_ms += 7_700
    await world.chat.send(member, {"message": "hi"})


async def test_a_flood_is_refused_without_requests(make_world: MakeWorld, group: str) -> None:
    """An environment that has seen an empty bucket makes no request until it must have refilled."""
    world = make_world(bucket=Bucket(10, 5))
    member = await world.member(group, principal=someone())
    await refused([world.chat.send(member, {"message": "hi"}) for _ in range(6)])
    world.dynamodb.reset()
    limited = [await refused([world.chat.send(member, {"message": "hi"})]) for _ in range(100)]
    assert all(len(each) == 1 for each in limited)
    assert world.dynamodb.calls.total() == 0


async def test_environments_share_buckets(make_world: MakeWorld, group: str) -> None:
    """Tokens taken by one are gone for the other."""
    first, second = make_world(bucket=Bucket(10, 8)), make_world(bucket=Bucket(10, 8))
    ann = someone()
    member = await first.member(group, principal=ann)
    second.chat.adopt(member, ann.user_id)
    first.now_ms = second.now_ms = NOW_MS + 1000
    calls = [world.chat.send(member, {"message": "hi"}) for _ in range(6) for world in (first, second)]
    assert len(await refused(calls)) == 4
    assert (await first.groups.head(group)).last_seq == 8


async def test_a_group_refuses_messages_over_its_limit_without_a_number(
    make_world: MakeWorld, group: str
) -> None:
    """For all members together; after the named time it continues. Other groups never stop."""
    world = make_world(group_limit=GroupLimit(10, 1024**2))
    members = [await world.member(group) for _ in range(4)]
    most = 10 * GROUP_BURST_S
    limited = await refused([world.chat.send(members[n % 4], {"message": f"m{n}"}) for n in range(most + 10)])
    assert [error.retry_after_ms for error in limited] == [100] * 10
    assert (await world.groups.head(group)).last_seq == most
    await world.chat.send(await world.member(f"{group}-2"), {"message": "elsewhere"})
    world.now_ms += 100
    assert (await world.chat.send(members[0], {"message": "now"}))["seq"] == most + 1


async def test_a_groups_bytes_are_limited(make_world: MakeWorld, group: str) -> None:
    """16 KB take half a second at a limit of 32 KB/s."""
    world = make_world(group_limit=GroupLimit(1_000, 32_000))
    member = await world.member(group)
    limited = await refused([world.chat.send(member, {"message": LARGE}) for _ in range(14)])
    assert [error.retry_after_ms for error in limited] == [500] * 4
    assert (await world.groups.head(group)).last_seq == 10


async def test_the_largest_message_does_not_close_a_group_to_others(
    make_world: MakeWorld, group: str
) -> None:
    """Even with a low limit, 16 KB of control characters (96 KB in a frame) leave the others no debt."""
    world = make_world(bucket=Bucket(1, 20), group_limit=GroupLimit(50, GROUP_USERS_MIN * TOKEN_BYTES))
    eve, ann = [await world.member(group, principal=someone()) for _ in range(2)]
    world.now_ms += 1000
    await world.chat.send(eve, {"message": "\x01" * 16_384})
    (error,) = await refused([world.chat.send(ann, {"message": "hi"})])
    assert error.retry_after_ms == 20
    world.now_ms += 20
    await world.chat.send(ann, {"message": "hi"})


async def test_a_message_that_its_group_refuses_costs_little(make_world: MakeWorld, group: str) -> None:
    """After the named time the sender has enough tokens; a flood at a full group still ends."""
    world = make_world(bucket=Bucket(10, 20), group_limit=GroupLimit(1_000, 32_000))
    ann = await world.member(group, principal=someone())
    world.now_ms += 2000
    for _ in range(10):
        await world.chat.send(await world.member(group), {"message": LARGE})
    for _ in range(3):
        (error,) = await refused([world.chat.send(ann, {"message": LARGE})])
        assert error.retry_after_ms == 500
    world.now_ms += 500
    await world.chat.send(ann, {"message": LARGE})
    for _ in range(100):
        (error,) = await refused([world.chat.send(ann, {"message": "hi"})])
    world.dynamodb.reset()
    await refused([world.chat.send(ann, {"message": "hi"})])
    assert world.dynamodb.calls.total() == 0


async def test_refunds_elsewhere_never_overfill_a_bucket(
    make_world: MakeWorld, unit_tables: dict[str, str]
) -> None:
    """An environment that remembers an emptier bucket takes from a full one, not a fuller one."""
    world, caller = make_world(), Caller("none=", str(uuid.uuid4()))
    first, second = (Users(world.dynamodb, unit_tables["QuotasTable"], Bucket(10, 20), 1) for _ in range(2))
    now_us = NOW_MS * 1000
    await second.take(caller, 20, now_us)
    await first.debit(caller, -20, now_us)
    now_us += US_PER_S
    await second.take(caller, 2, now_us)
    item = await world.item("QuotasTable", name=f"user:{caller.user_id}")
    assert item is not None
    assert int(item["fullAtUs"]["N"]) == now_us + US_PER_S // 5


@pytest.mark.parametrize("sent", [0, 2, 49])
async def test_an_attempt_with_a_lost_answer_takes_no_second_number(
    make_world: MakeWorld, group: str, sent: int
) -> None:
    """AWS's SDK repeats the request; the message keeps the first number and is charged once."""
    world = make_world(group_limit=GroupLimit(10, 1024**2))
    for number in range(sent):
        assert (await world.groups.next_seq(group, NOW_MS, 9)).seq == number + 1
    repeating = Groups(Repeating(world.dynamodb), world.tables["GroupsTable"], GroupLimit(10, 1024**2))
    assert (await repeating.next_seq(group, NOW_MS, 9)).seq == sent + 1
    assert (await world.groups.head(group)).last_seq == sent + 1
    item = await world.item("GroupsTable", groupId=group)
    assert item is not None
    assert int(item["fullAtUs"]["N"]) == NOW_MS * 1000 + (sent + 1) * US_PER_S // 10


async def test_a_clock_that_was_ahead_locks_nobody_out(make_world: MakeWorld, group: str) -> None:
    """A day ahead, it emptied both buckets; after correction, functions start with full ones."""
    limits = {"bucket": Bucket(10, 5), "group_limit": GroupLimit(10, 1024**2)}
    ahead, ann = make_world(**limits), someone()
    ahead.now_ms += 24 * 3600 * 1000
    member = await ahead.connection(principal=replace(ann, authorized_until_s=2 * UNTIL_S))
    await ahead.chat.join(member, {"groupId": group})
    await ahead.chat.send(member, {"message": "tomorrow"})
    right = make_world(**limits)
    right.chat.adopt(member, ann.user_id)
    limited = await refused([right.chat.send(member, {"message": "today"}) for _ in range(7)])
    assert [error.retry_after_ms for error in limited] == [100] * 2


async def test_a_message_costs_one_write_for_its_number_and_one_for_its_token(
    make_world: MakeWorld, group: str
) -> None:
    """For full and empty buckets."""
    world = make_world(bucket=Bucket(10, 20), group_limit=GroupLimit(50, 32_768))
    member = await world.member(group, principal=someone())
    world.now_ms += 1000
    for pause_ms in (0, 5, 10, 1000, 0):
        world.now_ms += pause_ms
        world.dynamodb.reset()
        await world.chat.send(member, {"message": "hi"})
        assert world.dynamodb.calls == {"update_item": 2, "get_item": 1, "put_item": 1}


@pytest.mark.parametrize("frame", [{"since": 0}, {"before": 21}, {}])
async def test_history_reads_little_more_than_it_returns(
    make_world: MakeWorld, group: str, frame: dict[str, int]
) -> None:
    """A reply holds seven messages of 16 KB, and eight are read; all 20 cost 41 read units."""
    world = make_world()
    member = await world.member(group)
    await asyncio.gather(*(world.chat.send(member, {"message": LARGE}) for _ in range(20)))
    world.dynamodb.reset()
    page = await world.chat.history(member, frame)
    returned_units = sum(len(one["message"]) for one in page["messages"]) / 8192
    assert len(page["messages"]) == 7
    assert returned_units < world.dynamodb.read_units < returned_units + 3
    assert world.dynamodb.calls["query"] == 1


@pytest.mark.parametrize("frame", [{"since": 1}, {"before": 203}, {}])
async def test_history_of_small_messages_takes_one_query(
    make_world: MakeWorld, group: str, frame: dict[str, int]
) -> None:
    """For 200 messages, even if older ones are large."""
    world = make_world()
    member = await world.member(group)
    await world.chat.send(member, {"message": LARGE})
    await asyncio.gather(*(world.chat.send(member, {"message": f"m{n}"}) for n in range(202)))
    world.dynamodb.reset()
    page = await world.chat.history(member, frame)
    assert len(page["messages"]) == 200
    assert world.dynamodb.calls["query"] == 1


@pytest.mark.parametrize("large", [{3}, {1, 2, 150}, {40}])
async def test_large_messages_among_small_ones_hide_none(
    make_world: MakeWorld, group: str, large: set[int]
) -> None:
    """Forwards and backwards each comes once, in few queries that read little more than they return."""
    world = make_world()
    member = await world.member(group)
    for number in range(1, 181):
        await world.chat.send(member, {"message": LARGE if number in large else f"m{number}"})
    world.dynamodb.reset()
    forward = await world.chat.history(member, {"since": 0})
    backward = await world.chat.history(member, {})
    assert [one["seq"] for one in forward["messages"]] == list(range(1, 181))
    assert backward["messages"] == forward["messages"]
    assert (forward["complete"], backward["complete"]) == (True, True)
    assert world.dynamodb.calls["query"] <= 8


async def test_a_long_reply_is_charged(make_world: MakeWorld, group: str) -> None:
    """A short one takes one write; the rest of a long one is charged after reading."""
    world = make_world(bucket=Bucket(10, 20))
    writer, ann = await world.member(group), someone()
    for _ in range(10):
        world.now_ms += 2000
        await world.chat.send(writer, {"message": LARGE})
    reader = await world.member(group, principal=ann)
    world.now_ms += 10_000
    world.dynamodb.reset()
    await world.chat.history(reader, {"limit": 1, "since": 9})
    assert world.dynamodb.calls["update_item"] == 1
    answered = 0
    while not await refused([world.chat.history(reader, {})]):
        answered += 1
    # About 112 KB each: seven times the cost of the first 16 KB.
    assert answered == 12
