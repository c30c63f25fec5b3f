"""A batch of DeliveryQueue, with queues and a poster that fail on command."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from groupcast.aws.management import PostResult
from groupcast.fanout.catchup import BACKLOG_OFFERS, BUSY_TAKEN, SMALL_BEHIND_MS
from groupcast.fanout.lanes import (
    RECEIVES_MAX,
    RELEASE_S,
    LaneDelivery,
    LaneQueues,
    audience_seen,
)
from groupcast.fanout.leftover import Leftover, from_body
from groupcast.fanout.offers import outgoing
from groupcast.fanout.queue import Queue, Received
from groupcast.fanout.report import GroupReport, Result
from groupcast.model import Audience
from groupcast.slots import ALL_SLOTS, SlotRange
from groupcast.tables.groups import BUSY_MS, ServedGroups
from groupcast.tables.items import encode
from groupcast.tables.messages import StoredMessages
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
NOW_MS = 1_795_368_000_000
REMAINING_S = 30.0


class LaneSqs(FakeSqs):
    """Also records deleted and released messages."""

    def __init__(self) -> None:
        super().__init__()
        self.deleting = asyncio.Event()
        self.deleted: list[str] = []
        self.released: list[tuple[str, int]] = []

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        match operation:
            case "DeleteMessageBatch":
                assert payload["QueueUrl"] == DELIVERY
                self.deleted += [entry["ReceiptHandle"] for entry in payload["Entries"]]
                self.deleting.set()
            case "ChangeMessageVisibilityBatch":
                assert payload["QueueUrl"] == DELIVERY
                self.released += [
                    (entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in payload["Entries"]
                ]
            case _:
                return await super().call(operation, payload)
        return {}


class FakeGroups:
    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.reads: list[str] = []
        self.items: dict[str, dict[str, Any]] = {}

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        group_id = payload["Key"]["groupId"]["S"]
        if operation == "GetItem":
            self.reads.append(group_id)
            return {"Item": self.items[group_id]} if group_id in self.items else {}
        assert operation == "UpdateItem"
        values = {name[1:]: value for name, value in payload["ExpressionAttributeValues"].items()}
        self.items.setdefault(group_id, {}).update(values)
        self.updates.append({"group": group_id, **{name: int(value["N"]) for name, value in values.items()}})
        return {}


class FakeLog:
    """Query of the log; `stored` are the visible seqs of group a, `lanes` some messages' lanes."""

    def __init__(self) -> None:
        self.stored: set[int] = set()
        self.lanes: dict[int, int] = {}
        self.queries = 0

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        assert (operation, payload["IndexName"]) == ("Query", "GroupSeqIndex")
        self.queries += 1
        above = int(payload["ExpressionAttributeValues"][":seq"]["N"])
        seqs = sorted(seq for seq in self.stored if seq > above)[: payload["Limit"]]
        return {"Items": [item_of(message(seq)) | encode({"lanes": self.lanes.get(seq, 1)}) for seq in seqs]}


class World:
    """Groups `a` of 5 and `b` of 3; `late` holds one connection's post back until it is released."""

    def __init__(self, page_size: int = 100) -> None:
        self.members = FakeMembers({"a": ids(5, "a"), "b": ids(3, "b")}, page_size)
        self.poster = FakePoster(self.answer)
        self.answers: dict[str, PostResult | None] = {}
        self.sqs = LaneSqs()
        self.groups = FakeGroups()
        self.log = FakeLog()

    def answer(self, connection_id: str, _data: bytes, _attempt: int) -> PostResult | None:
        return self.answers.get(connection_id, ACCEPTED)

    async def deliver(self, records: list[dict[str, Any]], remaining_s: float = REMAINING_S) -> Result:
        lanes = LaneDelivery(
            engine(self.members, self.poster, replace(LATE, grace_s=0.0)),
            LaneQueues(Received(self.sqs, DELIVERY), Queue(self.sqs, LEFTOVERS), Queue(self.sqs, FAILURES)),
            ServedGroups(self.groups, "groups"),
            StoredMessages(self.log, "messages"),
            frame_bytes=32_768,
            members_per_lane=20_000,
            now_ms=lambda: NOW_MS,
        )
        return await lanes.deliver(records, remaining_s)

    def received(self, connection_id: str) -> list[list[int]]:
        """The seqs of each frame that a connection received."""
        frames = (orjson.loads(data) for data in self.poster.received.get(connection_id, ()))
        return [[value["seq"] for value in frame["messages"]] for frame in frames]


