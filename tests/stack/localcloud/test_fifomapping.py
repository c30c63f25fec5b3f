"""Event source mappings from FIFO queues to functions, over sockets to localcloud's SQS."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aioboto3

from localcloud.errors import FunctionError
from localcloud.eventsources.queuemapping import QueueMappings
from localcloud.eventsources.queues import Queues
from localcloud.service.model import Queue, QueueMapping, Redrive
from tests.conftest import REGION
from tests.stack.localcloud.support import Invocations, aws

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAPPING = QueueMapping("f", "Q", report_item_failures=True)


class Polled(Invocations):
    """A FIFO queue with its mapping; received messages are kept by group."""

    def __init__(self, client: Any, name: str) -> None:
        super().__init__()
        self.client = client
        self.name = name
        self._sent = 0

    async def url(self) -> str:
        return str((await self.client.get_queue_url(QueueName=self.name))["QueueUrl"])

    async def send(self, group: str, *bodies: str) -> None:
        url = await self.url()
        for body in bodies:
            self._sent += 1
            await self.client.send_message(
                QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=f"{self._sent}"
            )

    def of(self, group: str) -> list[str]:
        """The received bodies of a group, in order."""
        return [one["body"] for one in self.records if one["attributes"]["MessageGroupId"] == group]

    def handles(self, *bodies: str) -> list[dict[str, Any]]:
        """Entries of a batch call with each message's last receipt handle."""
        last = {one["body"]: one["receiptHandle"] for one in self.records}
        return [{"Id": str(n), "ReceiptHandle": last[body]} for n, body in enumerate(bodies)]


@asynccontextmanager
async def polled(
    moto: str, name: str, *, mapping: QueueMapping = MAPPING, visibility_s: int = 30, at_once: int = 5
) -> AsyncIterator[Polled]:
    """A queue that gives up after three receives."""
    attributes = {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}
    described = [
        Queue(
            "Q", f"{name}.fifo", {**attributes, "VisibilityTimeout": str(visibility_s)}, Redrive("Dead", 3)
        ),
        Queue("Dead", f"{name}-dead.fifo", attributes),
    ]
    async with (
        aioboto3.Session().client("sqs", **aws(moto)) as client,
        Queues(described, aws(moto)) as queues,
    ):
        found = Polled(client, f"{name}.fifo")
        async with QueueMappings([mapping], queues, found, region=REGION, at_once=at_once):
            yield found


def failing(polled: Polled, *bodies: str) -> dict[str, Any]:
    """A response that names the last receipt of each."""
    last = {one["body"]: one["messageId"] for one in polled.records}
    return {"batchItemFailures": [{"itemIdentifier": last[body]} for body in bodies]}


async def test_batches_of_a_group_come_one_after_the_other(moto: str) -> None:
    """In order, ten messages at most, while other groups have their own batches."""
    async with polled(moto, "serial") as queue:
        queue.gate = asyncio.Event()
        await queue.send("a", "a0")
        await queue.seen(1)
        await queue.send("a", *(f"a{number}" for number in range(1, 14)))
        await queue.send("b", "b0")
        await queue.seen(2)
        assert queue.batches == [["a0"], ["b0"]]
        assert queue.at_once == 2
        queue.gate.set()
        await queue.seen(15)
        assert queue.of("a") == [f"a{number}" for number in range(14)]
        assert max(map(len, queue.batches)) <= 10
        attributes = queue.records[0]["attributes"]
        assert attributes.keys() >= {"MessageDeduplicationId", "SequenceNumber", "SentTimestamp"}


async def test_maximum_concurrency_bounds_the_batches(moto: str) -> None:
    """For any number of groups and environments."""
    mapping = QueueMapping("f", "Q", batch_size=1, report_item_failures=True, maximum_concurrency=2)
    async with polled(moto, "bounded", mapping=mapping) as queue:
        queue.gate = asyncio.Event()
        for number in range(4):
            await queue.send(f"g{number}", "x")
        await queue.seen(2)
        await asyncio.sleep(0.2)
        assert queue.at_once == 2
        queue.gate.set()
        await queue.seen(4)
    assert queue.at_once_max == 2


