"""One invocation of fanoutMessage: a batch of the stream in, what has to come again out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from groupcast.fanout.batch import lowest, read_batch
from groupcast.fanout.leftover import to_body
from groupcast.fanout.queue import Outgoing, failure_message
from groupcast.fanout.result import Rejected, Result, times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groupcast.fanout.batch import Malformed
    from groupcast.fanout.engine import Engine
    from groupcast.fanout.queue import Queue
    from groupcast.fanout.report import GroupReport


class Fanout:
    """Delivers batches; puts what is left over into the one queue, and what is no message into the other."""

    def __init__(self, engine: Engine, leftovers: Queue, failures: Queue, *, frame_bytes: int) -> None:
        self._engine = engine
        self._leftovers = leftovers
        self._failures = failures
        self._frame_bytes = frame_bytes

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Result:
        """Deliver a batch. `again` of the result is a sequence number, or empty.

        AWS retries from it on. Members who had a message already get it twice then; its `seq` tells them.
        """
        groups, malformed = read_batch(records, self._frame_bytes)
        bounds = times(asyncio.get_running_loop().time(), remaining_s)
        report, unsaved = await asyncio.gather(
            self._engine.deliver(groups, bounds.stop_at), self._save(malformed, bounds.give_up_at)
        )
        again = [group.item_identifier for group in report.groups if group.unread]
        again += await self._hand_over(
            [group for group in report.groups if not group.unread], bounds.give_up_at
        )
        first = lowest([*again, *unsaved])
        rejected = tuple(Rejected(bad.sequence_number, bad.reason) for bad in malformed)
        return Result(report, rejected, () if first is None else (first,))

    async def _hand_over(self, groups: Sequence[GroupReport], give_up_at: float) -> list[str]:
        """Put what groups have left over into the queue; return the numbers of those it did not take."""
        owed = [(group, Outgoing(to_body(leftover))) for group in groups for leftover in group.leftovers]
        taken = await self._leftovers.send([message for _, message in owed], give_up_at)
        return [group.item_identifier for (group, _), ok in zip(owed, taken, strict=True) if not ok]

    async def _save(self, malformed: Sequence[Malformed], give_up_at: float) -> list[str]:
        """Put records into the failures queue; return the numbers of those that it did not take."""
        messages = [
            failure_message(bad.reason, bad.sequence_number, {"record": bad.record}) for bad in malformed
        ]
        taken = await self._failures.send(messages, give_up_at)
        return [bad.sequence_number for bad, ok in zip(malformed, taken, strict=True) if not ok]
