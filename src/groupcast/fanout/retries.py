"""One invocation of fanoutRetry: leftovers are finished, or go back into the queue."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from groupcast.fanout.batch import GroupBatch, pack
from groupcast.fanout.deadlines import deadlines
from groupcast.fanout.handover import save_failures
from groupcast.fanout.leftover import Leftover, from_body, outgoing
from groupcast.fanout.queue import Outgoing, failed, malformed
from groupcast.fanout.report import Rejected, Result
from groupcast.slots import ALL_SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from groupcast.fanout.engine import Engine
    from groupcast.fanout.queue import Queue
    from groupcast.fanout.report import Report
    from groupcast.tables.messages import Loaded, StoredMessages

# A leftover is tried so often, the waits between doubling from one second: about two minutes in all. A
# client that was away longer asks for its missed messages by `since`.
TRIES_MAX = 8
DELAY_MAX_S = 60


class Retries:
    """Delivers leftovers: to exactly the connections that each names, or to the members in its slots."""

    def __init__(
        self, engine: Engine, messages: StoredMessages, retries: Queue, failures: Queue, *, frame_bytes: int
    ) -> None:
        self._engine = engine
        self._messages = messages
        self._retries = retries
        self._failures = failures
        self._frame_bytes = frame_bytes

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Result:
        """Deliver a batch of the queue. `again` of the result are ids of queue messages.

        Those are left to the queue's redrive policy: they could not be finished, and no queue took the rest.
        """
        bounds = deadlines(asyncio.get_running_loop().time(), remaining_s)
        retries, outcome = _read(records)
        loaded = await self._messages.load(
            {one for retry in retries for one in retry.leftover.message_ids}, bounds.stop_at
        )
        readable, unreadable = _by_readability(retries, loaded)
        for retry in readable:
            if retry.leftover.refusals:
                self._engine.recall(retry.leftover.connection_ids, retry.leftover.refusals)
        batches = [batch for retry in readable if (batch := self._batch(retry, loaded)) is not None]
        report = await self._engine.deliver(batches, bounds.stop_at)
        for retry in unreadable:
            outcome.failed_once_more(retry)
        _sort_out(readable, report, outcome)
        untaken = await self._put(outcome, bounds.give_up_at)
        return Result(report, tuple(outcome.rejected), tuple(dict.fromkeys(untaken)))

    def _batch(self, retry: _Retry, loaded: Loaded) -> GroupBatch | None:
        """A leftover's messages as a batch, without those that have expired; None where none is left."""
        leftover = retry.leftover
        found = [loaded.messages[one] for one in leftover.message_ids if one in loaded.messages]
        messages = sorted(
            (message for message in found if message.group_id == leftover.group_id),
            key=lambda message: message.seq,
        )
        if not messages or not (leftover.connection_ids or leftover.slots):
            return None
        return GroupBatch(
            leftover.group_id,
            tuple(pack(leftover.group_id, messages, self._frame_bytes)),
            len(messages),
            (retry.item_identifier,),
            leftover.connection_ids if leftover.slots is None else None,
            leftover.slots or ALL_SLOTS,
            told_gone=leftover.told_gone,
        )

    async def _put(self, outcome: _Outcome, give_up_at: float) -> list[str]:
        """Send everything that is not done; return the identifiers of items that no queue took."""
        taken = await self._retries.send([message for _, message in outcome.back], give_up_at)
        untaken = [one for (one, _), ok in zip(outcome.back, taken, strict=True) if not ok]
        return untaken + await save_failures(self._failures, outcome.failed, give_up_at)


@dataclass(frozen=True, slots=True)
class _Retry:
    """A leftover, and the queue's id of the message that it came in."""

    item_identifier: str
    leftover: Leftover


class _Outcome:
    """Messages for each queue, each with the identifier of the message that it came in."""

    def __init__(self) -> None:
        self.back: list[tuple[str, Outgoing]] = []
        self.failed: list[tuple[str, Outgoing]] = []
        self.rejected: list[Rejected] = []

    def goes_on(self, retry: _Retry) -> None:
        """Put the rest of a retry back that got somewhere: no try is lost, since the rest is smaller."""
        self.back.append((retry.item_identifier, outgoing(retry.leftover)))

    def failed_once_more(self, retry: _Retry) -> None:
        """Put a retry back for later, or give it up."""
        leftover = replace(retry.leftover, tries=retry.leftover.tries + 1)
        if leftover.tries < TRIES_MAX:
            delay_s = min(2 ** (leftover.tries - 1), DELAY_MAX_S)
            self.back.append((retry.item_identifier, outgoing(leftover, delay_s)))
        else:
            reason = f"not delivered in {TRIES_MAX} tries"
            # Redriven, it is tried as if it were new.
            message = failed(outgoing(replace(leftover, tries=0)), reason, retry.item_identifier)
            self.reject(retry.item_identifier, reason, message)

    def reject(self, item_identifier: str, reason: str, message: Outgoing) -> None:
        self.failed.append((item_identifier, message))
        self.rejected.append(Rejected(item_identifier, reason))


def _read(records: Iterable[Mapping[str, Any]]) -> tuple[list[_Retry], _Outcome]:
    retries, outcome = [], _Outcome()
    for record in records:
        try:
            retries.append(_Retry(record["messageId"], from_body(record["body"])))
        except ValueError as error:
            identifier, reason = record["messageId"], f"{type(error).__name__}: {error}"
            outcome.reject(identifier, reason, malformed(record["body"], reason, identifier))
    return retries, outcome


def _by_readability(retries: Iterable[_Retry], loaded: Loaded) -> tuple[list[_Retry], list[_Retry]]:
    """Retries whose messages were all looked up, and those with a message that could not be read."""
    readable: list[_Retry] = []
    unreadable: list[_Retry] = []
    for retry in retries:
        unread = not loaded.unread.isdisjoint(retry.leftover.message_ids)
        (unreadable if unread else readable).append(retry)
    return readable, unreadable


def _sort_out(retries: Iterable[_Retry], report: Report, outcome: _Outcome) -> None:
    """Put back the unfinished part of each retry, with the tries that it had before."""
    by_identifier = {retry.item_identifier: retry for retry in retries}
    for group in report.groups:
        (identifier,) = group.item_identifiers
        before = by_identifier[identifier].leftover
        for left in (*group.leftovers, *group.unread):
            rest = _Retry(identifier, replace(left, tries=before.tries))
            # The second post to one that was called gone is no further try: it ends with that.
            just_gone = left.told_gone and not before.told_gone
            if just_gone or (group.cut_short and group.moved and not group.error):
                outcome.goes_on(rest)
            else:
                outcome.failed_once_more(rest)