def record(name: str, body: str, receives: int = 1) -> dict[str, Any]:
    return {
        "messageId": name,
        "receiptHandle": f"handle-{name}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(receives),
            "SentTimestamp": str(NOW_MS - 40),
        },
    }


def offers(group_id: str, *seqs: int, lanes: int = 1, members: int = 0) -> list[dict[str, Any]]:
    """A single offer of each message, named a1, a2, …, with several lanes a1.0, a1.1, …"""
    found = []
    for seq in seqs:
        made = outgoing([message(seq, group_id)], Audience(members, lanes))
        for lane, one in enumerate(made):
            found.append(record(f"{group_id}{seq}" + (f".{lane}" if lanes > 1 else ""), one.body))
    return found


async def test_offers_of_a_lane_travel_in_one_frame() -> None:
    """In order of seq, once each, to the members of each group."""
    world = World()
    result = await world.deliver([*offers("a", 2, 1, 3, 2), *offers("b", 7)])
    assert all(world.received(one) == [[1, 2, 3]] for one in world.members.groups["a"])
    assert all(world.received(one) == [[7]] for one in world.members.groups["b"])
    assert (result.again, result.offers, result.offer_age_ms) == ((), 5, 40)
    assert [group.item_identifiers for group in result.report.groups] == [("a2", "a1", "a3", "a2"), ("b7",)]


async def test_a_lane_serves_only_its_slots() -> None:
    """The fake gives each connection the slot of its index: all are in the first lane."""
    world = World()
    first, second = offers("a", 1, lanes=2)
    await world.deliver([second])
    assert world.poster.received == {}
    await world.deliver([first])
    assert len(world.poster.received) == 5


async def test_a_finished_lane_is_freed_while_another_runs() -> None:
    """Its queue messages are deleted as soon as it is done; Lambda deletes those of the last one."""
    world = World()
    world.answers["a3="] = None
    delivering = asyncio.create_task(world.deliver([*offers("a", 1), *offers("b", 1, 2)]))
    await world.sqs.deleting.wait()
    assert world.sqs.deleted == ["handle-b1", "handle-b2"]
    world.poster.held["a3="]()
    result = await delivering
    assert (result.again, world.sqs.deleted) == ((), ["handle-b1", "handle-b2"])


async def test_leftovers_are_queued_and_the_lane_continues() -> None:
    """A connection that accepts nothing does not block its group."""
    world = World()
    world.answers["a2="] = ERROR
    result = await world.deliver(offers("a", 1, 2))
    assert result.again == ()
    (body,) = world.sqs.bodies(LEFTOVERS)
    assert from_body(body) == Leftover("a", ("a-1", "a-2"), ("a2=",))


async def test_when_time_runs_out_the_rest_is_handed_over() -> None:
    """Unread slots become a range, and nothing is reported as failed: a pass never restarts."""
    world = World(page_size=2)
    world.answers["a0="] = None
    delivering = asyncio.create_task(world.deliver(offers("a", 1), remaining_s=10.2))
    await asyncio.sleep(0.4)
    world.poster.held["a0="]()
    result = await delivering
    assert result.again == ()
    left = [from_body(body) for body in world.sqs.bodies(LEFTOVERS)]
    served = result.report.total("delivered")
    owed = [one for leftover in left for one in leftover.connection_ids]
    ranges = [leftover.slots for leftover in left if leftover.slots]
    unread = 5 - ranges[0].first if ranges else 0
    assert served + len(owed) + unread == 5


