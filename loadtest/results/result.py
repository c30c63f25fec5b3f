"""The result of a run and its JSON (schema 2), which runs, reports and comparisons share.

Times are milliseconds unless a name says otherwise. None means too few samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from loadtest.plan.scenario import Scenario  # noqa: TC001 - msgspec resolves the annotation
from loadtest.results.histogram import PRECISION, SUB_BUCKET_BITS, UNIT, Histogram

SCHEMA = 2

PASS = "pass"  # noqa: S105 - a verdict, no password
THRESHOLD_FAILED = "threshold failed"
NOT_MEASURED = "not measured"
INTERRUPTED = "interrupted"
ERROR = "error"
EXIT_CODES = {PASS: 0, ERROR: 1, THRESHOLD_FAILED: 3, NOT_MEASURED: 4, INTERRUPTED: 130}

# Paths of a message to its fan-out: offered by its sender, offered by the stream, or without an offer.
EXPRESS = "express"
STREAM_OFFER = "stream offer"
STREAM = "stream"

_PERCENTS = (50, 90, 95, 99, 99.9)
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Target:
    """The server under load. `kind` is local or remote; `label` is its name in tables and comparisons."""

    url: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    python: str
    platform: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` is one of EXIT_CODES; `reasons` are sentences."""

    status: str
    exit_code: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ThresholdOutcome:
    """Too few samples give no `value`, and the threshold fails."""

    expression: str
    value: float | None
    held: bool


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """The buckets of a Histogram, ascending, so that those of several runs can be added up."""

    sub_bucket_bits: int
    unit: str
    counts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A distribution. `curve` is (percentile, ms), `precision` the relative error of its values."""

    count: int
    min: float | None
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p99_9: float | None
    max: float | None
    curve: tuple[tuple[float, float], ...]
    precision: float
    histogram: HistogramCounts

    @classmethod
    def of(cls, histogram: Histogram) -> Metric:
        p50, p90, p95, p99, p99_9 = map(rounded, histogram.percentiles(_PERCENTS))
        return cls(
            count=histogram.count,
            min=rounded(histogram.min_ms),
            mean=rounded(histogram.mean_ms),
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            p99_9=p99_9,
            max=rounded(histogram.max_ms),
            curve=tuple((percent, round(value, _DIGITS)) for percent, value in histogram.curve()),
            precision=round(PRECISION, _DIGITS),
            histogram=HistogramCounts(SUB_BUCKET_BITS, UNIT, tuple(sorted(histogram.counts.items()))),
        )


@dataclass(frozen=True, slots=True)
class Metrics:
    """Times since a connect or message was due. `connect_ms`: to the end of the handshake; `ack_ms`: to the
    ack; `delivery_ms`: to each receipt; `group_complete_ms`: to the last one, if all members received it.
    """

    connect_ms: Metric
    ack_ms: Metric
    delivery_ms: Metric
    group_complete_ms: Metric


@dataclass(frozen=True, slots=True)
class Part:
    """The time between two points of a path, one sample a message. The points:

    `accepted` the gateway had the frame; `stored` sendMessage had ended; `read` the stream returned the
    message; `offered` SQS took the offer; `received` fanoutMessage was called; `first_post` and `last_post`
    the gateway got the first and the last post; `delivered` the last receiver had the message.
    """

    begin: str
    end: str
    times: Metric


@dataclass(frozen=True, slots=True)
class DeliveryPath:
    """The time of messages on one path (EXPRESS, STREAM_OFFER or STREAM), by part."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Exact counts over all messages, the warm-up included.

    `expected`, `received`, `lost`, `duplicate` and `out_of_order` count deliveries to members that had joined
    when the message was due; `sent`, `acknowledged` and `refused` count messages.
    """

    expected: int
    received: int
    lost: int
    duplicate: int
    out_of_order: int
    sent: int
    acknowledged: int
    refused: int


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the stages. Counts and latencies belong to messages due in it; `users`, `loop_lag_ms_max`
    and `cpu` (the busiest process's share of a core) to the second itself.
    """

    t_s: int
    users: int
    sent: int
    expected: int
    delivered: int
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    loop_lag_ms_max: float
    cpu: float


@dataclass(frozen=True, slots=True)
class GroupRow:
    group: str
    members: int
    messages: int
    complete_ms_p50: float | None
    complete_ms_p99: float | None
    complete_ms_max: float | None


@dataclass(frozen=True, slots=True)
class Floor:
    """The latency of the harness itself: delivery by a server that only broadcasts."""

    p50: float | None
    p99: float | None
    messages: int


@dataclass(frozen=True, slots=True)
class Health:
    """Health of the harness. `cpu_max` is the busiest process's share of a core, `record_ns` the cost of
    recording one sample; `floor_ms` is None without calibration.
    """

    loop_lag_ms_p99: float | None
    loop_lag_ms_max: float
    cpu_max: float
    late_sends: int
    late_ms_max: float
    floor_ms: Floor | None
    record_ns: int


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run. `started_at` is ISO 8601 UTC; `command` is the command line after `python -m loadtest`.

    `where` is empty unless the target wrote a timeline, as only a local stack does.
    """

    started_at: str
    command: tuple[str, ...]
    target: Target
    machine: Machine
    scenario: Scenario
    verdict: Verdict
    thresholds: tuple[ThresholdOutcome, ...]
    metrics: Metrics
    where: tuple[DeliveryPath, ...]
    ledger: LedgerTotals
    series: tuple[Second, ...]
    groups: tuple[GroupRow, ...]
    health: Health
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Result:
        """Raises ValueError if `text` is not a result of this schema."""
        schema = msgspec.json.decode(text, type=_Schema).schema
        if schema != SCHEMA:
            raise ValueError(f"schema {schema} is not {SCHEMA}")
        return msgspec.json.decode(text, type=cls)


class _Schema(msgspec.Struct):
    schema: int


def rounded(value: float | None) -> float | None:
    """Round to a microsecond, the resolution of the clock."""
    return None if value is None else round(value, _DIGITS)
