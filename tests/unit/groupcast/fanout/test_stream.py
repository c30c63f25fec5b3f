"""A batch of the stream, offered or delivered, with queues that fail on command."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from groupcast.aws.management import PostResult
from groupcast.fanout import offers
from groupcast.fanout.express import Express
from groupcast.fanout.handover import UNREADABLE_DELAY_S
from groupcast.fanout.leftover import from_body
from groupcast.fanout.queue import Queue
from groupcast.fanout.stream import StreamDelivery, StreamOffers, read_stream
from groupcast.runtime.fanout import Fanout
from groupcast.slots import ALL_SLOTS, SlotRange
from groupcast.tables.items import encode
from tests.unit.groupcast.fanout.support import (
    ACCEPTED,
    ERROR,
    LATE,
    FakeMembers,
    FakePoster,
    FakeSqs,
    engine,
    ids,
    item_of,
    message,
)

LEFTOVERS, FAILURES = "https://sqs.example/leftovers", "https://sqs.example/failures"
DELIVERY = "https://sqs.example/delivery.fifo"
REMAINING_S = 60.0


def record(group_id: str, seq: int, number: int, /, **more: int) -> dict[str, Any]:
    image = item_of(message(seq, group_id)) | encode(more)
    return {"eventName": "INSERT", "dynamodb": {"NewImage": image, "SequenceNumber": str(number)}}


def malformed(number: int) -> dict[str, Any]:
    return {"eventName": "INSERT", "dynamodb": {"NewImage": {}, "SequenceNumber": str(number)}}


class World:
    """Group `a` has a straggler, `b` has none."""

    def __init__(self) -> None:
        self.members = FakeMembers({"a": ids(5, "a"), "b": ids(5, "b")})
        self.poster = FakePoster(self.answer)
        self.sqs = FakeSqs()
        self.fanout = StreamDelivery(
            engine(self.members, self.poster, replace(LATE, grace_s=0.0)),
            Queue(self.sqs, LEFTOVERS),
            Queue(self.sqs, FAILURES),
            frame_bytes=0,
        )

    def answer(self, connection_id: str, _data: bytes, _attempt: int) -> PostResult:
        return ERROR if connection_id == "a2=" else ACCEPTED


async def test_leftovers_are_queued_and_the_stream_continues() -> None:
    """Lambda gets no failure."""
    world = World()
    result = await world.fanout.deliver(
        [record("a", 1, 11), record("a", 2, 12), record("b", 1, 10)], REMAINING_S
    )
    assert result.again == ()
    (body,) = world.sqs.bodies(LEFTOVERS)
    leftover = from_body(body)
    assert (leftover.group_id, leftover.message_ids) == ("a", ("a-1", "a-2"))
    assert (leftover.connection_ids, leftover.tries) == (("a2=",), 0)
    assert (result.report.total("delivered"), result.report.total("handed_off")) == (13, 2)


async def test_a_refusing_queue_makes_the_stream_retry() -> None:
    """From the first record of the group with leftovers, not of the batch."""
    world = World()
    world.sqs.fails = lambda _: False
    result = await world.fanout.deliver(
        [record("b", 1, 10), record("a", 2, 12), record("a", 1, 11)], REMAINING_S
    )
    assert result.again == ("11",)


async def test_members_that_could_not_be_read_are_handed_over_as_a_slot_range() -> None:
    """The members are unknown, so the queue gets all slots; the stream continues."""
    world = World()
    world.members.broken_after = 0
    result = await world.fanout.deliver([record("a", 1, 11), record("b", 1, 12)], REMAINING_S)
    assert result.again == ()
    leftovers = [from_body(body) for body in world.sqs.bodies(LEFTOVERS)]
    assert {(one.group_id, one.message_ids, one.slots) for one in leftovers} == {
        ("a", ("a-1",), ALL_SLOTS),
        ("b", ("b-1",), ALL_SLOTS),
    }
    assert {delay_s for _, _, delay_s in world.sqs.sent} == {UNREADABLE_DELAY_S}


async def test_without_time_everything_is_handed_over() -> None:
    """An invocation without time to post does not restart anything."""
    world = World()
    result = await world.fanout.deliver([record("b", 1, 9)], 5.0)
    assert result.again == ()
    (body,) = world.sqs.bodies(LEFTOVERS)
    assert from_body(body).slots == ALL_SLOTS
    assert world.poster.received == {}


async def test_without_time_and_without_a_queue_everything_comes_again() -> None:
    """Nothing is lost."""
    world = World()
    world.sqs.fails = lambda _: True
    result = await world.fanout.deliver([record("b", 1, 9)], 5.0)
    assert result.again == ("9",)


async def test_a_malformed_record_goes_to_the_failures() -> None:
    """With its reason; the others are delivered and nothing is retried."""
    world = World()
    result = await world.fanout.deliver([malformed(9), record("b", 1, 10)], REMAINING_S)
    assert result.again == ()
    assert [bad.item_identifier for bad in result.rejected] == ["9"]
    (body,) = world.sqs.bodies(FAILURES)
    assert json.loads(body) == malformed(9)
    assert world.sqs.failure == (result.rejected[0].reason, "9")
    assert result.report.total("delivered") == 5


async def test_a_malformed_record_that_no_queue_takes_is_retried() -> None:
    """After Lambda's retries its failure destination gets it."""
    world = World()
    world.sqs.broken = 1
    result = await world.fanout.deliver([malformed(9), record("b", 1, 8)], REMAINING_S)
    assert result.again == ("9",)