async def test_a_lane_whose_leftovers_no_queue_takes_comes_again_soon() -> None:
    """After a moment instead of the visibility timeout; other lanes are done."""
    world = World()
    world.answers["a2="] = ERROR
    world.sqs.fails = lambda _: True
    result = await world.deliver([*offers("a", 1, 2), *offers("b", 1), record("bad", "?")])
    assert sorted(result.again) == ["a1", "a2", "bad"]
    assert sorted(world.sqs.released) == [
        ("handle-a1", RELEASE_S),
        ("handle-a2", RELEASE_S),
        ("handle-bad", RELEASE_S),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record("bad", "?"), "JSONDecodeError"),
        (record("bad", '{"groupId":"a","slots":[0,65536],"messages":[{}]}'), "slots 0 to 65536"),
        (record("bad", "x" * 300_000), "300,000 bytes"),
        (
            record("bad", offers("a", 9)[0]["body"], receives=RECEIVES_MAX + 1),
            f"not delivered in {RECEIVES_MAX} receives",
        ),
    ],
)
async def test_a_bad_offer_goes_to_the_failures(bad: dict[str, Any], reason: str) -> None:
    """With its reason, and the lane continues."""
    world = World()
    result = await world.deliver([bad, *offers("a", 1)])
    assert result.again == ()
    assert world.received("a0=") == [[1]]
    (body,) = world.sqs.bodies(FAILURES)
    assert reason in world.sqs.failure[0]
    assert world.sqs.failure[1] == "bad"
    if "receives" in reason:
        # As a leftover of its slots, for fanoutRetry.
        assert from_body(body) == Leftover("a", (message(9, "a").key,), slots=ALL_SLOTS)
    else:
        assert bad["body"].startswith(body)
    assert [rejected.item_identifier for rejected in result.rejected] == ["bad"]


LARGE = 501


@pytest.mark.parametrize(("behind", "is_busy"), [(BUSY_TAKEN, False), (BUSY_TAKEN + 1, True)])
async def test_a_deep_backlog_sends_a_groups_messages_through_the_stream(behind: int, is_busy: bool) -> None:
    """A batch holds ten offers; the stream packs more."""
    world = World()
    world.members.groups["a"] = ids(LARGE, "a")
    world.log.stored = {*range(1, BACKLOG_OFFERS + behind + 1)}
    await world.deliver(offers("a", *range(1, BACKLOG_OFFERS + 1), members=LARGE))
    busy = [update["busyUntil"] for update in world.groups.updates if "busyUntil" in update]
    assert busy == [NOW_MS + BUSY_MS] * is_busy


@pytest.mark.parametrize(("age_ms", "is_busy"), [(SMALL_BEHIND_MS - 1, False), (SMALL_BEHIND_MS, True)])
async def test_a_small_group_is_busy_only_when_it_falls_behind(age_ms: int, is_busy: bool) -> None:
    """Ten offers are one slow hop of a lively chat, which stays on the express path and in order."""
    world = World()
    records = offers("a", *range(1, BACKLOG_OFFERS + 1), members=5)
    records[0]["attributes"]["SentTimestamp"] = str(NOW_MS - age_ms)
    await world.deliver(records)
    assert [update["busyUntil"] for update in world.groups.updates] == [NOW_MS + BUSY_MS] * is_busy


async def test_a_pass_over_a_backlog_takes_later_messages_from_the_log() -> None:
    """In the same frame; their own offers are then skipped."""
    world = World()
    world.log.stored = {*range(1, 41)}
    await world.deliver(offers("a", *range(1, 11), members=LARGE))
    assert world.received("a0=") == [list(range(1, 41))]
    result = await world.deliver(offers("a", *range(11, 21), members=LARGE))
    assert (result.again, result.report.groups) == ((), [])
    await world.deliver(offers("a", *range(35, 43), members=LARGE))
    assert world.received("a0=") == [list(range(1, 41)), [41, 42]]


async def test_a_gap_in_the_log_ends_a_read_ahead() -> None:
    """The missing message may be on its way; it and later ones come with their own offers."""
    world = World()
    world.log.stored = {11, 12, 14, 15}
    await world.deliver(offers("a", *range(1, 11), members=LARGE))
    await world.deliver(offers("a", *range(11, 16), members=LARGE))
    assert world.received("a0=") == [list(range(1, 13)), [13, 14, 15]]


async def test_a_message_of_other_lanes_ends_a_read_ahead() -> None:
    """Its offers have other slots, so nobody would know that some members have it."""
    world = World()
    world.log.stored = {*range(1, 21)}
    world.log.lanes = {13: 2}
    await world.deliver(offers("a", *range(1, 11), members=LARGE))
    assert world.received("a0=") == [list(range(1, 13))]


