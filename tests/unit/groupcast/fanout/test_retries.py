"""One invocation of fanoutRetry: leftovers delivered, queued again and given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from groupcast.aws.management import PostResult
from groupcast.fanout.deadlines import STOP_MARGIN_S
from groupcast.fanout.departing import GONE_DELAY_S
from groupcast.fanout.leftover import Leftover, from_body, to_body
from groupcast.fanout.limits import PATIENT
from groupcast.fanout.queue import Queue
from groupcast.fanout.retries import DELAY_MAX_S, TRIES_MAX, Retries
from groupcast.fanout.suspects import REFUSALS_MAX
from groupcast.model import void_message
from groupcast.tables.messages import GET_BATCH, StoredMessages
from tests.unit.groupcast.fanout.support import (
    ACCEPTED,
    ERROR,
    FULL,
    GONE,
    LATE,
    REFUSED,
    THROTTLED,
    FakeActivity,
    FakeMembers,
    FakeMessages,
    FakePoster,
    FakeSqs,
    engine,
    message,
)

LEFTOVERS, FAILURES = "https://sqs.example/leftovers", "https://sqs.example/failures"
REMAINING_S = 30.0
EVENT_FIELDS = {"eventSource": "aws:sqs"}


def event(*leftovers: Leftover) -> list[dict[str, Any]]:
    return [
        {**EVENT_FIELDS, "messageId": f"item-{n}", "body": to_body(one)} for n, one in enumerate(leftovers)
    ]


def one(*seqs: int, to: Iterable[str] = ("c1=", "c2="), tries: int = 0, group: str = "a") -> Leftover:
    return Leftover(group, tuple(f"{group}-{seq}" for seq in seqs), tuple(to), tries)


class World:
    """Connections that take everything, but for those in `answers`."""

    def __init__(self) -> None:
        self.messages = FakeMessages(*(message(seq) for seq in range(1, 200)), message(1, "b"))
        # None: not before the test releases it.
        self.answers: dict[str, PostResult | None] = {}
        self.poster = FakePoster(lambda connection, *_: self.answers.get(connection, ACCEPTED))
        self.members = FakeMembers({})
        self.activity = FakeActivity()
        self.sqs = FakeSqs()
        self.limits = replace(LATE, grace_s=0.0)

    async def deliver(self, records: list[dict[str, Any]], remaining_s: float = REMAINING_S) -> Any:
        retries = Retries(
            engine(self.members, self.poster, self.limits, activity=self.activity),
            StoredMessages(self.messages, "messages"),
            Queue(self.sqs, LEFTOVERS),
            Queue(self.sqs, FAILURES),
            frame_bytes=32_768,
        )
        return await retries.deliver(records, remaining_s)

    def received(self, connection_id: str) -> list[int]:
        frames = (orjson.loads(data) for data in self.poster.received.get(connection_id, ()))
        return [value["seq"] for frame in frames for value in frame["messages"]]


async def test_the_named_connections_get_the_named_messages_in_order() -> None:
    """For any order of ids; nobody else gets anything, and nothing is queued again."""
    world = World()
    result = await world.deliver(event(one(3, 1, 2), one(5, to=["c9="])))
    assert world.received("c1=") == world.received("c2=") == [1, 2, 3]
    assert world.received("c9=") == [5]
    assert set(world.poster.received) == {"c1=", "c2=", "c9="}
    assert (result.again, world.sqs.sent) == ((), [])


async def test_void_numbers_and_users_messages_are_found_by_their_keys() -> None:
    """Another user's message with the same id is a different one."""
    world = World()
    void = void_message("v1", "a", 1, message(1).created_at)
    users = [replace(message(seq), message_id="m", user_id=f"u{seq}") for seq in (2, 3)]
    world.messages = FakeMessages(void, *users)
    await world.deliver(event(Leftover("a", ("v1", "u2:m"), ("c1=",)), Leftover("a", ("u3:m",), ("c2=",))))
    assert (world.received("c1="), world.received("c2=")) == ([1, 2], [3])
    (frame,) = world.poster.received["c1="]
    assert orjson.loads(frame)["messages"][0] == {"seq": 1, "void": True}