class Offering:
    """The stream's batches as offers."""

    def __init__(self) -> None:
        self.sqs = FakeSqs()
        self.stream = StreamOffers(Queue(self.sqs, DELIVERY), Queue(self.sqs, FAILURES))

    @property
    def offered(self) -> list[tuple[str, tuple[int, ...]]]:
        """(group, seqs) of each offer, in order of sending."""
        found = [offers.from_body(body) for body in self.sqs.bodies(DELIVERY)]
        return [(one.group_id, tuple(message.seq for message in one.messages)) for one in found]


async def test_messages_of_a_group_travel_in_one_offer() -> None:
    """In order of seq, followed by single offers of messages that senders had offered."""
    world = Offering()
    result = await world.stream.deliver(
        [
            record("a", 3, 13),
            record("a", 2, 12, express=1),
            record("b", 1, 11, express=1),
            record("a", 1, 10),
            record("a", 4, 14),
        ],
        REMAINING_S,
    )
    assert world.offered == [("a", (1, 3, 4)), ("a", (2,)), ("b", (1,))]
    assert (result.groups, result.messages, result.express, result.offers) == (2, 5, 2, 3)
    assert (result.again, result.untaken) == ((), 0)


async def test_a_second_offer_has_the_senders_deduplication_id() -> None:
    """So that SQS drops it. The sender's view of the group counts, even if it has changed."""
    world = Offering()
    told = record("a", 2, 12, express=1, lanes=2, members=30_000)
    await world.stream.deliver([told], REMAINING_S)
    again = [entry["MessageDeduplicationId"] for entry in world.sqs.entries]
    sender = Offering()
    express = Express(Queue(sender.sqs, DELIVERY), loop_time=lambda: 0.0, on_failure=print)
    (stored,) = (one.stored for one in read_stream([told])[0]["a"])
    await express.offer(stored)
    assert again == [entry["MessageDeduplicationId"] for entry in sender.sqs.entries]
    assert len(set(again)) == 2
    assert world.sqs.bodies(DELIVERY) == sender.sqs.bodies(DELIVERY)


async def test_a_group_of_several_lanes_is_offered_to_each() -> None:
    """The same messages with each lane's slots, each lane in order."""
    world = Offering()
    await world.stream.deliver([record("a", 1, 10, lanes=3), record("a", 2, 11, lanes=3)], REMAINING_S)
    found = [offers.from_body(body) for body in world.sqs.bodies(DELIVERY)]
    assert [one.slots for one in found] == [
        SlotRange(0, 21_844),
        SlotRange(21_845, 43_689),
        SlotRange(43_690, 65_535),
    ]
    assert len({entry["MessageGroupId"] for entry in world.sqs.entries}) == 3


async def test_messages_travel_together_only_to_the_same_lanes() -> None:
    """A retry from any record, as Lambda may choose, offers each to the same slots as before."""
    world = Offering()
    records = [record("a", 1, 10), record("a", 2, 11, lanes=2), record("a", 3, 12, lanes=2)]
    await world.stream.deliver(records, REMAINING_S)
    assert world.offered == [("a", (1,)), ("a", (2, 3)), ("a", (2, 3))]
    before = [entry["MessageDeduplicationId"] for entry in world.sqs.entries]
    await world.stream.deliver(records[:1], REMAINING_S)
    await world.stream.deliver(records[1:], REMAINING_S)
    assert [entry["MessageDeduplicationId"] for entry in world.sqs.entries] == before * 2


async def test_refused_offers_make_the_stream_retry() -> None:
    """From the first of their records, or of those that no failures queue took."""
    world = Offering()
    world.sqs.fails = lambda body: None if '"a"' in body else False
    result = await world.stream.deliver(
        [record("a", 1, 10), record("b", 1, 12), record("c", 1, 11)], REMAINING_S
    )
    assert (result.again, result.untaken) == (("11",), 2)
    world.sqs.fails = lambda body: None if "groupId" in body else True
    result = await world.stream.deliver([malformed(9), record("a", 2, 13)], REMAINING_S)
    assert (result.again, len(result.rejected)) == (("9",), 1)


@pytest.mark.parametrize(("source", "served"), [("aws:dynamodb", "stream"), ("aws:sqs", "lanes")])
async def test_the_source_of_a_batch_decides_who_serves_it(source: str, served: str) -> None:
    """The stream offers its messages, the queue's offers are posted."""

    class Serving:
        def __init__(self, name: str) -> None:
            self.name = name

        async def deliver(self, records: object, remaining_s: float) -> tuple[str, object, float]:
            return self.name, records, remaining_s

    records: list[dict[str, str]] = [{"eventSource": source}]
    fanout = Fanout(Serving("stream"), Serving("lanes"))  # type: ignore[arg-type]
    result: object = await fanout.deliver(records, 7.0)
    assert result == (served, records, 7.0)
