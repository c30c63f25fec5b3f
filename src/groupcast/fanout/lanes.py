"""A batch of DeliveryQueue: one pass over each lane's members."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from groupcast.fanout import leftover
from groupcast.fanout.batch import GroupBatch, pack
from groupcast.fanout.budget import SMALL_MEMBERS
from groupcast.fanout.catchup import (
    BACKLOG_OFFERS,
    LOG_MESSAGES_MAX,
    Served,
    behind,
    is_behind,
    log_start,
    served_by,
    unserved,
)
from groupcast.fanout.deadlines import deadlines
from groupcast.fanout.handover import HandOver, save_failures
from groupcast.fanout.offers import from_body
from groupcast.fanout.queue import failed, malformed
from groupcast.fanout.report import Rejected, Result
from groupcast.model import Audience
from groupcast.slots import SLOTS, lanes_for
from groupcast.tables.groups import BUSY_MS, Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from groupcast.fanout.engine import Engine
    from groupcast.fanout.offers import Offer
    from groupcast.fanout.queue import Outgoing, Queue, Received
    from groupcast.fanout.report import GroupReport
    from groupcast.model import Message
    from groupcast.slots import SlotRange
    from groupcast.tables.groups import ServedGroups
    from groupcast.tables.messages import StoredMessages

# An offer that comes more often kills its workers, or meets a fault that lasts: it must not hold its lane.
RECEIVES_MAX = 4
# Offers that no queue could finish come again after so long, instead of the visibility timeout.
RELEASE_S = 2
# A group's size is written anew where it has changed by more than this.
MEMBERS_CHANGE_RATIO = 0.1


@dataclass(frozen=True, slots=True)
class LaneQueues:
    """The queues that a lane's pass works with."""

    received: Received
    retries: Queue
    failures: Queue


