"""A batch of the stream of Messages: its messages are offered to lanes, or posted directly."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from groupcast.fanout import offers
from groupcast.fanout.batch import GroupBatch, pack, readable
from groupcast.fanout.deadlines import deadlines
from groupcast.fanout.handover import HandOver, save_failures
from groupcast.fanout.queue import malformed as malformed_message
from groupcast.fanout.report import Offered, Rejected, Result
from groupcast.tables.items import StoredMessage, stored_message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from groupcast.fanout.engine import Engine
    from groupcast.fanout.queue import Outgoing, Queue
    from groupcast.fanout.report import GroupReport
    from groupcast.model import Message


class StreamOffers:
    """Offers every message of the stream to the lanes of its group.

    A message that its sender has offered already is offered again, under the same deduplication id: SQS
    drops it, unless the sender died first. The others travel together, since a batch of a FIFO queue holds
    no more than ten offers.
    """

    def __init__(self, delivery: Queue, failures: Queue) -> None:
        self._delivery = delivery
        self._failures = failures

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Offered:
        """Offer a batch. `again` of the result is a sequence number from which AWS retries, or empty."""
        groups, malformed = read_stream(records)
        give_up_at = deadlines(asyncio.get_running_loop().time(), remaining_s).give_up_at
        offered = [one for group in groups.values() for one in _packed(group)]
        # After them, since their senders have offered these already.
        offered += [one for group in groups.values() for one in _express(group)]
        taken, unsaved = await asyncio.gather(
            self._delivery.send([message for _, message in offered], give_up_at),
            save_failures(self._failures, _failure_messages(malformed), give_up_at),
        )
        untaken = [number for (number, _), ok in zip(offered, taken, strict=True) if not ok]
        first = lowest([*untaken, *unsaved])
        found = [record for group in groups.values() for record in group]
        return Offered(
            groups=len(groups),
            messages=len(found),
            express=sum(record.stored.express for record in found),
            offers=len(offered),
            untaken=len(untaken),
            rejected=_rejected(malformed),
            again=() if first is None else (first,),
        )


class StreamDelivery:
    """Posts a batch of the stream to the members, without lanes (`delivery: stream`)."""

    def __init__(self, engine: Engine, retries: Queue, failures: Queue, *, frame_bytes: int) -> None:
        self._engine = engine
        self._retries = retries
        self._failures = failures
        self._frame_bytes = frame_bytes

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Result:
        """Deliver a batch. `again` of the result is a sequence number from which AWS retries, or empty.

        Members that had a message already get it twice then, and drop it by its `seq`.
        """
        groups, malformed = read_stream(records)
        batches = [stream_batch(group_id, group, self._frame_bytes) for group_id, group in groups.items()]
        bounds = deadlines(asyncio.get_running_loop().time(), remaining_s)
        hand_over = HandOver(self._retries, bounds.give_up_at)

        async def on_done(report: GroupReport, _goes_on: bool) -> None:
            await hand_over.take(report)

        report, unsaved = await asyncio.gather(
            self._engine.deliver(batches, bounds.stop_at, on_done),
            save_failures(self._failures, _failure_messages(malformed), bounds.give_up_at),
        )
        first = lowest([*hand_over.again, *unsaved])
        return Result(report, _rejected(malformed), () if first is None else (first,))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A malformed record and the reason."""

    record: Mapping[str, Any]
    reason: str

    @property
    def sequence_number(self) -> str:
        return sequence_number(self.record)


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A message as the stream has it, with the record's sequence number."""

    stored: StoredMessage
    sequence_number: str

    @property
    def message(self) -> Message:
        return self.stored.message


def read_stream(
    records: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, list[StreamRecord]], list[Malformed]]:
    """A batch of a DynamoDB stream: each group's messages by `seq`, and the malformed records.

    Only inserts count; a record that came twice is taken once.
    """
    groups: dict[str, dict[int, StreamRecord]] = {}
    malformed = []
    for record in records:
        if record.get("eventName") != "INSERT":
            continue
        try:
            stored = stored_message_of(record["dynamodb"]["NewImage"])
            message = readable(stored.message)
        except (ValueError, KeyError, TypeError) as error:
            malformed.append(Malformed(record, f"{type(error).__name__}: {error}"))
            continue
        groups.setdefault(message.group_id, {})[message.seq] = StreamRecord(stored, sequence_number(record))
    in_order = {group_id: [by_seq[seq] for seq in sorted(by_seq)] for group_id, by_seq in groups.items()}
    return in_order, malformed


def stream_batch(group_id: str, records: Sequence[StreamRecord], frame_bytes: int) -> GroupBatch:
    """A group's records of the stream, at least one, as a batch for the engine."""
    first = lowest(record.sequence_number for record in records)
    assert first is not None
    messages = [record.message for record in records]
    frames = tuple(pack(group_id, messages, frame_bytes))
    return GroupBatch(group_id, frames, len(messages), (first,), members=records[-1].stored.audience.members)


def sequence_number(record: Mapping[str, Any]) -> str:
    """The stream's number of a record; DynamoDB gives every record one."""
    return str(record["dynamodb"]["SequenceNumber"])


def lowest(sequence_numbers: Iterable[str]) -> str | None:
    """The earliest in the stream: they are decimal numbers of any length."""
    return min(sequence_numbers, key=int, default=None)


def _packed(group: Sequence[StreamRecord]) -> list[tuple[str, Outgoing]]:
    """Offers of the messages that their senders left to the stream, each with its first sequence number.

    Each message is offered to the lanes that it was stored with, also where this comes again with fewer or
    with more records: else a member whose slot is in two ranges would get it twice.
    """
    records = [record for record in group if not record.stored.express]
    runs = groupby(records, key=lambda record: record.stored.audience.lanes)
    return [one for _, run in runs for one in _offers(list(run))]


def _express(group: Sequence[StreamRecord]) -> list[tuple[str, Outgoing]]:
    """Offers as their senders made them."""
    return [one for record in group if record.stored.express for one in _offers([record])]


def _offers(records: Sequence[StreamRecord]) -> list[tuple[str, Outgoing]]:
    first = lowest(record.sequence_number for record in records)
    assert first is not None
    # The last message knows best how large the group is by now.
    audience = records[-1].stored.audience
    made = offers.outgoing([record.message for record in records], audience)
    return [(first, message) for message in made]


def _failure_messages(malformed: Sequence[Malformed]) -> list[tuple[str, Outgoing]]:
    return [
        (bad.sequence_number, malformed_message(json.dumps(bad.record), bad.reason, bad.sequence_number))
        for bad in malformed
    ]


def _rejected(malformed: Sequence[Malformed]) -> tuple[Rejected, ...]:
    return tuple(Rejected(bad.sequence_number, bad.reason) for bad in malformed)
