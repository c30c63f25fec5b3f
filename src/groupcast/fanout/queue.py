"""An SQS queue that messages are put into, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from groupcast.aws.backoff import back_off
from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from groupcast.aws.calls import Calls

# The limits of one SendMessageBatch. SQS has raised its bytes since, but not all of its endpoints have.
BATCH_ENTRIES_MAX = 10
BATCH_BYTES_MAX = 256 * 1024
SEND_ATTEMPTS_MAX = 3
SEND_RETRY_BASE_S = 0.05
REASON_CHARS_MAX = 500
# SQS counts the names, types and values of attributes, too.
ATTRIBUTES_BYTES_MAX = 1024
# Nothing depends on deleting early or on releasing.
RECEIVED_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for a queue, in ASCII; no consumer gets it before `delay_s` are over.

    Messages of one `group_id` keep their order in a FIFO queue, and share a standard one fairly with other
    groups. A FIFO queue drops a `deduplication_id` that it took in the last 5 minutes. A failure has the
    `reason`, and the `item` that it was to Lambda, as message attributes.
    """

    body: str
    delay_s: int = 0
    group_id: str | None = None
    deduplication_id: str | None = None
    reason: str = ""
    item: str = ""


class Queue:
    """One queue. SQS delivers at least once, and sending is repeated: a message may come twice."""

    def __init__(self, sqs: Calls, url: str) -> None:
        self._sqs = sqs
        self._url = url

    async def send(self, messages: Sequence[Outgoing], give_up_at: float) -> list[bool]:
        """Which of the messages the queue has taken. `give_up_at` is a loop time in seconds. Never raises."""
        taken = [False] * len(messages)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(give_up_at):
                for batch in _batches(messages):
                    with contextlib.suppress(GroupcastError):
                        await self._send_batch(messages, batch, taken)
        return taken

    async def _send_batch(self, messages: Sequence[Outgoing], batch: list[int], taken: list[bool]) -> None:
        for attempt in range(SEND_ATTEMPTS_MAX):
            await back_off(attempt, SEND_RETRY_BASE_S)
            entries = [_entry(index, messages[index]) for index in batch]
            answer = await self._sqs.call("SendMessageBatch", {"QueueUrl": self._url, "Entries": entries})
            for success in answer.get("Successful", ()):
                taken[int(success["Id"])] = True
            # A sender's fault does not pass.
            batch = [int(failure["Id"]) for failure in answer.get("Failed", ()) if not failure["SenderFault"]]
            if not batch:
                return


class Received:
    """The messages of a queue that Lambda received for us.

    Both calls only speed things up, so neither raises. Messages not deleted here are deleted when the
    function returns, and those not released come again after the queue's visibility timeout.
    """

    def __init__(self, sqs: Calls, url: str) -> None:
        self._sqs = sqs
        self._url = url

    async def delete(self, receipt_handles: Sequence[str]) -> None:
        """Delete messages, so that their lanes go on before the function returns."""
        await self._all("DeleteMessageBatch", receipt_handles, {})

    async def release(self, receipt_handles: Sequence[str], after_s: int) -> None:
        """Let messages that are returned as failed come again after `after_s`."""
        await self._all("ChangeMessageVisibilityBatch", receipt_handles, {"VisibilityTimeout": after_s})

    async def _all(self, operation: str, receipt_handles: Sequence[str], more: Mapping[str, int]) -> None:
        for start in range(0, len(receipt_handles), BATCH_ENTRIES_MAX):
            part = receipt_handles[start : start + BATCH_ENTRIES_MAX]
            entries = [{"Id": str(n), "ReceiptHandle": one, **more} for n, one in enumerate(part)]
            with contextlib.suppress(GroupcastError, TimeoutError):
                async with asyncio.timeout(RECEIVED_TIMEOUT_S):
                    await self._sqs.call(operation, {"QueueUrl": self._url, "Entries": entries})


def failed(message: Outgoing, reason: str, item: str) -> Outgoing:
    """The message for the failures queue; its body stays as it is, so that SQS's own redrive works."""
    # SQS takes no control characters, and anyone's text may be quoted in a reason.
    printable = "".join(char if " " <= char <= "~" else "?" for char in reason[:REASON_CHARS_MAX])
    return replace(message, delay_s=0, reason=printable, item=item)


def malformed(body: str, reason: str, item: str) -> Outgoing:
    """An undeliverable body, for the failures queue; cut to a size that a queue takes."""
    cut = body.encode()[: BATCH_BYTES_MAX - ATTRIBUTES_BYTES_MAX].decode(errors="ignore")
    return failed(Outgoing(cut), reason, item)


def _batches(messages: Sequence[Outgoing]) -> Iterator[list[int]]:
    """Indexes of messages that travel together."""
    batch: list[int] = []
    size = 0
    for index, message in enumerate(messages):
        message_bytes = len(message.body.encode()) + (ATTRIBUTES_BYTES_MAX if message.reason else 0)
        if batch and (len(batch) == BATCH_ENTRIES_MAX or size + message_bytes > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(index)
        size += message_bytes
    if batch:
        yield batch


def _entry(index: int, message: Outgoing) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": str(index), "MessageBody": message.body}
    # A FIFO queue takes no delay of a single message, not even 0.
    if message.delay_s:
        entry["DelaySeconds"] = message.delay_s
    if message.group_id is not None:
        entry["MessageGroupId"] = message.group_id
    if message.deduplication_id is not None:
        entry["MessageDeduplicationId"] = message.deduplication_id
    if message.reason:
        texts = {"reason": message.reason, "item": message.item}
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": text} for name, text in texts.items()
        }
    return entry
