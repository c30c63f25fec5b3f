"""Reads a shard of a stream and passes its records to lanes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.eventsources.outages import OutageLog
from localcloud.eventsources.streams import batching
from localcloud.eventsources.streams.delayqueue import DelayQueue
from localcloud.eventsources.streams.lane import Lane
from localcloud.eventsources.streams.records import to_stream_record
from localcloud.eventsources.streams.settings import PAGE_RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from localcloud.eventsources.streams.destination import Destination
    from localcloud.eventsources.streams.records import StreamRecord
    from localcloud.eventsources.streams.settings import StreamSettings
    from localcloud.invoking import Invoker
    from localcloud.service.model import StreamMapping

    Observer = Callable[[Sequence[Mapping[str, Any]]], None]

# A page this large was probably cut by GetRecords' limit of 1 MB, so more records are waiting.
LARGE_PAGE_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """State shared by a mapping's shards. `client` is an aiobotocore client of `dynamodbstreams`.

    `hop_s` draws a page's delay (s) from its write to the lanes; None adds no delay.
    """

    mapping: StreamMapping
    client: Any = field(repr=False)
    invoker: Invoker
    destination: Destination
    settings: StreamSettings
    stream_arn: str
    region: str
    accepts: Callable[[Mapping[str, Any]], bool]
    observer: Observer | None
    hop_s: Callable[[], float] | None = None


class Shard:
    """One shard, read from `position` (TRIM_HORIZON or LATEST) to its end, if it has one."""

    def __init__(self, source: Source, shard_id: str, position: str) -> None:
        self.shard_id = shard_id
        self._source = source
        self._position = position
        self._iterator: str | None = None
        self._last_read: str | None = None
        self._asked_s: float | None = None
        self._ahead = _ReadAhead(source.settings)
        self._pages: DelayQueue[_Page] = DelayQueue(self._hand_on)
        self._stopped = asyncio.Event()
        self._outage = OutageLog(f"cannot read the stream of {source.mapping.table}")
        self._lanes = [
            Lane(
                source.mapping,
                source.invoker,
                source.settings,
                give_up=lambda discard: source.destination.give_up(shard_id, discard),
                done=self._ahead.remove,
            )
            for _ in range(source.mapping.parallelization)
        ]

    async def open(self) -> None:
        """Fix the position, so that LATEST includes all later writes."""
        self._iterator = await self._seek()

    async def run(self) -> None:
        """Read and invoke until the shard has ended and its last record is done, or stop() is called."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(lane.run())
            passing_on = group.create_task(self._pages.run())
            await self._read()
            self._pages.end()
            await passing_on
            for lane in self._lanes:
                lane.end()

    def stop(self) -> None:
        """Make run() return after the running invocations."""
        self._stopped.set()
        self._pages.stop()
        self._ahead.release()
        for lane in self._lanes:
            lane.stop()

    async def _read(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            limit = await self._ahead.room()
            asked_s = asyncio.get_running_loop().time()
            try:
                page = await self._page(limit)
            except (BotoCoreError, ClientError, OSError) as error:
                self._recover(error)
                await self._pause(self._retry_s(failures))
                failures += 1
                continue
            failures = 0
            self._outage.recovered()
            is_full = self._take(page["Records"], limit, asked_s)
            self._asked_s = asked_s
            self._iterator = page.get("NextShardIterator")
            if self._iterator is None:
                return
            if not is_full:
                await self._pause(self._source.settings.poll_interval_s)

    async def _page(self, limit: int) -> Any:
        if self._iterator is None:
            self._iterator = await self._seek()
        return await self._source.client.get_records(ShardIterator=self._iterator, Limit=limit)

    async def _seek(self) -> str:
        place = {"StreamArn": self._source.stream_arn, "ShardId": self.shard_id}
        if self._last_read is None:
            place["ShardIteratorType"] = self._position
        else:
            # Continue after the last record read, not delivered: the records between are in the lanes.
            place |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self._last_read}
        answer = await self._source.client.get_shard_iterator(**place)
        return str(answer["ShardIterator"])

    def _recover(self, error: Exception) -> None:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code in {"ExpiredIteratorException", "TrimmedDataAccessException"}:
            self._iterator = None
            # LATEST would now skip records, so read from the start: duplicates are better than losses.
            self._position = "TRIM_HORIZON"
        else:
            self._outage.report(error)
        if code == "TrimmedDataAccessException":
            # The stream has dropped the next records; continue with the oldest that it still has.
            self._last_read = None

    def _take(self, page: Sequence[Mapping[str, Any]], limit: int, asked_s: float) -> bool:
        """Pass records to the lanes, now or when due; return whether more are probably waiting."""
        source = self._source
        records = [
            to_stream_record(record, stream_arn=source.stream_arn, region=source.region) for record in page
        ]
        if not records:
            return False
        self._last_read = records[-1].sequence_number
        accepted = [record for record in records if source.accepts(record.event)]
        self._ahead.add(accepted)
        if source.hop_s is None:
            self._hand_on(_Page(records, accepted))
        else:
            # Written between the last two reads; DynamoDB's own creation time is too coarse.
            written_s = asked_s if self._asked_s is None else (self._asked_s + asked_s) / 2
            self._pages.add(_Page(records, accepted), written_s + source.hop_s())
        return len(records) == limit or sum(record.size_bytes for record in records) >= LARGE_PAGE_BYTES

    def _hand_on(self, page: _Page) -> None:
        if self._source.observer is not None:
            self._source.observer([record.event for record in page.records])
        for record in page.accepted:
            self._lanes[batching.lane_of(record, len(self._lanes))].add(record)

    def _retry_s(self, failures: int) -> float:
        settings = self._source.settings
        chance = random.random()  # noqa: S311 - jitter, not a secret
        return batching.backoff_s(
            failures, min_s=settings.retry_min_s, max_s=settings.retry_max_s, chance=chance
        )

    async def _pause(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), wait_s)


@dataclass(frozen=True, slots=True)
class _Page:
    """The records of one read, and those of them that pass the filters."""

    records: Sequence[StreamRecord]
    accepted: Sequence[StreamRecord]


class _ReadAhead:
    """Limits the records of a shard that are read and not yet done."""

    def __init__(self, settings: StreamSettings) -> None:
        self._records_left = settings.read_ahead_records
        self._bytes_left = settings.read_ahead_bytes
        self._changed = asyncio.Event()
        self._open = False

    async def room(self) -> int:
        """Wait until more may be read; return the number of records."""
        while not self._open and (self._records_left <= 0 or self._bytes_left <= 0):
            self._changed.clear()
            await self._changed.wait()
        return max(1, min(PAGE_RECORDS, self._records_left))

    def release(self) -> None:
        """Release all waiting readers."""
        self._open = True
        self._changed.set()

    def add(self, records: Sequence[StreamRecord]) -> None:
        self._records_left -= len(records)
        self._bytes_left -= sum(record.size_bytes for record in records)

    def remove(self, records: Sequence[StreamRecord]) -> None:
        self._records_left += len(records)
        self._bytes_left += sum(record.size_bytes for record in records)
        self._changed.set()
