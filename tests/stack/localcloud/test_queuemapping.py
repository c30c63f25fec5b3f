"""Event source mappings from queues: pure decisions, and polling of moto's SQS over sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localcloud.errors import FunctionError, ServiceError
from localcloud.eventsources import queuemapping
from localcloud.eventsources.queuemapping import BATCHES_AT_ONCE, QueueMappings, event_record, succeeded
from localcloud.eventsources.queues import Queues
from localcloud.service.model import Queue, QueueMapping, Redrive
from tests.conftest import REGION, ROOT
from tests.stack.localcloud.support import Invocations, aws

MAPPING = QueueMapping("f", "Q", report_item_failures=True)
RECORDED = json.loads((ROOT / "tests/events/sqs.json").read_text())["Records"][0]
BATCH = [{"MessageId": "a"}, {"MessageId": "b"}, {"MessageId": "c"}]


def test_the_event_equals_the_recorded_one() -> None:
    """Value for value."""
    message = {
        "MessageId": RECORDED["messageId"],
        "ReceiptHandle": RECORDED["receiptHandle"],
        "Body": RECORDED["body"],
        "MD5OfBody": RECORDED["md5OfBody"],
        "Attributes": RECORDED["attributes"],
        "MessageAttributes": {
            "origin": {"StringValue": "fanoutMessage", "DataType": "String"},
            "digest": {"BinaryValue": base64.b64decode("AQL/"), "DataType": "Binary"},
        },
    }
    assert event_record(message, arn=RECORDED["eventSourceARN"], region="eu-central-1") == RECORDED


@pytest.mark.parametrize(
    ("response", "ids"),
    [
        (None, "abc"),
        ({}, "abc"),
        ({"batchItemFailures": []}, "abc"),
        ({"batchItemFailures": None}, "abc"),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, "ac"),
        ({"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "a"}]}, "c"),
        ({"batchItemFailures": [{"itemIdentifier": "x"}]}, ""),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, ""),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, ""),
        ({"batchItemFailures": [{"itemIdentifer": "b"}]}, ""),
        ({"batchItemFailures": ["b"]}, ""),
        ({"batchItemFailures": "b"}, ""),
        ("nonsense", ""),
    ],
)
def test_messages_acknowledged_by_a_response(response: Any, ids: str) -> None:
    """AWS: an empty list acknowledges all, a malformed one or an unknown id none."""
    assert "".join(message["MessageId"] for message in succeeded(BATCH, MAPPING, response)) == ids


def test_without_reports_every_response_acknowledges_all() -> None:
    """If the mapping does not ask for reports, the return value is ignored."""
    failures = {"batchItemFailures": [{"itemIdentifier": "b"}]}
    assert succeeded(BATCH, QueueMapping("f", "Q"), failures) == BATCH


@asynccontextmanager
async def polled(
    moto: str, name: str, *, mapping: QueueMapping = MAPPING, visibility_s: int = 30
) -> AsyncIterator[tuple[Queues, Invocations]]:
    """A queue that gives up after two receives, and its mapping."""
    described = [
        Queue("Q", name, {"VisibilityTimeout": str(visibility_s)}, Redrive("Dead", 2)),
        Queue("Dead", f"{name}-dead", {}),
    ]
    invocations = Invocations()
    async with (
        Queues(described, aws(moto)) as queues,
        QueueMappings([mapping], queues, invocations, region=REGION),
    ):
        yield queues, invocations


async def left_in(queues: Queues, logical_id: str) -> list[str]:
    return [message["Body"] for message in await queues.receive(logical_id, 10, 0)]


async def test_messages_reach_the_function_once_and_are_deleted(moto: str) -> None:
    """In records with exactly the recorded fields."""
    async with polled(moto, "once", visibility_s=1) as (queues, invocations):
        sent = [f"body {number}" for number in range(12)]
        await asyncio.gather(*(queues.send("Q", body) for body in sent))
        assert sorted(await invocations.seen(12)) == sorted(sent)
        # Longer than the visibility timeout: undeleted messages would come again.
        await asyncio.sleep(2.2)
        assert len(invocations.records) == 12
        record = invocations.records[0]
        assert record.keys() == RECORDED.keys()
        assert record["attributes"].keys() == RECORDED["attributes"].keys()
        assert record["eventSourceARN"] == queues.arn("Q")
        assert await left_in(queues, "Dead") == []


async def test_a_failed_message_is_retried_and_then_dead_lettered(moto: str) -> None:
    """Only the named one, after each visibility timeout, up to the redrive policy's limit."""
    async with polled(moto, "again", visibility_s=1) as (queues, invocations):

        def fail_bad(_: list[str]) -> Any:
            bad = [record["messageId"] for record in invocations.records if record["body"] == "bad"]
            return {"batchItemFailures": [{"itemIdentifier": one} for one in bad[-1:]]}

        invocations.answer = fail_bad
        await queues.send("Q", "good")
        await queues.send("Q", "bad")
        bodies = await invocations.seen(3)
        assert (bodies.count("good"), bodies.count("bad")) == (1, 2)
        assert await queues.receive("Dead", 1, 10)
        assert len(invocations.records) == 3


