"""The limits and waits of reading streams and retrying."""

from __future__ import annotations

from dataclasses import dataclass

# AWS: Lambda polls each shard four times a second.
POLL_INTERVAL_S = 0.25
# AWS: GetRecords returns at most 1,000 records, or 1 MB.
PAGE_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """`read_ahead_*` bound the undelivered records of one shard (one page may exceed the bytes).

    Retries wait `retry_min_s`, doubling up to `retry_max_s`, of which a random half to all is used.
    `close_timeout_s` is the time that running invocations get to end. New shards are looked for whenever one
    ends and every `shard_refresh_s`.
    """

    poll_interval_s: float = POLL_INTERVAL_S
    read_ahead_records: int = 20_000
    read_ahead_bytes: int = 64 * 1024 * 1024
    retry_min_s: float = 0.1
    retry_max_s: float = 10.0
    shard_refresh_s: float = 10.0
    close_timeout_s: float = 5.0
    destination_attempts: int = 5
