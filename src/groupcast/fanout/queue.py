"""An SQS queue that messages are put into, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from groupcast.aws.calls import Calls

# What one SendMessageBatch takes. SQS has raised its bytes since; what all of its endpoints take is this.
BATCH_ENTRIES_MAX = 10
BATCH_BYTES_MAX = 256 * 1024
SEND_ATTEMPTS_MAX = 3
SEND_RETRY_BASE_S = 0.05
MAX_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for a queue, in ASCII; nobody gets it before `delay_s` are over."""

    body: str
    delay_s: int = 0


class Queue:
    """One queue. SQS delivers at least once, and sending is repeated: what is sent may come twice."""

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
            if attempt:
                delay_s = SEND_RETRY_BASE_S * 2**attempt
                await asyncio.sleep(random.uniform(0, delay_s))  # noqa: S311 - jitter, no secret
            entries = [_entry(index, messages[index]) for index in batch]
            answer = await self._sqs.call("SendMessageBatch", {"QueueUrl": self._url, "Entries": entries})
            for success in answer.get("Successful", ()):
                taken[int(success["Id"])] = True
            # What is the sender's fault will not become better.
            batch = [int(failure["Id"]) for failure in answer.get("Failed", ()) if not failure["SenderFault"]]
            if not batch:
                return


def failure_message(reason: str, item_identifier: str, content: Mapping[str, Any]) -> Outgoing:
    """What the failures queue is told: why, of which item, and its content, cut where it is too long."""
    known = {"reason": reason[:MAX_REASON_CHARS], "itemIdentifier": item_identifier}
    body = json.dumps({**known, **content})
    if len(body) > BATCH_BYTES_MAX:
        # A quarter, for quoted once more it takes up to twice as much.
        body = json.dumps({**known, "beginning": json.dumps(content)[: BATCH_BYTES_MAX // 4]})
    return Outgoing(body)


def _batches(messages: Sequence[Outgoing]) -> Iterator[list[int]]:
    """Indexes of messages that travel together."""
    batch: list[int] = []
    size = 0
    for index, message in enumerate(messages):
        if batch and (len(batch) == BATCH_ENTRIES_MAX or size + len(message.body) > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(index)
        size += len(message.body)
    if batch:
        yield batch


def _entry(index: int, message: Outgoing) -> dict[str, Any]:
    return {"Id": str(index), "MessageBody": message.body, "DelaySeconds": message.delay_s}
