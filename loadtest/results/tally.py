"""The counts and latencies of one worker process, which merge.py combines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The number of users who joined, and of those who failed, by reason."""

    joined: int
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """The counts of one worker so far. `ledger` has the names of LedgerTotals; deliveries missing for longer
    than the drain are lost. `histograms` are Histogram.to_dict() of all latencies, by metric.
    """

    users: int
    lag_ms_max: float
    ledger: dict[str, int]
    histograms: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerSecond:
    """One second of one worker, counted from the end of the warm-up (before it: negative)."""

    second: int
    users: int
    lag_us_max: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Tally:
    """The measurements of one worker. Histograms are Histogram.to_dict(), `rows` are ledger.Row by message
    number, `delivery` is (second, histogram); `sent` and `acknowledged` are message numbers.
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
    seconds: tuple[WorkerSecond, ...]
    arrivals: Arrivals
    dropped: int
    late_sends: int
    late_us_max: int
    record_ns: int
