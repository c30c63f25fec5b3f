"""FIFO queues over sockets: boto and the functions' own signed client against localcloud's server."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import aioboto3
import pytest
from botocore.exceptions import ClientError
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.json_api import SQS, AwsJsonClient
from localcloud.backends.motoserver import sqs as motosqs
from localcloud.backends.motoserver.lanes import DEDUPLICATION_S
from tests.conftest import REGION
from tests.stack.localcloud.support import aws

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FIFO = {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}


class Fifo:
    """A queue, and the tests' calls of it."""

    def __init__(self, client: Any, url: str) -> None:
        self.client = client
        self.url = url

    async def send(self, body: str, group: str = "g", key: str | None = None) -> dict[str, Any]:
        sent: dict[str, Any] = await self.client.send_message(
            QueueUrl=self.url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=key or body
        )
        return sent

    async def receive(self, count: int = 10, wait_s: int = 0, **more: Any) -> list[dict[str, Any]]:
        answer = await self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["All"],
            **more,
        )
        return list(answer.get("Messages", ()))

    async def delete(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Delete messages; return the failed entries."""
        entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
        answer = await self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)
        return list(answer.get("Failed", ()))

    async def hide(self, visibility_s: int, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Change the visibility; return the failed entries."""
        entries = [
            {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": visibility_s}
            for n, one in enumerate(messages)
        ]
        answer = await self.client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)
        return list(answer.get("Failed", ()))


class Cloud:
    """Creates queues with unique names."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def fifo(self, name: str, **attributes: str) -> Fifo:
        made = await self.client.create_queue(QueueName=f"{name}.fifo", Attributes=FIFO | attributes)
        return Fifo(self.client, made["QueueUrl"])


@pytest.fixture
async def cloud(moto: str) -> AsyncIterator[Cloud]:
    async with aioboto3.Session().client("sqs", **aws(moto)) as client:
        yield Cloud(client)


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [message["Body"] for message in messages]


async def test_order_and_attributes(cloud: Cloud) -> None:
    """All fields of Lambda's event come back, and sequence numbers grow."""
    fifo = await cloud.fifo("order")
    sent = [await fifo.send(f"{number}") for number in range(12)]
    batch = await fifo.receive()
    assert bodies(batch) == [str(number) for number in range(10)]
    attributes = batch[3]["Attributes"]
    assert attributes["MessageGroupId"] == "g"
    assert attributes["MessageDeduplicationId"] == "3"
    assert attributes["ApproximateReceiveCount"] == "1"
    assert attributes["SequenceNumber"] == sent[3]["SequenceNumber"]
    assert abs(int(attributes["SentTimestamp"]) / 1000 - time.time()) < 60
    assert abs(int(attributes["ApproximateFirstReceiveTimestamp"]) / 1000 - time.time()) < 60
    numbers = [int(one["SequenceNumber"]) for one in sent]
    assert numbers == sorted(set(numbers))
    found = await cloud.client.get_queue_attributes(QueueUrl=fifo.url, AttributeNames=["All"])
    assert found["Attributes"]["ApproximateNumberOfMessages"] == "2"
    assert found["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "10"


async def test_several_pollers_never_share_a_group(cloud: Cloud) -> None:
    """Each message comes once, in order, and never while another of its group is in flight."""
    fifo = await cloud.fifo("pollers")
    groups = [f"g{number}" for number in range(5)]
    total, out, seen = 150, dict.fromkeys(groups, 0), {group: list[int]() for group in groups}

    async def poll() -> None:
        while sum(map(len, seen.values())) < total:
            batch = await fifo.receive(count=3, wait_s=1)
            mine = {message["Attributes"]["MessageGroupId"] for message in batch}
            for group in mine:
                assert out[group] == 0
                out[group] += 1
            for message in batch:
                seen[message["Attributes"]["MessageGroupId"]].append(int(message["Body"]))
            await asyncio.sleep(0.001)
            # Before the delete: afterwards another poller may have the group.
            for group in mine:
                out[group] -= 1
            if batch:
                assert await fifo.delete(*batch) == []

    pollers = [asyncio.create_task(poll()) for _ in range(5)]
    for number in range(total):
        await fifo.send(str(number), groups[number % len(groups)])
    async with asyncio.timeout(30):
        await asyncio.gather(*pollers)
    for index, group in enumerate(groups):
        assert seen[group] == list(range(index, total, len(groups)))


async def test_a_duplicate_is_dropped_also_after_the_delete(cloud: Cloud) -> None:
    """Its sender gets the first one's id; another group may use the same deduplication id."""
    fifo = await cloud.fifo("twice")
    first = await fifo.send("x", key="k")
    assert await fifo.delete(*await fifo.receive()) == []
    second = await fifo.send("x", key="k")
    assert (second["MessageId"], second["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    assert await fifo.receive() == []
    await fifo.send("y", group="other", key="k")
    assert bodies(await fifo.receive()) == ["y"]


async def test_deduplication_by_queue_and_by_content(cloud: Cloud) -> None:
    """Without a scope it covers the whole queue; a missing id is the body's hash."""
    url = (
        await cloud.client.create_queue(
            QueueName="content.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        )
    )["QueueUrl"]
    fifo = Fifo(cloud.client, url)
    for group, body in (("a", "x"), ("b", "x"), ("b", "y")):
        await cloud.client.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)
    assert bodies(await fifo.receive()) == ["x", "y"]


async def test_an_id_is_forgotten_after_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the server's clock, which the test sets, so the server runs in this process."""
    now = [1000.0]
    monkeypatch.setattr(motosqs, "clock", lambda: now[0])
    motosqs.install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    await asyncio.to_thread(server.start)
    host, port = server.get_host_and_port()
    try:
        async with aioboto3.Session().client("sqs", **aws(f"http://{host}:{port}")) as client:
            fifo = await Cloud(client).fifo("clock")
            await fifo.send("x")
            assert await fifo.delete(*await fifo.receive()) == []
            now[0] += DEDUPLICATION_S - 1
            await fifo.send("x")
            assert await fifo.receive() == []
            now[0] += 1
            await fifo.send("x")
            assert bodies(await fifo.receive()) == ["x"]
    finally:
        await asyncio.to_thread(server.stop)


async def test_sends_deletes_and_changes_wake_a_waiting_poll(cloud: Cloud) -> None:
    """At once; a change to some seconds wakes it after those."""
    fifo = await cloud.fifo("wakes")
    loop = asyncio.get_running_loop()

    async def next_after(*calls: Any) -> list[dict[str, Any]]:
        poll = asyncio.create_task(fifo.receive(wait_s=20, count=1))
        await asyncio.sleep(0.2)
        assert not poll.done()
        for call in calls:
            await call
        async with asyncio.timeout(10):
            return await poll

    (one,) = await next_after(fifo.send("1"), fifo.send("2"))
    (two,) = await next_after(fifo.delete(one))
    assert two["Body"] == "2"
    (two,) = await next_after(fifo.hide(0, two))
    assert two["Attributes"]["ApproximateReceiveCount"] == "2"
    start = loop.time()
    (two,) = await next_after(fifo.hide(1, two))
    assert loop.time() - start >= 1
    assert two["Body"] == "2"


async def test_a_visibility_timeout_frees_the_group_for_a_waiting_poll(cloud: Cloud) -> None:
    """The late receiver's handle has no effect, and a second delete is not an error."""
    fifo = await cloud.fifo("late", VisibilityTimeout="1")
    await fifo.send("x")
    (late,) = await fifo.receive()
    (again,) = await fifo.receive(wait_s=10, VisibilityTimeout=30)
    for failed in (await fifo.delete(late), await fifo.hide(5, late)):
        assert len(failed) == 1
    with pytest.raises(ClientError, match="receipt handle has expired"):
        await cloud.client.delete_message(QueueUrl=fifo.url, ReceiptHandle=late["ReceiptHandle"])
    assert await fifo.delete(again) == []
    assert await fifo.delete(again) == []
    with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
        await cloud.client.delete_message(QueueUrl=fifo.url, ReceiptHandle="nonsense")


async def test_redrive_to_a_fifo_queue(cloud: Cloud) -> None:
    """A message received too often moves there, whatever its deduplication id, and the group continues."""
    dead = await cloud.fifo("dead")
    await dead.send("poison")
    await dead.delete(*await dead.receive())
    arn = await cloud.client.get_queue_attributes(QueueUrl=dead.url, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": 2}
    fifo = await cloud.fifo("redrive", RedrivePolicy=json.dumps(policy))
    await fifo.send("poison")
    await fifo.send("good")
    for _ in range(2):
        batch = await fifo.receive(count=1)
        assert bodies(batch) == ["poison"]
        await fifo.hide(0, *batch)
    assert bodies(await fifo.receive(count=1)) == ["good"]
    assert bodies(await dead.receive()) == ["poison"]


async def test_a_poll_of_a_disconnected_client_takes_nothing(cloud: Cloud, moto: str) -> None:
    fifo = await cloud.fifo("gone")
    host, port = moto.removeprefix("http://").split(":")
    payload = json.dumps({"QueueUrl": fifo.url, "WaitTimeSeconds": 20}).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
        "Content-Type: application/x-amz-json-1.0\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential=x/20261124/{REGION}/sqs/aws4_request\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(head.encode() + payload)
        await asyncio.sleep(0.3)
    await fifo.send("x")
    await asyncio.sleep(0.3)
    assert bodies(await fifo.receive()) == ["x"]


async def test_the_functions_own_client(cloud: Cloud, moto: str) -> None:
    """Signed JSON without an SDK: a batch of offers, early deletes, visibility changes."""
    fifo = await cloud.fifo("signed")
    credentials = CredentialsProvider({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"})
    api = AwsJsonClient(SQS, moto, REGION, credentials, max_connections=2)
    entries = [
        {"Id": str(n), "MessageBody": f"{n}", "MessageGroupId": f"g{n % 2}", "MessageDeduplicationId": f"{n}"}
        for n in range(4)
    ]
    sent = await api.call("SendMessageBatch", {"QueueUrl": fifo.url, "Entries": entries})
    assert len(sent["Successful"]) == 4
    batch = await fifo.receive()
    assert bodies(batch) == ["0", "2", "1", "3"]
    done = [{"Id": one["Body"], "ReceiptHandle": one["ReceiptHandle"]} for one in batch[:2]]
    deleted = await api.call("DeleteMessageBatch", {"QueueUrl": fifo.url, "Entries": done})
    assert len(deleted["Successful"]) == 2
    later = [
        {"Id": one["Body"], "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": 0}
        for one in batch[2:]
    ]
    await api.call("ChangeMessageVisibilityBatch", {"QueueUrl": fifo.url, "Entries": later})
    assert bodies(await fifo.receive()) == ["1", "3"]
    await api.close()


async def test_a_standard_queue_takes_a_group_but_no_deduplication_id(cloud: Cloud) -> None:
    """A group makes it fair on AWS and comes back as an attribute; it locks and orders nothing."""
    url = (await cloud.client.create_queue(QueueName="fair"))["QueueUrl"]
    standard = Fifo(cloud.client, url)
    for body in ("x", "y"):
        await cloud.client.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
    first, second = await standard.receive(count=1), await standard.receive(count=1)
    assert bodies(first + second) == ["x", "y"]
    assert first[0]["Attributes"]["MessageGroupId"] == "g"
    assert await standard.delete(*first) == await standard.delete(*first) == []
    with pytest.raises(ClientError, match="for FIFO queues alone"):
        await standard.send("x")


@pytest.mark.parametrize("group", ["", "two words", "ü", "x" * 129])
async def test_invalid_ids_are_refused(cloud: Cloud, group: str) -> None:
    """Valid ones have at most 128 ASCII letters, digits and punctuation marks."""
    fifo = await cloud.fifo("ids")
    with pytest.raises(ClientError):
        await fifo.send("x", group=group)
