"""The counts and latencies of one worker process, which merge.py combines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many users came in, and by reason how many did not."""

    joined: int
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """How far one worker is. `ledger` counts by the names of LedgerTotals, with as lost what has been due for
    longer than the drain; `histograms` are Histogram.to_dict() of all latencies so far, by metric.
    """

    users: int
    lag_ms_max: float
    ledger: dict[str, int]
    histograms: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SecondPart:
    """One second of one worker, counted from the end of the warm-up (before it: negative)."""

    second: int
    users: int
    lag_us_max: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Tally:
    """All that one worker found. Histograms are Histogram.to_dict(); `rows` are ledger.Row by message number;
    `delivery` is (second, histogram); `sent` and `acknowledged` are message numbers.
    """

    connect: dict[str, Any]
    ack: dict[str, Any]
    lag: dict[str, Any]
    delivery: tuple[tuple[int, Any], ...]
    rows: tuple[tuple[int, int, int, int, int], ...]
    sent: tuple[int, ...]
    acknowledged: tuple[int, ...]
    refused: int
    unsent: int
    seconds: tuple[SecondPart, ...]
    arrivals: Arrivals
    dropped: int
    late_sends: int
    late_us_max: int
    record_ns: int