async def test_an_expired_message_is_skipped() -> None:
    """Nobody is owed a message that left the table."""
    world = World()
    result = await world.deliver(event(one(1, 7_000, 2), one(8_000)))
    assert world.received("c1=") == [1, 2]
    assert (result.again, world.sqs.sent) == ((), [])


async def test_a_message_of_another_group_is_not_delivered() -> None:
    """A wrong queue entry does not leak a message from its group."""
    world = World()
    world.messages = FakeMessages(message(1), message(2, "b"))
    await world.deliver(event(Leftover("a", ("a-1", "b-2"), ("c1=",))))
    assert world.received("c1=") == [1]


async def test_gone_connections_are_removed() -> None:
    """As in the first invocation."""
    world = World()
    world.answers = {"c2=": GONE}
    result = await world.deliver(event(one(1)))
    assert world.members.discarded == ["c2="]
    assert (result.again, world.sqs.sent) == ((), [])


async def test_a_client_that_accepts_nothing_is_closed() -> None:
    """Nine 429s in a row suffice, although there are no others to compare with."""
    world = World()
    world.limits = replace(PATIENT, retry_base_s=0.001, refusal_cap_s=0.001, grace_s=5.0)
    world.answers = {"c2=": THROTTLED}
    result = await world.deliver(event(one(1)))
    assert world.poster.deleted == ["c2="]
    assert world.poster.posts_to("c2=") == 9
    assert (result.again, world.sqs.sent) == ((), [])


@pytest.mark.parametrize("before", [0, 4])
async def test_a_full_buffer_is_counted_across_hand_offs(before: int) -> None:
    """The count travels with the leftover; another client's count starts anew."""
    world = World()
    world.answers = {"c1=": FULL, "c2=": FULL}
    leftover = replace(one(1), refusals=(before, 0) if before else ())
    for taken in range(1, REFUSALS_MAX - before):
        await world.deliver(event(leftover))
        (body,) = world.sqs.bodies(LEFTOVERS)
        world.sqs.sent.clear()
        leftover = replace(from_body(body), tries=0)
        counts = dict(zip(leftover.connection_ids, leftover.refusals, strict=True))
        assert counts == {"c1=": before + taken, "c2=": taken}
    await world.deliver(event(leftover))
    assert world.poster.posts_to("c1=") == REFUSALS_MAX - before
    assert "c1=" in world.poster.deleted


async def test_many_leftovers_of_one_client_cost_one_post() -> None:
    """The others wait for its answer and are queued again with it."""
    world = World()
    world.answers = {"c1=": FULL}
    await world.deliver(event(*(replace(one(seq, to=["c1="]), refusals=(2,)) for seq in range(1, 11))))
    assert world.poster.posts_to("c1=") == 1
    assert len(world.sqs.bodies(LEFTOVERS)) == 10


async def test_a_client_that_reads_again_gets_all_that_waits() -> None:
    """Once one post is accepted, the others follow in the same invocation."""
    world = World()
    world.limits = replace(PATIENT, retry_base_s=0.001, refusal_cap_s=0.005, grace_s=5.0)
    await world.deliver(event(*(replace(one(seq, to=["c1="]), refusals=(2,)) for seq in range(1, 11))))
    assert sorted(world.received("c1=")) == list(range(1, 11))
    assert world.sqs.sent == []


