"""The service's SQS queues, in moto's server."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

import aioboto3

from localcloud.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from localcloud.service.model import Queue


class Queues:
    """An async context manager that creates the service's queues and calls them by logical id.

    ServiceError if dead-letter queues form a cycle. Calls raise botocore's ClientError and BotoCoreError.
    """

    def __init__(self, queues: Iterable[Queue], aws: Mapping[str, Any]) -> None:
        self._queues = _dead_letters_first(queues)
        self._aws = aws
        self._urls: dict[str, str] = {}
        self._arns: dict[str, str] = {}
        self._client: Any = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(aioboto3.Session().client("sqs", **self._aws))
        try:
            for queue in self._queues:
                await self._create(queue)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def arn(self, logical_id: str) -> str:
        return self._arns[logical_id]

    async def send(self, logical_id: str, body: str) -> None:
        """Send a message to a queue."""
        await self._client.send_message(QueueUrl=self._urls[logical_id], MessageBody=body)

    async def receive(self, logical_id: str, count: int, wait_s: int) -> list[dict[str, Any]]:
        """Up to `count` messages with all their attributes; empty if none arrives within `wait_s`."""
        answer = await self._client.receive_message(
            QueueUrl=self._urls[logical_id],
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", ()))

    async def delete(self, logical_id: str, receipt_handles: Iterable[str]) -> None:
        """Delete up to ten received messages, ignoring those already deleted or visible again."""
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(receipt_handles)]
        await self._client.delete_message_batch(QueueUrl=self._urls[logical_id], Entries=entries)

    async def _create(self, queue: Queue) -> None:
        attributes = dict(queue.attributes)
        if queue.redrive is not None:
            policy = {
                "deadLetterTargetArn": self._arns[queue.redrive.queue],
                "maxReceiveCount": queue.redrive.max_receive_count,
            }
            attributes["RedrivePolicy"] = json.dumps(policy)
        url = (await self._client.create_queue(QueueName=queue.name, Attributes=attributes))["QueueUrl"]
        found = await self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        self._urls[queue.logical_id], self._arns[queue.logical_id] = url, found["Attributes"]["QueueArn"]


def _dead_letters_first(queues: Iterable[Queue]) -> tuple[Queue, ...]:
    """Order queues for creation: a redrive policy must name an existing queue."""
    waiting = {queue.logical_id: queue for queue in queues}
    found: list[Queue] = []
    while waiting:
        free = [one for one in waiting.values() if one.redrive is None or one.redrive.queue not in waiting]
        if not free:
            raise ServiceError(f"dead-letter queues form a cycle: {', '.join(waiting)}")
        found += free
        waiting = {name: queue for name, queue in waiting.items() if queue not in free}
    return tuple(found)
