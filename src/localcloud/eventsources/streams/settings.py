"""How streams are read and retried: every wait and every store with its bound."""

from __future__ import annotations

from dataclasses import dataclass

# AWS: Lambda polls each shard four times a second.
POLL_INTERVAL_S = 0.25
# AWS: GetRecords returns at most 1,000 records, or 1 MB.
PAGE_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """`read_ahead_*` bound what of one shard is read and not yet delivered (bytes: by up to one page over).

    Retries wait `retry_min_s`, doubling up to `retry_max_s`, each time anything between half and all of it.
    `close_timeout_s` is what running invocations get to end, `shard_refresh_s` how often new shards are
    looked for besides when one ends.
    """

    poll_interval_s: float = POLL_INTERVAL_S
    read_ahead_records: int = 20_000
    read_ahead_bytes: int = 64 * 1024 * 1024
    retry_min_s: float = 0.1
    retry_max_s: float = 10.0
    shard_refresh_s: float = 10.0
    close_timeout_s: float = 5.0
    destination_attempts: int = 5