async def test_a_function_error_fails_the_whole_batch(moto: str) -> None:
    """Nothing is deleted, and the queue delivers everything again."""
    async with polled(moto, "error", visibility_s=1) as (queues, invocations):

        def fail_once(_: list[str]) -> None:
            if len(invocations.batches) == 1:
                raise FunctionError("f", "ValueError", "as told")

        invocations.answer = fail_once
        await queues.send("Q", "x")
        assert await invocations.seen(2) == ["x", "x"]


async def test_concurrent_batches_are_bounded(moto: str) -> None:
    """At the limit nothing is received until one ends."""
    mapping = QueueMapping("f", "Q", batch_size=1, report_item_failures=True)
    async with polled(moto, "bounded", mapping=mapping) as (queues, invocations):
        invocations.gate = asyncio.Event()
        for number in range(BATCHES_AT_ONCE + 3):
            await queues.send("Q", str(number))
        await invocations.seen(BATCHES_AT_ONCE)
        assert await left_in(queues, "Q") != []
        assert invocations.at_once == BATCHES_AT_ONCE
        invocations.gate.set()
    assert invocations.at_once_max == BATCHES_AT_ONCE


async def test_a_window_gathers_a_batch(moto: str) -> None:
    """Messages within it share a batch; a full batch does not wait for its end."""
    mapping = QueueMapping("f", "Q", batch_size=3, window_s=300)
    async with polled(moto, "window", mapping=mapping) as (queues, invocations):
        for number in range(3):
            await queues.send("Q", str(number))
        await invocations.seen(3)
        assert invocations.batches == [["0", "1", "2"]]


async def test_closing_waits_for_invocations_but_not_for_the_poll(moto: str) -> None:
    """Their messages are deleted; a long poll is cancelled at once."""
    async with polled(moto, "closing") as (queues, invocations):
        invocations.gate = asyncio.Event()
        await queues.send("Q", "x")
        await invocations.seen(1)
        asyncio.get_running_loop().call_later(0.2, invocations.gate.set)
    assert invocations.at_once == 0


async def test_closing_has_a_time_limit(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invocation that does not end is abandoned."""
    monkeypatch.setattr(queuemapping, "CLOSE_TIMEOUT_S", 0.1)
    async with polled(moto, "hanging") as (queues, invocations):
        invocations.gate = asyncio.Event()
        await queues.send("Q", "x")
        await invocations.seen(1)
    assert invocations.at_once == 0


async def test_an_unreachable_queue_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Polling continues with a pause, and stderr does not fill."""
    polls: asyncio.Queue[str] = asyncio.Queue()

    class Broken(Queues):
        async def receive(self, logical_id: str, *_: int) -> list[dict[str, Any]]:
            polls.put_nowait(logical_id)
            raise OSError("no such host")

    monkeypatch.setattr(queuemapping, "RETRY_S", 0.001)
    async with asyncio.timeout(20), QueueMappings([MAPPING], Broken([], {}), Invocations(), region=REGION):
        for _ in range(3):
            await polls.get()
    assert capsys.readouterr().err.count("cannot poll Q") == 1


def test_a_cycle_of_dead_letter_queues_is_an_error() -> None:
    """CloudFormation would refuse them, too."""
    circle = [Queue("A", "a", {}, Redrive("B", 2)), Queue("B", "b", {}, Redrive("A", 2))]
    with pytest.raises(ServiceError, match="cycle: A, B"):
        Queues(circle, {})