@pytest.mark.parametrize(("tries", "delay_s"), [(0, 1), (1, 2), (5, 32), (6, DELAY_MAX_S)])
async def test_remaining_leftovers_are_queued_smaller_and_later(tries: int, delay_s: int) -> None:
    """Only for connections still owed, one try older, with a delay that doubles up to a limit."""
    world = World()
    world.answers = {"c2=": ERROR}
    result = await world.deliver(event(one(1, 2, tries=tries), one(3, to=["c1="])))
    ((url, body, waits_s),) = world.sqs.sent
    assert (url, waits_s) == (LEFTOVERS, delay_s)
    assert from_body(body) == one(1, 2, to=["c2="], tries=tries + 1)
    assert result.again == ()


async def test_after_the_last_try_it_goes_to_the_failures() -> None:
    """With the reason and the rest, and nowhere else."""
    world = World()
    world.answers = {"c2=": ERROR}
    result = await world.deliver(event(one(1, tries=TRIES_MAX - 1)))
    ((url, body, _),) = world.sqs.sent
    assert url == FAILURES
    assert world.sqs.failure == (f"not delivered in {TRIES_MAX} tries", "item-0")
    # A redrive, by SQS or by the command, resets its tries.
    assert from_body(body) == one(1, to=["c2="])
    assert [bad.item_identifier for bad in result.rejected] == ["item-0"]
    assert result.again == ()


async def test_a_malformed_body_goes_to_the_failures_at_once() -> None:
    """The others of its batch are delivered."""
    world = World()
    records = [{**EVENT_FIELDS, "messageId": "bad", "body": '{"groupId":"a"}'}, *event(one(1))]
    result = await world.deliver(records)
    ((url, body, _),) = world.sqs.sent
    assert url == FAILURES
    assert body == '{"groupId":"a"}'
    assert "not a leftover" in world.sqs.failure[0]
    assert world.received("c1=") == [1]
    assert result.again == ()


async def test_leftovers_that_no_queue_takes_are_left_to_the_redrive_policy() -> None:
    """Each queue message's id is reported once; finished ones are not."""
    world = World()
    world.answers = {"c2=": ERROR}
    world.sqs.fails = lambda _: False
    bad = {**EVENT_FIELDS, "messageId": "bad", "body": "?"}
    last = one(2, to=["c2="], tries=TRIES_MAX - 1)
    result = await world.deliver([*event(one(1), last, one(3, to=["c1="])), bad])
    assert sorted(result.again) == ["bad", "item-0", "item-1"]


async def test_unprocessed_keys_are_asked_for_again() -> None:
    """DynamoDB may answer only part of a batch."""
    world = World()
    world.messages.unprocessed = 2
    await world.deliver(event(one(*range(1, 11))))
    assert world.received("c1=") == list(range(1, 11))
    assert world.messages.key_counts == [10, 9, 8]


async def test_messages_are_read_in_batches() -> None:
    """Each once, even if several leftovers name it."""
    world = World()
    await world.deliver(event(one(*range(1, 101)), one(*range(50, 151))))
    assert sorted(world.messages.key_counts) == [GET_BATCH] * 3
    assert world.received("c1=").count(75) == 2


@pytest.mark.parametrize("unprocessed", [False, True])
async def test_messages_that_cannot_be_read_make_the_leftover_go_back(unprocessed: bool) -> None:
    """A failed read differs from a missing message: only the latter is dropped."""
    world = World()
    if unprocessed:
        world.messages.unprocessed = 1_000
        await world.deliver(event(one(*range(1, 11)), one(1, to=["c7="])))
    else:
        world.messages.broken = True
        await world.deliver(event(one(*range(1, 11))))
    assert from_body(world.sqs.bodies(LEFTOVERS)[0]) == one(*range(1, 11), tries=1)
    assert world.poster.received.keys() <= {"c7="}


@pytest.mark.parametrize("posting_s", [0.0, 0.2])
async def test_without_time_everything_goes_back(posting_s: float) -> None:
    """Nothing is posted after the stop, even if it comes between reading and posting."""
    world = World()
    world.poster.prepare_s = posting_s
    await world.deliver(event(one(1), one(2)), remaining_s=STOP_MARGIN_S + posting_s / 2)
    assert [from_body(body) for body in world.sqs.bodies(LEFTOVERS)] == [one(1, tries=1), one(2, tries=1)]
    assert world.poster.received == {}


