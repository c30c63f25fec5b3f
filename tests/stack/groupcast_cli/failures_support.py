"""Message bodies in FanoutFailures, each built by the code that sends it, and a stage's queues."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from groupcast.fanout import offers
from groupcast.fanout.lanes import RECEIVES_MAX, read_offers
from groupcast.fanout.leftover import Leftover, outgoing, to_body
from groupcast.fanout.queue import Outgoing, failed, malformed
from groupcast.fanout.retries import TRIES_MAX
from groupcast.fanout.stream import read_stream
from groupcast.model import Audience, Message
from groupcast.slots import SlotRange
from localcloud.eventsources.streams.batching import Batch
from localcloud.eventsources.streams.destination import Destination
from localcloud.eventsources.streams.discards import RETRIES_EXHAUSTED, Discard
from localcloud.eventsources.streams.records import to_stream_record
from tests.conftest import REGION
from tests.unit.localcloud.eventsources.streams.support import FAST, STREAM_ARN, a_mapping, from_api

REASON = f"not delivered in {TRIES_MAX} tries"
OFFER_REASON = f"not delivered in {RECEIVES_MAX} receives"
CREATED_AT = "2026-11-22T21:00:44.183Z"


def leftover(number: int = 0, *, tries: int = TRIES_MAX, connections: int = 2) -> Leftover:
    members = tuple(f"connection-{number}-{member}" for member in range(connections))
    return Leftover(f"gruppe-{number}-ä", (f"message-{number}",), members, tries)


def slot_leftover(number: int = 0) -> Leftover:
    return replace(leftover(number, connections=0), slots=SlotRange(0, 32_767))


def given_up(one: Leftover) -> Outgoing:
    return failed(outgoing(one), REASON, str(uuid.uuid4()))


def moved(one: Leftover) -> Outgoing:
    """A message that SQS moved itself."""
    return Outgoing(to_body(one))


def offer(number: int = 0, *, slots: tuple[int, int] = (0, 65_535), texts: tuple[str, ...] = ("hi",)) -> str:
    """The body of a DeliveryQueue message, with given slots."""
    messages = [
        Message(f"message-{number}-{seq}", f"gruppe-{number}-ä", seq, "ann", text, CREATED_AT, "user-1")
        for seq, text in enumerate(texts, start=1)
    ]
    (made,) = offers.outgoing(messages, Audience())
    return json.dumps({**json.loads(made.body), "slots": slots})


def failed_offer(body: str, *, receives: int = RECEIVES_MAX + 1) -> Outgoing:
    """A DeliveryQueue message that was received too often or is malformed."""
    attributes = {"ApproximateReceiveCount": str(receives)}
    record = {"messageId": str(uuid.uuid4()), "body": body, "attributes": attributes}
    _, ((_, message),) = read_offers([record])
    return message


def malformed_record(*, padding: int = 0) -> Outgoing:
    raw = from_api(1)
    raw["dynamodb"]["NewImage"]["padding"] = {"S": "x" * padding}
    event = to_stream_record(raw, stream_arn=STREAM_ARN, region=REGION).event
    _, (bad,) = read_stream([event])
    return malformed(json.dumps(bad.record), bad.reason, bad.sequence_number)


def stream_batch() -> Outgoing:
    """A failure destination's document about two records."""
    records = tuple(
        to_stream_record(from_api(number), stream_arn=STREAM_ARN, region=REGION) for number in (1, 2)
    )
    sent: list[str] = []

    async def send(_: str, body: str) -> None:
        sent.append(body)

    mapping = a_mapping(function="fanoutMessage", on_failure_queue="FanoutFailures")
    destination = Destination(mapping, send, FAST, region=REGION, stream_arn=STREAM_ARN)
    discard = Discard(Batch(records, 10, 11), RETRIES_EXHAUSTED, function_error=True)
    asyncio.run(destination.give_up("shardId-1", discard))
    return Outgoing(sent[0])


@dataclass(frozen=True)
class Deployed:
    """RetryQueue and FanoutFailures of a stage of its own."""

    sqs: Any
    name: str
    retry_url: str
    failures_url: str

    def fail(self, *messages: Outgoing) -> None:
        """Put messages into FanoutFailures like the functions."""
        for one in messages:
            texts = {"reason": one.reason, "item": one.item} if one.reason else {}
            self.sqs.send_message(
                QueueUrl=self.failures_url,
                MessageBody=one.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": text} for name, text in texts.items()
                },
            )

    def bodies(self, url: str) -> list[str]:
        """All receivable bodies, without removing them."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += messages
        for one in found:
            self.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=0
            )
        return sorted(one["Body"] for one in found)

    @property
    def failed(self) -> list[str]:
        return self.bodies(self.failures_url)

    @property
    def redriven(self) -> list[str]:
        return self.bodies(self.retry_url)


@dataclass
class Faulty:
    """A real SQS client with calls that a test replaces."""

    sqs: Any
    replaced: dict[str, Callable[..., Any]]

    def __getattr__(self, name: str) -> Any:
        return self.replaced.get(name) or getattr(self.sqs, name)
