"""What fanoutMessage does with a batch of DeliveryQueue: one pass over each lane's members."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groupcast.fanout.batch import GroupBatch, pack
from groupcast.fanout.handover import HandOver, save_failures
from groupcast.fanout.offers import from_body
from groupcast.fanout.queue import failure_message
from groupcast.fanout.result import Rejected, Result, times
from groupcast.model import Audience
from groupcast.slots import SLOTS, lanes_for
from groupcast.tables.groups import BUSY_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from groupcast.fanout.engine import Engine
    from groupcast.fanout.offers import Offer
    from groupcast.fanout.queue import Outgoing, Queue, Received
    from groupcast.fanout.report import GroupReport
    from groupcast.tables.groups import ServedGroups

# An offer that comes more often kills its workers, or meets a fault that lasts: it must not hold its lane.
RECEIVES_MAX = 4
# Offers that no queue could finish come again after so long, instead of the visibility timeout.
RELEASE_S = 2
# So many offers of one lane in a batch: messages come faster than passes end. A batch holds ten at most, so
# that senders should leave them to the stream, which packs up to 100 into one.
BACKLOG_OFFERS = 8
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
        *,
        frame_bytes: int,
        members_per_lane: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._queues = queues
        self._groups = groups
        self._frame_bytes = frame_bytes
        self._members_per_lane = members_per_lane
        self._now_ms = now_ms

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Result:
        """Deliver a batch. `again` of the result are ids of queue messages, whose lanes wait for them.

        Those are offers of which a part could be put into no queue. All else is delivered or handed on.
        """
        bounds = times(asyncio.get_running_loop().time(), remaining_s)
        offer_age_ms = self._now_ms() - min(sent_at_ms(record) for record in records)
        offers, failed = read_offers(records)
        batches = lane_batches(offers, self._frame_bytes)
        expected = {batch.item_identifiers: batch.members for batch in batches}
        handles = {record["messageId"]: record["receiptHandle"] for record in records}
        hand_over = HandOver(self._queues.retries, bounds.give_up_at)

        async def on_done(report: GroupReport, goes_on: bool) -> None:
            finished, _ = await asyncio.gather(
                hand_over.take(report), self._note(report, expected[report.item_identifiers])
            )
            if finished and goes_on:
                # The lane goes on now; else Lambda deletes them in a moment.
                await self._queues.received.delete([handles[one] for one in report.item_identifiers])

        report, unsaved = await asyncio.gather(
            self._engine.deliver(batches, bounds.stop_at, on_done),
            save_failures(
                self._queues.failures, [(bad.item_identifier, one) for bad, one in failed], bounds.give_up_at
            ),
        )
        again = [*hand_over.again, *unsaved]
        if again:
            await self._queues.received.release([handles[one] for one in again], RELEASE_S)
        return Result(
            report,
            tuple(bad for bad, _ in failed),
            tuple(again),
            offers=len(records),
            offer_age_ms=offer_age_ms,
        )

    async def _note(self, report: GroupReport, expected_members: int) -> None:
        """Write what the pass has shown of the group, where it is news. The first lane speaks for all."""
        if report.slots is None or report.slots.first > 0:
            return
        audience = audience_seen(report, expected_members, self._members_per_lane)
        busy = len(report.item_identifiers) >= BACKLOG_OFFERS
        await self._groups.note(report.group_id, audience, self._now_ms() + BUSY_MS if busy else None)


def read_offers(
    records: Iterable[Mapping[str, Any]],
) -> tuple[list[tuple[str, Offer]], list[tuple[Rejected, Outgoing]]]:
    """The offers of a batch by message id, and those for the failures queue. Pure."""
    offers: list[tuple[str, Offer]] = []
    failed: list[tuple[Rejected, Outgoing]] = []
    for record in records:
        identifier, body = record["messageId"], record["body"]
        try:
            if int(record["attributes"]["ApproximateReceiveCount"]) > RECEIVES_MAX:
                raise ValueError(f"not delivered in {RECEIVES_MAX} receives")  # noqa: TRY301 - one way out
            offers.append((identifier, from_body(body)))
        except ValueError as error:
            bad = Rejected(identifier, f"{type(error).__name__}: {error}")
            failed.append((bad, failure_message(bad.reason, identifier, {"body": body})))
    return offers, failed


def lane_batches(offers: Iterable[tuple[str, Offer]], frame_bytes: int) -> list[GroupBatch]:
    """The offers of each lane as one batch, its messages once each and in order of `seq`. Pure."""
    lanes: dict[tuple[str, int, int], list[tuple[str, Offer]]] = {}
    for identifier, offer in offers:
        key = (offer.group_id, offer.slots.first, offer.slots.last)
        lanes.setdefault(key, []).append((identifier, offer))
    return [_lane_batch(lane, frame_bytes) for lane in lanes.values()]


def audience_seen(report: GroupReport, expected_members: int, members_per_lane: int) -> Audience | None:
    """How large the group is, by the lane's part of it; None where that is no news, or not known. Pure.

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


def _lane_batch(lane: Sequence[tuple[str, Offer]], frame_bytes: int) -> GroupBatch:
    latest = lane[-1][1]
    by_seq = {message.seq: message for _, offer in lane for message in offer.messages}
    messages = [by_seq[seq] for seq in sorted(by_seq)]
    return GroupBatch(
        latest.group_id,
        tuple(pack(latest.group_id, messages, frame_bytes)),
        len(messages),
        tuple(identifier for identifier, _ in lane),
        slots=latest.slots,
        members=latest.members,
    )