class LaneDelivery:
    """Delivers the offers of lanes. Offers of one lane in a batch are one pass; lanes run side by side."""

    def __init__(
        self,
        engine: Engine,
        queues: LaneQueues,
        groups: ServedGroups,
        messages: StoredMessages,
        *,
        frame_bytes: int,
        members_per_lane: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._queues = queues
        self._groups = groups
        self._messages = messages
        self._frame_bytes = frame_bytes
        self._members_per_lane = members_per_lane
        self._now_ms = now_ms

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Result:
        """Deliver a batch. `again` of the result are ids of queue messages, whose lanes wait for them.

        Those are offers whose leftovers no queue took. All others are delivered or handed on.
        """
        bounds = deadlines(asyncio.get_running_loop().time(), remaining_s)
        offer_age_ms = self._now_ms() - min(sent_at_ms(record) for record in records)
        offers, failures = read_offers(records)
        lanes = {lane.identifiers: lane for lane in lanes_of(offers)}
        await asyncio.gather(*(self._catch_up(lane) for lane in lanes.values()))
        handles = {record["messageId"]: record["receiptHandle"] for record in records}
        hand_over = HandOver(self._queues.retries, bounds.give_up_at)

        async def on_done(report: GroupReport, goes_on: bool) -> None:
            finished = await hand_over.take(report)
            if finished:
                # Before its offers are deleted: messages taken from the log must not be taken twice.
                await self._note(report, lanes[report.item_identifiers], offer_age_ms)
            if finished and goes_on:
                # The lane goes on now; else Lambda deletes them in a moment.
                await self._queues.received.delete([handles[one] for one in report.item_identifiers])

        batches = [lane.batch(self._frame_bytes) for lane in lanes.values() if lane.messages]
        report, unsaved = await asyncio.gather(
            self._engine.deliver(batches, bounds.stop_at, on_done),
            save_failures(
                self._queues.failures,
                [(bad.item_identifier, message) for bad, message in failures],
                bounds.give_up_at,
            ),
        )
        again = [*hand_over.again, *unsaved]
        if again:
            await self._queues.received.release([handles[one] for one in again], RELEASE_S)
        return Result(
            report,
            tuple(bad for bad, _ in failures),
            tuple(again),
            offers=len(records),
            offer_age_ms=offer_age_ms,
        )

    async def _catch_up(self, lane: Lane) -> None:
        """Leave out messages that an earlier pass took from the log; over a backlog, read on there."""
        # A small group's pass is over before ten more offers come.
        if lane.members <= SMALL_MEMBERS:
            return
        served = await self._groups.served(lane.group_id, lane.name)
        lane.served = None if served is None else Served(*served)
        start = log_start(lane.messages, lane.served)
        lane.messages = unserved(lane.messages, lane.served)
        if lane.messages and lane.is_deep and start is not None:
            log = await self._messages.after(lane.group_id, start, LOG_MESSAGES_MAX)
            lane.taken = behind(start, log, lane.count)

    async def _note(self, report: GroupReport, lane: Lane, offer_age_ms: int) -> None:
        """Write the group's size and lanes where they have changed. The first lane speaks for all."""
        served = served_by(lane.messages, lane.taken, lane.served) if lane.taken else None
        note = Note(lane=lane.name, served=(served.first, served.last) if served else None)
        if lane.slots.first == 0:
            audience = audience_seen(report, lane.members, self._members_per_lane)
            is_busy = is_behind(report.members, len(lane.identifiers), len(lane.taken), offer_age_ms)
            busy_until_ms = self._now_ms() + BUSY_MS if is_busy else None
            note = replace(note, audience=audience, busy_until_ms=busy_until_ms)
        await self._groups.note(report.group_id, note)


@dataclass(slots=True)
class Lane:
    """The offers of one lane in a batch. `messages` were offered, `taken` follow them in the log, by seq."""

    group_id: str
    slots: SlotRange
    members: int
    identifiers: tuple[str, ...]
    messages: dict[int, Message]
    taken: dict[int, Message] = field(default_factory=dict)
    served: Served | None = None

    @property
    def name(self) -> str:
        return f"{self.slots.first}to{self.slots.last}"

    @property
    def count(self) -> int:
        """How many lanes the group has with this one."""
        return round(SLOTS / self.slots.width)

    @property
    def is_deep(self) -> bool:
        return len(self.identifiers) >= BACKLOG_OFFERS

    def batch(self, frame_bytes: int) -> GroupBatch:
        """Its messages, once each and in order of `seq`."""
        by_seq = self.messages | self.taken
        messages = [by_seq[seq] for seq in sorted(by_seq)]
        return GroupBatch(
            self.group_id,
            tuple(pack(self.group_id, messages, frame_bytes)),
            len(messages),
            self.identifiers,
            slots=self.slots,
            members=self.members,
        )


def read_offers(
    records: Iterable[Mapping[str, Any]],
) -> tuple[list[tuple[str, Offer]], list[tuple[Rejected, Outgoing]]]:
    """The offers of a batch by message id, and those for the failures queue. Pure."""
    offers: list[tuple[str, Offer]] = []
    failures: list[tuple[Rejected, Outgoing]] = []
    for record in records:
        identifier, body = record["messageId"], record["body"]
        try:
            offer = from_body(body)
        except ValueError as error:
            bad = Rejected(identifier, f"{type(error).__name__}: {error}")
            failures.append((bad, malformed(body, bad.reason, identifier)))
            continue
        if int(record["attributes"]["ApproximateReceiveCount"]) > RECEIVES_MAX:
            bad = Rejected(identifier, f"not delivered in {RECEIVES_MAX} receives")
            failures.append((bad, failed(_range_of(offer), bad.reason, identifier)))
        else:
            offers.append((identifier, offer))
    return offers, failures


def _range_of(offer: Offer) -> Outgoing:
    """An offer as a leftover for its slots: redriven into its lane, it would come after later messages."""
    keys = [message.key for message in offer.messages]
    # All of an offer's messages fit one.
    (owed,) = leftover.split_range(offer.group_id, keys, offer.slots)
    return leftover.outgoing(owed)


def lanes_of(offers: Iterable[tuple[str, Offer]]) -> list[Lane]:
    """The lanes of a batch's offers, given with their message ids. Pure."""
    lanes: dict[tuple[str, SlotRange], list[tuple[str, Offer]]] = {}
    for identifier, offer in offers:
        lanes.setdefault((offer.group_id, offer.slots), []).append((identifier, offer))
    return [
        Lane(
            group_id,
            slots,
            # The latest offer knows best.
            lane[-1][1].members,
            tuple(identifier for identifier, _ in lane),
            {message.seq: message for _, offer in lane for message in offer.messages},
        )
        for (group_id, slots), lane in lanes.items()
    ]


def audience_seen(report: GroupReport, expected_members: int, members_per_lane: int) -> Audience | None:
    """How large the group is, by the lane's part of it; None if unchanged or unknown. Pure.

    Slots are uniform: a lane with a half of them has a half of the members. So a pass that did not come to
    its end also tells, and a group that is too large for its lanes gets more.
    """
    assert report.slots is not None
    unread = sum(left.slots.width for left in report.unread[:1] if left.slots is not None)
    read = report.slots.width - unread
    if report.error or read <= 0:
        return None
    members = round(report.members * SLOTS / read)
    lanes = round(SLOTS / report.slots.width)
    wanted = lanes_for(members, lanes, members_per_lane)
    if wanted == lanes and abs(members - expected_members) <= expected_members * MEMBERS_CHANGE_RATIO:
        return None
    return Audience(members, wanted)


def sent_at_ms(record: Mapping[str, Any]) -> int:
    """When SQS took a message, in ms since 1970."""
    return int(record["attributes"]["SentTimestamp"])