async def test_messages_that_overtook_an_offer_are_not_taken_again() -> None:
    """Neither after late messages nor when all others are served."""
    world = World()
    world.log.stored = {*range(1, 31)}
    await world.deliver(offers("a", *range(1, 10), 11, members=LARGE))
    world.log.stored = {*range(1, 41)}
    await world.deliver(offers("a", 10, *range(12, 21), members=LARGE))
    assert world.received("a0=") == [[*range(1, 10), *range(11, 31)], [10, *range(31, 41)]]
    # So late that it is unknown which messages of its batch were served.
    await world.deliver(offers("a", *range(2, 10), members=LARGE))
    assert world.received("a0=")[2:] == [[*range(2, 10)]]


async def test_a_worker_that_dies_before_its_note_loses_nothing() -> None:
    """It notes taken messages only after the pass; they then come twice, and clients drop them."""
    world = World()
    world.log.stored = {*range(1, 13)}
    world.sqs.fails = lambda _: True
    world.answers["a2="] = ERROR
    result = await world.deliver(offers("a", *range(1, 11), members=LARGE))
    assert len(result.again) == 10
    world.answers.clear()
    await world.deliver(offers("a", 11, 12, members=LARGE))
    assert world.received("a2=") == [[11, 12]]


async def test_a_small_group_and_a_shallow_batch_read_no_log() -> None:
    """Their passes end before a backlog forms; a small group does not even check."""
    world = World()
    world.log.stored = {*range(1, 30)}
    await world.deliver(offers("a", *range(1, 11), members=LARGE - 1))
    assert world.groups.reads == []
    await world.deliver(offers("a", *range(11, 18), members=LARGE))
    assert (world.groups.reads, world.log.queries) == (["a"], 0)


@pytest.mark.parametrize("overtaking", [0, 2])
@pytest.mark.parametrize("seed", range(8))
async def test_a_backlog_is_delivered_once_and_in_order(seed: int, overtaking: int) -> None:
    """For any batch depth and log lag.

    Offers that overtake others determine the order, and each message still comes once.
    """
    dice = random.Random(seed)
    world = World()
    queue = sorted(range(1, 400), key=lambda seq: seq + overtaking * dice.random())
    while queue:
        count = dice.randint(1, 10)
        world.log.stored = {*range(1, queue[0] + count + dice.randint(0, 60))} - {dice.randint(1, 400)}
        await world.deliver(offers("a", *queue[:count], members=LARGE))
        del queue[:count]
    seqs = [seq for frame in world.received("a0=") for seq in frame]
    assert (sorted(seqs) if overtaking else seqs) == list(range(1, len(seqs) + 1))
    assert len(seqs) >= 399


async def test_a_groups_size_is_noted_only_when_it_changes() -> None:
    world = World()
    await world.deliver([*offers("a", 1, members=5), *offers("b", 1, members=7)])
    assert world.groups.updates == [{"group": "b", "members": 3, "lanes": 1}]


def pass_of(members: int, slots: SlotRange = ALL_SLOTS, read_to: int | None = None) -> GroupReport:
    """The report of a pass that reached `read_to`, or the end."""
    report = GroupReport("a", 1, (), slots, members=members)
    if read_to is not None:
        report.unread = (Leftover("a", ("a-1",), slots=SlotRange(read_to, slots.last)),)
    return report


HALF = SlotRange(0, 32_767)


@pytest.mark.parametrize(
    ("report", "expected", "seen"),
    [
        (pass_of(100), 100, None),
        (pass_of(100), 92, None),
        (pass_of(100), 80, Audience(100, 1)),
        (pass_of(0), 0, None),
        (pass_of(20_001), 20_001, Audience(20_001, 2)),
        (pass_of(20_000, HALF), 40_000, None),
        (pass_of(25_000, HALF), 40_000, Audience(50_000, 3)),
        (pass_of(7_000, HALF), 40_000, Audience(14_000, 1)),
        # Half of its slots were read in time.
        (pass_of(15_000, read_to=32_768), 0, Audience(30_000, 2)),
        (pass_of(0, read_to=0), 500, None),
        (replace(pass_of(3), error="OSError: no"), 500, None),
    ],
)
def test_a_pass_estimates_a_groups_size(report: GroupReport, expected: int, seen: Audience | None) -> None:
    """From its part of the group; only changes are written."""
    assert audience_seen(report, expected, 20_000) == seen
