"""One event source mapping: reads a stream's shards as they appear, parents before children."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.errors import StartError
from localcloud.eventsources.outages import OutageLog
from localcloud.eventsources.streams.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Collection

    from localcloud.eventsources.streams.shard import Source

TRIM_HORIZON = "TRIM_HORIZON"


def startable(
    parents: dict[str, str | None], started: Collection[str], running: Collection[str]
) -> list[str]:
    """The shards to start now: not started yet, and their parent has ended.

    A child continues its parent's items, so it must not overtake it. A parent that the stream no longer lists
    and that is not running has ended.
    """
    return [
        shard_id
        for shard_id, parent in parents.items()
        if shard_id not in started and parent not in running and (parent not in parents or parent in started)
    ]


class Mapping:
    """Reads a stream and invokes a function from start() to close()."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._started: set[str] = set()
        self._running: dict[asyncio.Task[None], Shard] = {}
        self._follower: asyncio.Task[None] | None = None
        self._look_again = asyncio.Event()
        self._outage = OutageLog(f"cannot follow the stream of {source.mapping.table}")

    async def start(self) -> None:
        """Return once the position is fixed: later writes reach the function."""
        position = self._source.mapping.starting_position
        try:
            shards = await self._describe()
            if position != TRIM_HORIZON:
                # Treat them as read: LATEST is after all of their records.
                self._started.update(shard["ShardId"] for shard in shards if _is_closed(shard))
            await self._start_shards(shards, position)
        except (BotoCoreError, ClientError, OSError) as error:
            await self.close()
            raise StartError(f"cannot read the stream of {self._source.mapping.table}: {error}") from error
        self._follower = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop reading; running invocations get `close_timeout_s` to end."""
        if self._follower is not None:
            self._follower.cancel()
        for shard in self._running.values():
            shard.stop()
        tasks = list(self._running)
        if tasks:
            await asyncio.wait(tasks, timeout=self._source.settings.close_timeout_s)
        for task in tasks:
            task.cancel()
        if self._follower is not None:
            tasks.append(self._follower)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_again.wait(), self._source.settings.shard_refresh_s)
            self._look_again.clear()
            try:
                # Regardless of the mapping's starting position: a shard that appears later has only new
                # records.
                await self._start_shards(await self._describe(), TRIM_HORIZON)
            except (BotoCoreError, ClientError, OSError) as error:
                self._outage.report(error)
            else:
                self._outage.recovered()

    async def _start_shards(self, shards: list[Any], position: str) -> None:
        parents = {shard["ShardId"]: shard.get("ParentShardId") for shard in shards}
        # Forget shards that the stream no longer lists.
        self._started &= set(parents)
        running = {shard.shard_id for shard in self._running.values()}
        for shard_id in startable(parents, self._started, running):
            shard = Shard(self._source, shard_id, position)
            await shard.open()
            self._started.add(shard_id)
            task = asyncio.create_task(shard.run())
            self._running[task] = shard
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        shard = self._running.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._look_again.set()
        else:
            # A defect: no failure of a stream or function gets here. Read the shard again, so that no record
            # is lost.
            self._started.discard(shard.shard_id)
            self._outage.report(error)

    async def _describe(self) -> list[Any]:
        shards: list[Any] = []
        place = {"StreamArn": self._source.stream_arn}
        while True:
            page = (await self._source.client.describe_stream(**place))["StreamDescription"]
            shards += page["Shards"]
            last = page.get("LastEvaluatedShardId")
            if last is None:
                return shards
            place["ExclusiveStartShardId"] = last


def _is_closed(shard: Any) -> bool:
    return "EndingSequenceNumber" in shard["SequenceNumberRange"]
