"""Event source mappings from SQS queues to functions, as in Lambda.

The rules are those of the AWS Lambda Developer Guide, "Using Lambda with Amazon SQS", "Configuring scaling
behavior for SQS event source mappings" and "Handling errors for an SQS event source". A FIFO queue itself
allows one batch per message group at a time.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.errors import FunctionError
from localcloud.eventsources.outages import OutageLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localcloud.eventsources.queues import Queues
    from localcloud.invoking import Invoker
    from localcloud.service.model import QueueMapping

    Message = dict[str, Any]

# Default limit of concurrent batches per mapping: Lambda's initial number.
BATCHES_AT_ONCE = 5
# A long poll: the queue answers as soon as it has a message. 20 is SQS's maximum.
POLL_WAIT_S = 20
RETRY_S = 1.0
# How long a closing mapping waits for running invocations.
CLOSE_TIMEOUT_S = 5.0


class QueueMappings:
    """An async context manager in which every mapping polls its queue.

    Failed messages stay in the queue and become visible again after the visibility timeout. `at_once` bounds
    each mapping's concurrent batches, besides its own `maximum_concurrency`. It should match the invoker's
    concurrency per function: a batch that waits there uses up its visibility timeout.
    """

    def __init__(
        self,
        mappings: Iterable[QueueMapping],
        queues: Queues,
        invoker: Invoker,
        *,
        region: str,
        at_once: int = BATCHES_AT_ONCE,
    ) -> None:
        self._pollers = [
            _Poller(mapping, queues, invoker, region=region, at_once=at_once) for mapping in mappings
        ]
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for poller in self._pollers:
            poller.start()
            self._stack.push_async_callback(poller.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def event_record(message: Message, *, arn: str, region: str) -> dict[str, Any]:
    """The function's event record for a received message (AWS: "Using Lambda with Amazon SQS", example)."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    }


def succeeded(batch: Sequence[Message], mapping: QueueMapping, response: Any) -> list[Message]:
    """The messages of the batch that the function's response acknowledges.

    With ReportBatchItemFailures these are all messages it does not name. An empty response acknowledges all;
    a malformed one, or one that names a message outside the batch, acknowledges none.
    """
    if not mapping.report_item_failures or not response:
        return list(batch)
    failures = response.get("batchItemFailures") if isinstance(response, dict) else "malformed"
    if failures is None:
        return list(batch)
    if not isinstance(failures, list):
        return []
    named = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
    known = {message["MessageId"] for message in batch}
    if not all(isinstance(name, str) and name in known for name in named):
        return []
    return [message for message in batch if message["MessageId"] not in named]


class _Poller:
    def __init__(
        self, mapping: QueueMapping, queues: Queues, invoker: Invoker, *, region: str, at_once: int
    ) -> None:
        self._mapping = mapping
        self._queues = queues
        self._invoker = invoker
        self._region = region
        self._free = asyncio.Semaphore(min(at_once, mapping.maximum_concurrency or at_once))
        self._running: set[asyncio.Task[None]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._poll_outage = OutageLog(f"cannot poll {mapping.queue}")
        self._delete_outage = OutageLog(f"cannot remove messages from {mapping.queue}")
        self._invoke_outage = OutageLog(f"cannot invoke {mapping.function} for its queue")

    def start(self) -> None:
        self._polling = asyncio.create_task(self._poll())

    async def close(self) -> None:
        """Stop polling; running invocations get CLOSE_TIMEOUT_S to end."""
        assert self._polling is not None
        self._polling.cancel()
        await asyncio.wait([self._polling])
        running = list(self._running)
        if running:
            await asyncio.wait(running, timeout=CLOSE_TIMEOUT_S)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            # Wait for capacity before receiving: a message that waits here may be delivered twice.
            await self._free.acquire()
            batch = await self._collect()
            task = asyncio.create_task(self._work_on(batch))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free.release()

    async def _collect(self) -> list[Message]:
        """A batch: the messages of one poll or, with a batching window, all that arrive within it."""
        loop, size = asyncio.get_running_loop(), self._mapping.batch_size
        batch: list[Message] = []
        while not batch:
            batch = await self._receive(size, POLL_WAIT_S)
        until = loop.time() + self._mapping.window_s
        while len(batch) < size and (left_s := until - loop.time()) > 0:
            batch += await self._receive(size - len(batch), max(1, min(POLL_WAIT_S, int(left_s))))
        return batch

    async def _receive(self, count: int, wait_s: int) -> list[Message]:
        try:
            messages = await self._queues.receive(self._mapping.queue, count, wait_s)
        except (BotoCoreError, ClientError, OSError) as error:
            self._poll_outage.report(error)
            await asyncio.sleep(RETRY_S)
            return []
        self._poll_outage.recovered()
        return messages

    async def _work_on(self, batch: Sequence[Message]) -> None:
        done = await self._invoke(batch)
        if not done:
            return
        try:
            await self._queues.delete(self._mapping.queue, [message["ReceiptHandle"] for message in done])
        except (BotoCoreError, ClientError, OSError) as error:
            self._delete_outage.report(error)
        else:
            self._delete_outage.recovered()

    async def _invoke(self, batch: Sequence[Message]) -> list[Message]:
        """Invoke the function and return the acknowledged messages."""
        arn = self._queues.arn(self._mapping.queue)
        event = {"Records": [event_record(message, arn=arn, region=self._region) for message in batch]}
        try:
            response = await self._invoker.invoke(self._mapping.function, event)
        except FunctionError:
            # The function's own log has the error.
            return []
        except Exception as error:  # noqa: BLE001 - an invoker's bug must not end the polling
            self._invoke_outage.report(error)
            return []
        self._invoke_outage.recovered()
        return succeeded(batch, self._mapping, response)


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    attribute = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return attribute
