"""One invocation of the fan-out: a batch of the stream in, what has to come again out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.errors import GroupcastError
from groupcast.fanout.batch import lowest, read_batch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groupcast.aws.json_api import JsonApi
    from groupcast.fanout.batch import Malformed
    from groupcast.fanout.engine import Engine
    from groupcast.fanout.report import Report

# Left of the function's time when no new post is sent any more: enough for the slowest answer that may
# still come, the last removals and the report.
STOP_MARGIN_S = 8.0


class Fanout:
    """Delivers batches, and puts records that are no messages into the failures queue."""

    def __init__(self, engine: Engine, sqs: JsonApi, failures_queue_url: str, *, frame_bytes: int) -> None:
        self._engine = engine
        self._frame_bytes = frame_bytes
        self._sqs = sqs
        self._failures_queue_url = failures_queue_url

    async def deliver(
        self, records: Sequence[Mapping[str, Any]], remaining_s: float
    ) -> tuple[Report, list[Malformed], list[str]]:
        """Return the report, the malformed records, and the sequence numbers that must come again.

        AWS retries from the lowest of them on, so there is at most one. Members who had a message already
        get it twice then; its `seq` tells them.
        """
        groups, malformed = read_batch(records, self._frame_bytes)
        stop_at = asyncio.get_running_loop().time() + max(remaining_s - STOP_MARGIN_S, 0.0)
        report, unsaved = await asyncio.gather(self._engine.deliver(groups, stop_at), self._save(malformed))
        again = [group.first_sequence_number for group in report.groups if group.left_over]
        first = lowest([*again, *unsaved])
        return report, malformed, [] if first is None else [first]

    async def _save(self, malformed: Sequence[Malformed]) -> list[str]:
        """Put records into the failures queue; return the numbers of those that it did not take."""
        return [bad.sequence_number for bad in malformed if not await self._saved(bad)]

    async def _saved(self, bad: Malformed) -> bool:
        body = orjson.dumps({"reason": bad.reason, "record": bad.record}).decode()
        message = {"QueueUrl": self._failures_queue_url, "MessageBody": body}
        try:
            await self._sqs.call("SendMessage", message)
        except GroupcastError:
            return False
        return True