async def test_environments_bound_the_batches(moto: str) -> None:
    """A batch without a free environment stays in the queue, without using up its visibility timeout."""
    mapping = QueueMapping("f", "Q", batch_size=1, report_item_failures=True, maximum_concurrency=100)
    async with polled(moto, "environments", mapping=mapping, at_once=1) as queue:
        queue.gate = asyncio.Event()
        await queue.send("a", "x")
        await queue.send("b", "y")
        await queue.seen(1)
        await asyncio.sleep(0.2)
        assert len(queue.records) == 1
        queue.gate.set()
        await queue.seen(2)


async def test_a_partial_failure_comes_again_in_its_place(moto: str) -> None:
    """The function hides it for a second; its group waits, and later messages follow it."""
    async with polled(moto, "partial") as queue:

        def fail_c_once(bodies: list[str]) -> Any:
            return failing(queue, "c", "d") if bodies == ["b", "c", "d"] else None

        queue.answer = fail_c_once
        first, second = asyncio.Event(), asyncio.Event()
        queue.gate = first
        await queue.send("g", "a")
        await queue.seen(1)
        await queue.send("g", "b", "c", "d")
        first.set()
        queue.gate = second
        await queue.seen(4)
        entries = [{**one, "VisibilityTimeout": 1} for one in queue.handles("c", "d")]
        url = await queue.url()
        await queue.client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
        await queue.send("g", "e")
        second.set()
        assert await queue.seen(7) == ["a", "b", "c", "d", "c", "d", "e"]
        counts = [one["attributes"]["ApproximateReceiveCount"] for one in queue.records]
        assert counts == ["1", "1", "1", "1", "2", "2", "1"]


async def test_a_message_deleted_early_frees_its_group(moto: str) -> None:
    """While the batch still runs; the mapping's own delete later does no harm."""
    async with polled(moto, "early") as queue:
        queue.gate = asyncio.Event()
        await queue.send("a", "a0")
        await queue.seen(1)
        await queue.client.delete_message_batch(QueueUrl=await queue.url(), Entries=queue.handles("a0"))
        await queue.send("a", "a1")
        await queue.seen(2)
        assert queue.at_once == 2
        queue.gate.set()
        await queue.send("a", "a2")
        await queue.seen(3)
        assert queue.of("a") == ["a0", "a1", "a2"]


async def test_a_killed_function_blocks_only_its_own_group(moto: str) -> None:
    """Its batch returns after the visibility timeout; other groups continue."""
    async with polled(moto, "killed", visibility_s=2) as queue:

        def die_once(bodies: list[str]) -> None:
            if bodies == ["a0"] and len(queue.of("a")) == 1:
                raise FunctionError("f", "Runtime.ExitError", "killed")

        queue.answer = die_once
        await queue.send("a", "a0")
        await queue.seen(1)
        await queue.send("a", "a1")
        await queue.send("b", "b0", "b1")
        await queue.seen(3)
        assert queue.of("a") == ["a0"]
        await queue.seen(5)
        assert queue.of("a") == ["a0", "a0", "a1"]
        assert queue.of("b") == ["b0", "b1"]


async def test_a_message_that_fails_too_often_goes_to_the_dead_letter_queue(moto: str) -> None:
    """And no longer blocks its group."""
    async with polled(moto, "redriven", visibility_s=1) as queue:
        queue.answer = lambda bodies: failing(queue, "bad") if "bad" in bodies else None
        await queue.send("g", "bad")
        await queue.seen(3)
        await queue.send("g", "good")
        bodies = await queue.seen(4)
        assert bodies == ["bad", "bad", "bad", "good"]
        url = (await queue.client.get_queue_url(QueueName="redriven-dead.fifo"))["QueueUrl"]
        answer = await queue.client.receive_message(QueueUrl=url, WaitTimeSeconds=5)
        assert [one["Body"] for one in answer["Messages"]] == ["bad"]
