"""What goes into one invocation, and what follows from its outcome: decisions without I/O and clock.

The rules are those of the AWS Lambda Developer Guide, "Process DynamoDB records with Lambda", "Configuring
partial batch response" and "Retain discarded records".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from localcloud.eventsources.streams.records import StreamRecord
    from localcloud.service.model import StreamMapping

MAX_BATCH_BYTES = 6 * 1024 * 1024
# A stream keeps records for a day: unlimited retries end there.
RETENTION_S = 86_400
# DynamoDB Local rounds creation times down to the minute; nobody's record expires early for that.
CREATION_SLACK_S = 60
_ENVELOPE_BYTES = len('{"Records":[]}')


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one lane for one invocation: how often they were retried, and invoked with, so far."""

    records: tuple[StreamRecord, ...]
    retries: int = 0
    invocations: int = 0


@dataclass(frozen=True, slots=True)
class Next:
    """What follows from a failure: batches to invoke with, in this order, and one that is given up."""

    todo: tuple[Batch, ...] = ()
    given_up: Batch | None = None


def lane_of(record: StreamRecord, lanes: int) -> int:
    """Where a record goes: those of one item to one lane, which keeps their order."""
    return record.key_hash % lanes


def take(waiting: Collection[StreamRecord], mapping: StreamMapping, *, waited_s: float, ended: bool) -> int:
    """How many of the waiting records make a batch now; 0 while it is worth to wait for more.

    A batch is due when it is full by number or by bytes, when the window since its first record is over,
    and when no more records will come.
    """
    count, size_bytes = 0, _ENVELOPE_BYTES
    for record in islice(waiting, mapping.batch_size):
        # One of them is the comma. A single record is always taken: an item is far smaller than the limit.
        size_bytes += record.size_bytes + 1
        if count and size_bytes > MAX_BATCH_BYTES:
            return count
        count += 1
    due = count == mapping.batch_size or waited_s >= mapping.window_s or ended
    return count if due else 0


def split_expired(batch: Batch, mapping: StreamMapping, *, now_s: float) -> tuple[Batch | None, Batch | None]:
    """The batch without what is older than the mapping (or the stream) allows: expired, alive."""
    limit_s = RETENTION_S if mapping.max_record_age_s < 0 else mapping.max_record_age_s
    oldest_s = now_s - limit_s - CREATION_SLACK_S
    expired = tuple(record for record in batch.records if record.created_s < oldest_s)
    if not expired:
        return None, batch
    alive = tuple(record for record in batch.records if record.created_s >= oldest_s)
    return _part(batch, expired), _part(batch, alive) if alive else None


def count_delivered(batch: Batch, mapping: StreamMapping, response: Any) -> int:
    """How many of the batch's records, from the first, a function's answer lets pass.

    With ReportBatchItemFailures that is all before the lowest sequence number it names. An empty answer
    names none; one that names what is not in the batch, or is malformed, lets none pass.
    """
    everything = len(batch.records)
    if not mapping.report_item_failures or not response:
        return everything
    if not isinstance(response, dict):
        return 0
    failures = response.get("batchItemFailures")
    if failures is None or failures == []:
        return everything
    if not isinstance(failures, list):
        return 0
    places = {record.sequence_number: place for place, record in enumerate(batch.records)}
    named = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
    return min(places.get(name, 0) if isinstance(name, str) else 0 for name in named)


def after_failure(batch: Batch, mapping: StreamMapping, delivered: int) -> Next:
    """What to do with the records after the first `delivered` ones, which are done.

    With bisecting the batch is split where the function said, or else in two halves, which does not count
    as a retry; a single record cannot be split any more.
    """
    rest = batch.records[delivered:]
    invocations = batch.invocations + 1
    if mapping.bisect_on_error and (delivered or len(rest) > 1):
        middle = len(rest) if delivered else len(rest) // 2
        halves = [half for half in (rest[:middle], rest[middle:]) if half]
        return Next(todo=tuple(Batch(half, batch.retries, invocations) for half in halves))
    if 0 <= mapping.max_retries <= batch.retries:
        return Next(given_up=Batch(rest, batch.retries, invocations))
    return Next(todo=(Batch(rest, batch.retries + 1, invocations),))


def backoff_s(retry: int, *, min_s: float, max_s: float, chance: float) -> float:
    """How long to wait before the retry of this number (0, 1, …); `chance` is uniform in [0, 1)."""
    # The exponent is capped as well: 2.0 ** 1024 is an error.
    return min(max_s, min_s * 2.0 ** min(retry, 64)) * (0.5 + chance / 2)


def _part(batch: Batch, records: tuple[StreamRecord, ...]) -> Batch:
    return Batch(records, batch.retries, batch.invocations)