async def test_running_out_of_time_costs_no_try() -> None:
    """The rest is smaller and continues at once."""
    world = World()
    world.limits = replace(LATE, window_start=1, window_max=1)
    world.answers = {"c1=": None}
    last = one(1, tries=TRIES_MAX - 1)
    delivering = asyncio.create_task(world.deliver(event(last), remaining_s=STOP_MARGIN_S + 0.2))
    await asyncio.sleep(0.4)
    world.poster.held["c1="]()
    result = await delivering
    assert world.sqs.sent == [(LEFTOVERS, to_body(replace(last, connection_ids=("c2=",))), 0)]
    assert (result.again, result.rejected) == ((), ())


async def test_an_accepted_second_try_counts_as_a_false_410() -> None:
    """The connection stays; another 410 removes it, whenever it was active."""
    world = World()
    world.activity.active = {"c1=", "c2="}
    world.answers["c2="] = GONE
    result = await world.deliver(event(replace(one(1, 2), told_gone=True)))
    assert world.received("c1=") == [1, 2]
    assert (result.report.total("gone_false"), result.report.total("gone")) == (1, 2)
    assert world.members.discarded == ["c2="]
    assert (world.activity.asked, world.sqs.sent, result.again) == ([], [], ())


async def test_a_refused_second_try_stays_a_second_try() -> None:
    """A throttled account between the two tries changes nothing."""
    world = World()
    world.answers = {"c1=": ERROR, "c2=": GONE}
    result = await world.deliver(event(replace(one(1), told_gone=True)))
    (body,) = world.sqs.bodies(LEFTOVERS)
    assert from_body(body) == Leftover("a", ("a-1",), ("c1=",), 1, told_gone=True)
    assert (result.report.total("gone_false"), world.members.discarded) == (0, ["c2="])


async def test_a_first_410_in_a_retry_gives_a_second_try() -> None:
    """As from a lane: the connection may be open."""
    world = World()
    world.activity.active = {"c1="}
    world.answers = {"c1=": GONE, "c2=": GONE}
    # Even in the last try for another reason.
    await world.deliver(event(one(1, tries=TRIES_MAX - 1)))
    ((url, body, delay_s),) = world.sqs.sent
    assert (url, delay_s) == (LEFTOVERS, GONE_DELAY_S)
    assert from_body(body) == Leftover("a", ("a-1",), ("c1=",), TRIES_MAX - 1, told_gone=True)
    assert world.members.discarded == ["c2="]


async def test_a_refused_post_is_no_false_410() -> None:
    """It was not accepted."""
    world = World()
    world.answers = {"c1=": REFUSED, "c2=": REFUSED}
    result = await world.deliver(event(replace(one(1), told_gone=True)))
    assert (result.report.total("refused"), result.report.total("gone_false")) == (2, 0)


async def test_unread_members_keep_their_first_410() -> None:
    """Their next 410 removes them."""
    world = World()
    world.members.broken_after = 0
    await world.deliver(event(replace(one(1), told_gone=True)))
    (body,) = world.sqs.bodies(LEFTOVERS)
    assert from_body(body).told_gone


async def test_a_leftover_is_given_up_at_its_eighth_try() -> None:
    """The waits double from one second up to a minute: about two minutes in all."""
    delays: list[int] = []
    for tries in range(8):
        world = World()
        world.answers = {"c1=": ERROR}
        await world.deliver(event(one(1, to=["c1="], tries=tries)))
        delays += [delay_s for url, _, delay_s in world.sqs.sent if url == LEFTOVERS]
    assert delays == [1, 2, 4, 8, 16, 32, 60]
    assert [url for url, _, _ in world.sqs.sent] == [FAILURES]
