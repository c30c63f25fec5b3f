"""A sender's message is offered by itself or left to the stream. Over real tables."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import aioboto3
import pytest

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.json_api import DYNAMODB, AwsJsonClient
from groupcast.fanout.express import OFFER_TIMEOUT_S, PAUSE_S, TURN_MS, Express
from groupcast.fanout.offers import from_body
from groupcast.fanout.queue import Queue
from groupcast.model import Audience
from groupcast.tables.groups import BUSY_MS, QUIET_MS, Note, ServedGroups
from groupcast.tables.items import stored_message_of
from groupcast.tables.messages import StoredMessages
from groupcast.tables.quotas import QuotasTable
from tests.conftest import Stack
from tests.stack.groupcast.world import World
from tests.unit.groupcast.fanout.support import FakeSqs

pytestmark = pytest.mark.stack

DELIVERY = "https://sqs.example/delivery.fifo"


class ExpressWorld(World):
    """A chat that offers to a queue of the test; `clock_s` is the loop's time."""

    def __init__(self, dynamodb: object, tables: dict[str, str]) -> None:
        self.sqs = FakeSqs()
        self.clock_s = asyncio.get_running_loop().time()
        self.failed: list[str] = []
        express = Express(
            Queue(self.sqs, DELIVERY), loop_time=lambda: self.clock_s, on_failure=self.failed.append
        )
        super().__init__(dynamodb, tables, express=express)

    async def send(self, connection_id: str) -> bool:
        """Send a message; return whether its item says that it was offered."""
        ack = await self.chat.send(connection_id, {"message": "hi"})
        item = await self.item("MessagesTable", messageId=ack["messageId"])
        assert item is not None
        return stored_message_of(item).express

    @property
    def offered_seqs(self) -> list[int]:
        return [one.seq for body in self.sqs.bodies(DELIVERY) for one in from_body(body).messages]


@pytest.fixture
async def world(stack: Stack, unit_tables: dict[str, str]) -> AsyncIterator[ExpressWorld]:
    async with aioboto3.Session().client("dynamodb", **stack.aws(stack.dynamodb_url)) as dynamodb:
        yield ExpressWorld(dynamodb, unit_tables)


@pytest.fixture
async def signed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsJsonClient]:
    for name, value in stack.aws(stack.dynamodb_url).items():
        monkeypatch.setenv(name.upper(), str(value))
    api = AwsJsonClient(DYNAMODB, stack.dynamodb_url, "us-east-1", CredentialsProvider(), max_connections=8)
    yield api
    await api.close()


async def test_a_quiet_groups_message_is_offered_by_its_sender(world: ExpressWorld, group: str) -> None:
    """Its item records that, so that the stream offers it under the same id."""
    member = await world.member(group)
    assert await world.send(member)
    assert await world.send(member)
    assert world.offered_seqs == [1, 2]


@pytest.mark.parametrize(
    ("since_ms", "held_ms"), [(0, TURN_MS), (10, TURN_MS - 10), (TURN_MS, 0), (60_000, 0), (-8, TURN_MS)]
)
def test_an_offer_waits_for_the_one_before_it(since_ms: int, held_ms: int) -> None:
    """For a moment, however far ahead the other sender's clock is."""
    now_ms = 1_795_368_000_000
    assert Express.turn_s(now_ms - since_ms, now_ms) == held_ms / 1000
    assert Express.turn_s(0, now_ms) == 0


async def test_a_message_right_after_another_is_delayed(world: ExpressWorld, group: str) -> None:
    """Its offer comes no sooner than the previous one could have."""
    member = await world.member(group)
    await world.send(member)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    await world.send(member)
    # The loop's timers are whole milliseconds.
    assert loop.time() - began_at >= (TURN_MS - 1) / 1000
    assert world.offered_seqs == [1, 2]


