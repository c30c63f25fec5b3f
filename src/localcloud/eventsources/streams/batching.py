"""Forms batches for invocations and decides about retries. Pure.

Rules: AWS Lambda Developer Guide, "Process DynamoDB records with Lambda", "Configuring partial batch
response" and "Retain discarded records".
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
# DynamoDB Local rounds creation times down to the minute; this allowance keeps records from expiring early.
CREATION_SLACK_S = 60
_ENVELOPE_BYTES = len('{"Records":[]}')


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one lane for one invocation, with their retries and invocations so far."""

    records: tuple[StreamRecord, ...]
    retries: int = 0
    invocations: int = 0


@dataclass(frozen=True, slots=True)
class Next:
    """The consequence of a failure: batches to invoke with, in order, and a batch to discard."""

    todo: tuple[Batch, ...] = ()
    given_up: Batch | None = None


def lane_of(record: StreamRecord, lanes: int) -> int:
    """The record's lane. All records of an item go to one lane, which keeps their order."""
    return record.key_hash % lanes


def take(waiting: Collection[StreamRecord], mapping: StreamMapping, *, waited_s: float, ended: bool) -> int:
    """The size of the batch that is due now; 0 if none is.

    A batch is due when it is full (records or bytes), when its batching window is over, or when no more
    records will come.
    """
    count, size_bytes = 0, _ENVELOPE_BYTES
    for record in islice(waiting, mapping.batch_size):
        # + 1 for the comma. A single record always fits: an item is far smaller than the limit.
        size_bytes += record.size_bytes + 1
        if count and size_bytes > MAX_BATCH_BYTES:
            return count
        count += 1
    due = count == mapping.batch_size or waited_s >= mapping.window_s or ended
    return count if due else 0


def split_expired(batch: Batch, mapping: StreamMapping, *, now_s: float) -> tuple[Batch | None, Batch | None]:
    """Split the batch by the mapping's (or stream's) age limit into (expired, alive)."""
    limit_s = RETENTION_S if mapping.max_record_age_s < 0 else mapping.max_record_age_s
    oldest_s = now_s - limit_s - CREATION_SLACK_S
    expired = tuple(record for record in batch.records if record.created_s < oldest_s)
    if not expired:
        return None, batch
    alive = tuple(record for record in batch.records if record.created_s >= oldest_s)
    return _part(batch, expired), _part(batch, alive) if alive else None


def count_delivered(batch: Batch, mapping: StreamMapping, response: Any) -> int:
    """The number of records, from the first, that the function's response acknowledges.

    With ReportBatchItemFailures these are all records before the lowest sequence number it names. An empty
    response acknowledges all; a malformed one, or one that names a record outside the batch, none.
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
    """Decide what to do with the records after the first `delivered` ones.

    With bisecting, the batch is split at the failure that the function named, or else in half. A split does
    not count as a retry. A single record is not split.
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
    """The delay before retry number `retry` (0, 1, …); `chance` is uniform in [0, 1)."""
    # Cap the exponent, too: 2.0 ** 1024 overflows.
    return min(max_s, min_s * 2.0 ** min(retry, 64)) * (0.5 + chance / 2)


def _part(batch: Batch, records: tuple[StreamRecord, ...]) -> Batch:
    return Batch(records, batch.retries, batch.invocations)
