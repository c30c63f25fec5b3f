"""One invocation of fanoutMessage, with queues that fail as told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from groupcast.aws.management import PostResult
from groupcast.fanout.leftover import from_body
from groupcast.fanout.queue import Queue
from groupcast.fanout.service import Fanout
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
REMAINING_S = 60.0


def record(group_id: str, seq: int, number: int) -> dict[str, Any]:
    image = item_of(message(seq, group_id))
    return {"eventName": "INSERT", "dynamodb": {"NewImage": image, "SequenceNumber": str(number)}}


def malformed(number: int) -> dict[str, Any]:
    return {"eventName": "INSERT", "dynamodb": {"NewImage": {}, "SequenceNumber": str(number)}}


class World:
    """Group `a` has a straggler, `b` has none."""

    def __init__(self) -> None:
        self.members = FakeMembers({"a": ids(5, "a"), "b": ids(5, "b")})
        self.poster = FakePoster(self.answer)
        self.sqs = FakeSqs()
        self.fanout = Fanout(
            engine(self.members, self.poster, replace(LATE, grace_s=0.0)),
            Queue(self.sqs, LEFTOVERS),
            Queue(self.sqs, FAILURES),
            frame_bytes=0,
        )

    def answer(self, connection_id: str, _data: bytes, _attempt: int) -> PostResult:
        return ERROR if connection_id == "a2=" else ACCEPTED


async def test_what_is_left_over_goes_into_the_queue_and_the_stream_goes_on() -> None:
    """A batch whose leftovers are in the queue is done: Lambda is told of no failure."""
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


async def test_a_queue_that_does_not_take_them_makes_the_stream_come_again() -> None:
    """From the first record of the group that has leftovers, not from the batch's first."""
    world = World()
    world.sqs.fails = lambda _: False
    result = await world.fanout.deliver(
        [record("b", 1, 10), record("a", 2, 12), record("a", 1, 11)], REMAINING_S
    )
    assert result.again == ("11",)


async def test_members_that_could_not_be_read_make_the_stream_come_again() -> None:
    """Nobody knows whom to hand over: the batch comes again whole, and nothing of it goes into the queue."""
    world = World()
    world.members.broken_after = 0
    result = await world.fanout.deliver([record("a", 1, 11), record("b", 1, 12)], REMAINING_S)
    assert result.again == ("11",)
    assert world.sqs.sent == []


async def test_without_time_everything_comes_again() -> None:
    """An invocation that begins with no time left to post says so."""
    world = World()
    result = await world.fanout.deliver([record("b", 1, 9)], 1.0)
    assert result.again == ("9",)
    assert world.poster.received == {}


async def test_a_record_that_is_no_message_goes_to_the_failures() -> None:
    """With its reason; the others are delivered and nothing comes again."""
    world = World()
    result = await world.fanout.deliver([malformed(9), record("b", 1, 10)], REMAINING_S)
    assert result.again == ()
    assert [bad.item_identifier for bad in result.rejected] == ["9"]
    (body,) = world.sqs.bodies(FAILURES)
    assert json.loads(body) == {
        "reason": result.rejected[0].reason,
        "itemIdentifier": "9",
        "record": malformed(9),
    }
    assert result.report.total("delivered") == 5


async def test_a_record_that_no_queue_takes_comes_again() -> None:
    """Nothing is dropped: after Lambda's retries its own destination gets it."""
    world = World()
    world.sqs.broken = 1
    result = await world.fanout.deliver([malformed(9), record("b", 1, 8)], REMAINING_S)
    assert result.again == ("9",)
