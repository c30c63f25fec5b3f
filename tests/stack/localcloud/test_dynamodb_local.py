"""Mappings on AWS's DynamoDB Local: writes to a table reach the function."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
import pytest

from localcloud.backends.dynamodb import DynamoDBLocal, create_tables
from localcloud.eventsources.streams import StreamMappings
from localcloud.service.model import Service, StreamMapping, Table
from tests.unit.localcloud.eventsources.streams.support import FakeInvoker, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ROOT = Path(__file__).parents[3]
TABLE = Table(
    logical_id="MessagesTable",
    definition={
        "TableName": "messages",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    },
    ttl_attribute=None,
)
MAPPING = StreamMapping(
    function="f",
    table="MessagesTable",
    parallelization=2,
    bisect_on_error=True,
    report_item_failures=True,
    max_retries=0,
    filters=({"eventName": ["INSERT", "MODIFY"]},),
    on_failure_queue="Failures",
)


def service(mapping: StreamMapping) -> Service:
    return Service("s", "dev", "eu-central-1", {}, {}, {"MessagesTable": TABLE}, {}, (mapping,))


@pytest.fixture
async def aws() -> AsyncIterator[dict[str, Any]]:
    async with DynamoDBLocal(ROOT) as dynamodb:
        yield {
            "endpoint_url": dynamodb.endpoint,
            "region_name": "eu-central-1",
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }


async def never(_queue: str, body: str) -> None:
    raise AssertionError(body)


@pytest.mark.stack
async def test_writes_reach_the_function(aws: Mapping[str, Any]) -> None:
    """Inserts and changes arrive in order per item, deletions are filtered, failures are retried."""
    stream_arns = {name: table.stream_arn for name, table in (await create_tables([TABLE], aws)).items()}
    failed: list[int] = []
    events: dict[str, list[str]] = {}

    def answer(numbers: list[int]) -> Any:
        # A record's first invocation fails if it is the last of its batch.
        if numbers[-1] not in failed:
            failed.append(numbers[-1])
            return {"batchItemFailures": [{"itemIdentifier": f"{numbers[-1]:021}"}]}
        return None

    invoker = FakeInvoker(answer)

    def observer(records: Any) -> None:
        for record in records:
            events.setdefault(record["dynamodb"]["Keys"]["id"]["S"], []).append(record["eventName"])

    mappings = StreamMappings(
        service(MAPPING), stream_arns, invoker, aws, send=never, poll_interval_s=0.01, observer=observer
    )
    async with mappings, aioboto3.Session().client("dynamodb", **aws) as dynamodb:

        async def write(item: int) -> None:
            key = {"id": {"S": f"item-{item}"}}
            for version in range(3):
                image = {**key, "version": {"N": str(version)}, "binary": {"B": b"\x00\xff"}}
                await dynamodb.put_item(TableName="messages", Item=image)
            await dynamodb.delete_item(TableName="messages", Key=key)

        await asyncio.gather(*(write(item) for item in range(20)))
        await until(lambda: sum(map(len, events.values())) == 80)
        await until(
            lambda: len(versions(invoker)) == 20 and all(max(v) == 2 for v in versions(invoker).values())
        )
    assert set(map(tuple, events.values())) == {("INSERT", "MODIFY", "MODIFY", "REMOVE")}
    for seen in versions(invoker).values():
        assert list(dict.fromkeys(seen)) == [0, 1, 2]
    record = invoker.events[0]["Records"][0]
    assert record["dynamodb"]["NewImage"]["binary"] == {"B": "AP8="}
    assert (record["awsRegion"], record["eventVersion"]) == ("eu-central-1", "1.1")
    assert record["eventSourceARN"] == stream_arns["messages"]


@pytest.mark.stack
async def test_one_shard_has_the_lanes_of_several(aws: Mapping[str, Any]) -> None:
    """DynamoDB Local's stream has one shard; `shards` gives it the lanes of as many."""
    stream_arns = {name: table.stream_arn for name, table in (await create_tables([TABLE], aws)).items()}
    gate = asyncio.Event()
    invoker = FakeInvoker(lambda _: gate.wait())
    mappings = StreamMappings(
        service(MAPPING), stream_arns, invoker, aws, send=never, poll_interval_s=0.01, shards=3
    )
    async with mappings, aioboto3.Session().client("dynamodb", **aws) as dynamodb:
        for item in range(60):
            await dynamodb.put_item(TableName="messages", Item={"id": {"S": f"item-{item}"}})
        await until(lambda: len(invoker.events) == 3 * MAPPING.parallelization)
        gate.set()


def versions(invoker: FakeInvoker) -> dict[str, list[int]]:
    """The versions of each item that the function received."""
    seen: dict[str, list[int]] = {}
    for event in invoker.events:
        for record in event["Records"]:
            image = record["dynamodb"]["NewImage"]
            seen.setdefault(image["id"]["S"], []).append(int(image["version"]["N"]))
    return seen