async def test_the_fan_outs_notes_reach_the_next_message(
    world: ExpressWorld, signed: AwsJsonClient, group: str
) -> None:
    """The group's size and its lanes: each lane gets an offer."""
    member = await world.member(group)
    await world.send(member)
    groups = ServedGroups(signed, world.tables["GroupsTable"])
    await groups.note(group, Note(Audience(50_000, 3)))
    await world.send(member)
    offers = [from_body(body) for body in world.sqs.bodies(DELIVERY)]
    assert [(one.members, one.messages[0].seq) for one in offers] == [(0, 1), *[(50_000, 2)] * 3]
    head = await world.groups.head(group)
    assert (head.last_seq, head.moved_at_ms) == (2, world.now_ms)


async def test_a_lanes_next_pass_knows_its_position_in_the_log(
    world: ExpressWorld, signed: AwsJsonClient, group: str
) -> None:
    """Separately for each lane. The log is read in order, from the end of the offers."""
    member = await world.member(group)
    for _ in range(5):
        await world.send(member)
    groups = ServedGroups(signed, world.tables["GroupsTable"])
    assert await groups.served(group, "0to32767") is None
    await groups.note(group, Note(lane="0to32767", served=(3, 7)))
    assert await groups.served(group, "0to32767") == (3, 7)
    assert await groups.served(group, "32768to65535") is None
    log = await StoredMessages(signed, world.tables["MessagesTable"]).after(group, 2, 2)
    assert [stored.message.seq for stored in log] == [3, 4]


async def test_a_group_that_does_not_exist_is_not_noted(
    world: ExpressWorld, signed: AwsJsonClient, group: str
) -> None:
    """A stray offer creates no item."""
    await ServedGroups(signed, world.tables["GroupsTable"]).note(group, Note(Audience(5, 1)))
    assert await world.item("GroupsTable", groupId=group) is None


async def test_a_busy_groups_messages_are_left_to_the_stream_until_it_pauses(
    world: ExpressWorld, signed: AwsJsonClient, group: str
) -> None:
    """An express message never comes less than QUIET_MS after one left to the stream."""
    member = await world.member(group)
    assert await world.send(member)
    groups = ServedGroups(signed, world.tables["GroupsTable"])
    dice = random.Random(11)
    left_at_ms = 0
    paths = []
    for _ in range(60):
        if dice.random() < 0.1:
            await groups.note(group, Note(busy_until_ms=world.now_ms + BUSY_MS))
        pause_ms = dice.choice((10, 200, 700, QUIET_MS + BUSY_MS))
        world.now_ms += pause_ms
        express = await world.send(member)
        assert not express or world.now_ms - left_at_ms >= QUIET_MS
        if not express:
            left_at_ms = world.now_ms
        paths.append(express)
    assert {True, False} == set(paths)


async def test_a_refusing_queue_delays_one_sender_at_a_time(world: ExpressWorld, group: str) -> None:
    """Messages are still acknowledged; later ones are left to the stream for a while."""
    member = await world.member(group)
    world.sqs.fails = lambda _: True
    assert await world.send(member)
    assert not await world.send(member)
    assert (len(world.failed), world.sqs.calls) == (1, 1)
    world.clock_s += PAUSE_S
    world.sqs.fails = lambda _: None
    assert await world.send(member)
    assert world.offered_seqs == [3]


async def test_a_silent_queue_delays_one_ack_by_the_time_limit(world: ExpressWorld, group: str) -> None:
    """The sender does not wait for the queue's recovery."""

    async def hang(_operation: str, _payload: object) -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    member = await world.member(group)
    world.sqs.call = hang  # type: ignore[method-assign,assignment]
    world.clock_s = asyncio.get_running_loop().time() - OFFER_TIMEOUT_S + 0.2
    assert await world.send(member)
    assert len(world.failed) == 1


async def test_bookings_are_made_in_the_table(world: ExpressWorld, signed: AwsJsonClient) -> None:
    """Concurrent workers get consecutive times."""
    workers = [QuotasTable(signed, world.tables["QuotasTable"]) for _ in range(4)]
    floor_us = 1_000_000_000
    starts = await asyncio.gather(*(workers[number % 4].book(50, floor_us) for number in range(40)))
    assert sorted(starts) == [floor_us + 50 * number for number in range(40)]
    later_us = floor_us + 1_000_000
    assert await workers[0].book(10, later_us) == later_us
    assert await workers[1].book(10, later_us - 500) == later_us + 10
