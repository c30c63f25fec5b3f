"""FanoutFailures of a deployed stage: reads, redrives and deletes its messages."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from groupcast.fanout.queue import BATCH_BYTES_MAX, BATCH_ENTRIES_MAX
from groupcast_cli.stage import SERVICE, StageError, client, deploy_hint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from groupcast.fanout.queue import Outgoing
    from groupcast_cli.stage import Place

# How long SQS hides messages from other readers; the command gives them back earlier unless it is killed.
HIDDEN_S = 60
# A long poll asks all of SQS's servers: an empty answer then means that there is hardly anything.
POLL_WAIT_S = 1
# Answers in a row without anything new, while SQS counts more than has come, until that is believed.
EMPTY_RECEIVES_MAX = 3


@dataclass(frozen=True, slots=True)
class Received:
    """A message that waits; `sent_ms` (since 1970) is from before SQS moved it. `reason` may be empty."""

    message_id: str
    sent_ms: int
    body: str
    reason: str
    receipt_handle: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Approximate counts of SQS: messages that can be read, and those that somebody is reading."""

    visible: int
    hidden: int


class FailuresQueue:
    """The two queues of a stage. Its calls raise botocore's ClientError and BotoCoreError."""

    def __init__(self, sqs: Any, *, failures_url: str, retry_url: str) -> None:
        self._sqs = sqs
        self._url = failures_url
        self._retry_url = retry_url
        self._held: dict[str, Received] = {}
        self._seen: set[str] = set()

    def waiting(self) -> Waiting:
        visible, hidden = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"
        answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=[visible, hidden])
        return Waiting(int(answer["Attributes"][visible]), int(answer["Attributes"][hidden]))

    def receive(self, limit: int, expected: int) -> Iterator[list[Received]]:
        """Each waiting message once, `limit` at most, ten at a time; they are hidden meanwhile.

        `expected` is what SQS counts: while fewer have come, an empty answer is not believed at once.
        """
        empty = 0
        while len(self._seen) < limit:
            new = self._receive(min(BATCH_ENTRIES_MAX, limit - len(self._seen)))
            if new:
                empty = 0
                yield new
                continue
            empty += 1
            if empty == EMPTY_RECEIVES_MAX or len(self._seen) >= expected:
                return

    def put_back(self, messages: Sequence[tuple[Received, Outgoing]]) -> dict[str, str]:
        """Send each redrive to RetryQueue, then delete the message that it is of; ten at most.

        The answer has the reason for each message that is still in FanoutFailures, by its id.
        """
        trouble: dict[str, str] = {}
        taken: list[Received] = []
        for batch in _batches(messages):
            untaken = self._send(batch)
            taken += [message for message, _ in batch if message.message_id not in untaken]
            trouble |= {one: f"not taken by RetryQueue: {why}" for one, why in untaken.items()}
        undeleted = self._delete(taken) if taken else {}
        return trouble | {one: f"put back, but not deleted: {why}" for one, why in undeleted.items()}

    def discard(self, messages: Sequence[Received]) -> dict[str, str]:
        """Delete messages, at most ten; the answer has the reason for each that is still there, by its id."""
        undeleted = self._delete(messages) if messages else {}
        return {one: f"not deleted: {why}" for one, why in undeleted.items()}

    def give_back(self) -> None:
        """Show others the messages that are not deleted. Does not raise: HIDDEN_S ends anyway."""
        handles = iter(self._held.values())
        with suppress(ClientError, BotoCoreError):
            while batch := list(islice(handles, BATCH_ENTRIES_MAX)):
                entries = [{**entry, "VisibilityTimeout": 0} for entry in _handles(batch)]
                self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def _receive(self, count: int) -> list[Received]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=count,
            VisibilityTimeout=HIDDEN_S,
            WaitTimeSeconds=POLL_WAIT_S,
            MessageSystemAttributeNames=["SentTimestamp"],
            MessageAttributeNames=["reason"],
        )
        new = []
        for raw in answer.get("Messages", ()):
            sent_ms = int(raw["Attributes"]["SentTimestamp"])
            reason = raw.get("MessageAttributes", {}).get("reason", {}).get("StringValue", "")
            message = Received(raw["MessageId"], sent_ms, raw["Body"], reason, raw["ReceiptHandle"])
            # The latest handle is the one that counts.
            self._held[message.message_id] = message
            # SQS delivers at least once, and shows hidden messages again if reading takes very long.
            if message.message_id not in self._seen:
                self._seen.add(message.message_id)
                new.append(message)
        return new

    def _send(self, batch: Sequence[tuple[Received, Outgoing]]) -> dict[str, str]:
        entries = [
            {
                "Id": str(place),
                "MessageBody": redrive.body,
                "MessageGroupId": redrive.group_id,
            }
            for place, (_, redrive) in enumerate(batch)
        ]
        answer = self._sqs.send_message_batch(QueueUrl=self._retry_url, Entries=entries)
        return _failed(answer, [message for message, _ in batch])

    def _delete(self, messages: Sequence[Received]) -> dict[str, str]:
        answer = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=_handles(messages))
        undeleted = _failed(answer, messages)
        for message in messages:
            if message.message_id not in undeleted:
                del self._held[message.message_id]
        return undeleted


@contextmanager
def open_queue(stage: str, place: Place) -> Iterator[FailuresQueue]:
    """The queues of a stage, which get unread messages back at the end. Raises StageError."""
    with client("sqs", place) as sqs:
        urls = [_url(sqs, name, stage, place) for name in (failures_name(stage), retry_name(stage))]
        queue = FailuresQueue(sqs, failures_url=urls[0], retry_url=urls[1])
        try:
            yield queue
        finally:
            queue.give_back()


def failures_name(stage: str) -> str:
    """As in serverless.yml."""
    return f"{SERVICE}-{stage}-fanout-failures"


def retry_name(stage: str) -> str:
    """As in serverless.yml."""
    return f"{SERVICE}-{stage}-retry"


def _url(sqs: Any, name: str, stage: str, place: Place) -> str:
    try:
        return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])
    except sqs.exceptions.QueueDoesNotExist:
        raise StageError(
            f"there is no queue {name} in {place.region}: {deploy_hint(stage, place)}, "
            "or name another stage with --stage, another region with --region"
        ) from None


def _batches(messages: Sequence[tuple[Received, Outgoing]]) -> Iterable[Sequence[tuple[Received, Outgoing]]]:
    """One batch, or one each if they are too large together, which leftovers of groupcast never are."""
    if sum(len(redrive.body) for _, redrive in messages) <= BATCH_BYTES_MAX:
        return [messages]
    return [[message] for message in messages]


def _handles(messages: Iterable[Received]) -> list[dict[str, Any]]:
    return [
        {"Id": str(place), "ReceiptHandle": message.receipt_handle} for place, message in enumerate(messages)
    ]


def _failed(answer: Any, messages: Sequence[Received]) -> dict[str, str]:
    return {
        messages[int(one["Id"])].message_id: f"{one['Code']}: {one.get('Message', '')}"
        for one in answer.get("Failed", ())
    }
