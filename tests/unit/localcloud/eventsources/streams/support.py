"""Records, a stream in memory, and an invoker whose answers a test decides."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.eventsources.streams import mapping as mappings
from localcloud.eventsources.streams.destination import Destination
from localcloud.eventsources.streams.filters import compile_filters
from localcloud.eventsources.streams.records import StreamRecord
from localcloud.eventsources.streams.settings import StreamSettings
from localcloud.eventsources.streams.shard import Source
from localcloud.service.model import StreamMapping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

STREAM_ARN = "arn:aws:dynamodb:ddblocal:000000000000:table/T/stream/2026-01-01T00:00:00.000"
# Real waits, only shorter.
FAST = StreamSettings(
    poll_interval_s=0.002,
    retry_min_s=0.0005,
    retry_max_s=0.002,
    shard_refresh_s=0.02,
    close_timeout_s=0.2,
    destination_attempts=3,
)
PATIENCE_S = 20.0


def a_mapping(**changes: Any) -> StreamMapping:
    fields = {"function": "f", "table": "T", "bisect_on_error": True, "report_item_failures": True, **changes}
    return StreamMapping(**fields)


def a_record(number: int, *, key: str = "k", created_s: float = 0.0, size_bytes: int = 100) -> StreamRecord:
    """A record for batching; `number` is its position in the stream."""
    event = {"dynamodb": {"SequenceNumber": f"{number:021}", "Keys": {"id": {"S": key}}}}
    return StreamRecord(event, f"{number:021}", created_s, size_bytes, hash(key) & 0xFFFF)


def from_api(number: int, *, key: str = "k", name: str = "INSERT", age_s: float = 0.0) -> dict[str, Any]:
    """A record as parsed by botocore from GetRecords."""
    return {
        "eventID": f"event-{number}",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "ddblocal",
        "dynamodb": {
            "ApproximateCreationDateTime": dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s),
            "Keys": {"id": {"S": key}},
            "NewImage": {"id": {"S": key}, "number": {"N": str(number)}},
            "SequenceNumber": f"{number:021}",
            "SizeBytes": 20,
            "StreamViewType": "NEW_IMAGE",
        },
    }


@dataclass
class FakeShard:
    parent: str | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False


class FakeStreams:
    """The four calls of the streams API over lists. `faults` are error codes for the next GetRecords."""

    def __init__(self, **shards: FakeShard) -> None:
        self.shards = shards
        self.faults: list[str] = []
        self.limits: list[int] = []
        self.most_read = 0

    async def describe_stream(self, StreamArn: str, ExclusiveStartShardId: str | None = None) -> Any:  # noqa: N803 - as in the API
        """One shard per page."""
        assert StreamArn == STREAM_ARN
        ids = list(self.shards)
        place = 0 if ExclusiveStartShardId is None else ids.index(ExclusiveStartShardId) + 1
        shards = []
        for shard_id in ids[place : place + 1]:
            shard = self.shards[shard_id]
            span = {"StartingSequenceNumber": "0"} | ({"EndingSequenceNumber": "9"} if shard.closed else {})
            parent = {"ParentShardId": shard.parent} if shard.parent else {}
            shards.append({"ShardId": shard_id, "SequenceNumberRange": span, **parent})
        more = {"LastEvaluatedShardId": ids[place]} if place + 1 < len(ids) else {}
        return {"StreamDescription": {"Shards": shards, **more}}

    async def get_shard_iterator(self, **place: str) -> Any:
        records = self.shards[place["ShardId"]].records
        index = 0
        if place["ShardIteratorType"] == "LATEST":
            index = len(records)
        elif place["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
            index = numbers.index(place["SequenceNumber"]) + 1
        return {"ShardIterator": f"{place['ShardId']}|{index}"}

    async def get_records(self, ShardIterator: str, Limit: int) -> Any:  # noqa: N803 - as in the API
        await asyncio.sleep(0)
        if self.faults:
            raise ClientError({"Error": {"Code": self.faults.pop(0), "Message": "as told"}}, "GetRecords")
        shard_id, index = ShardIterator.split("|")
        shard = self.shards[shard_id]
        page = shard.records[int(index) : int(index) + Limit]
        self.limits.append(Limit)
        after = int(index) + len(page)
        self.most_read = max(self.most_read, after)
        over = shard.closed and after == len(shard.records)
        return {"Records": page} | ({} if over else {"NextShardIterator": f"{shard_id}|{after}"})


class FakeInvoker:
    """Returns or raises `answer(sequence numbers as ints)`, and keeps its events."""

    def __init__(self, answer: Callable[[list[int]], Any] = lambda _: None) -> None:
        self._answer = answer
        self.events: list[Mapping[str, Any]] = []
        self.batches: list[list[int]] = []
        self.accepted: list[int] = []

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        assert function == "f"
        numbers = numbers_of(event["Records"])
        self.events.append(event)
        self.batches.append(numbers)
        await asyncio.sleep(0)
        answer = self._answer(numbers)
        if asyncio.iscoroutine(answer):
            # Retry until it is ready.
            await answer
            answer = None
        if not answer:
            self.accepted += numbers
        return answer


def numbers_of(records: Sequence[Mapping[str, Any]]) -> list[int]:
    return [int(record["dynamodb"]["SequenceNumber"]) for record in records]


def failing(*numbers: int) -> dict[str, Any]:
    """A function's response that reports these records."""
    return {"batchItemFailures": [{"itemIdentifier": f"{number:021}"} for number in numbers]}


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; fails after a limit."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the fakes have no events for everything a test asks
            await asyncio.sleep(0.001)


class Queue:
    """A failure destination that keeps its messages, or raises `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.documents: list[Any] = []
        self.attempts = 0
        self._error = error

    async def send(self, queue: str, body: str) -> None:
        self.attempts += 1
        assert queue == "Failures"
        if self._error is not None:
            raise self._error
        self.documents.append(json.loads(body))

    def given_up(self) -> list[tuple[int, int, str]]:
        """First and last record of each document, with its reason."""
        places = [(document["DDBStreamBatchInfo"], document["requestContext"]) for document in self.documents]
        return [
            (int(info["startSequenceNumber"]), int(info["endSequenceNumber"]), request["condition"])
            for info, request in places
        ]


def a_source(
    streams: FakeStreams,
    invoker: FakeInvoker,
    queue: Queue | None = None,
    *,
    settings: StreamSettings = FAST,
    observer: Callable[[Sequence[Mapping[str, Any]]], None] | None = None,
    **changes: Any,
) -> Source:
    """A mapping's dependencies, made of fakes."""
    mapping = a_mapping(on_failure_queue="Failures", **changes)
    queue = queue or Queue()
    return Source(
        mapping=mapping,
        client=streams,
        invoker=invoker,
        destination=Destination(mapping, queue.send, settings, region="eu-central-1", stream_arn=STREAM_ARN),
        settings=settings,
        stream_arn=STREAM_ARN,
        region="eu-central-1",
        accepts=compile_filters(mapping.filters),
        observer=observer,
    )


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[None]:
    """Run the mapping while this is open."""
    mapping = mappings.Mapping(source)
    await mapping.start()
    try:
        yield
    finally:
        await mapping.close()
