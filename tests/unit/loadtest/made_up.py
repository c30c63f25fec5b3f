"""Made-up results in all shapes and sizes that reports must handle."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from loadtest.plan.scenario import Scenario, Stage
from loadtest.results.histogram import Histogram
from loadtest.results.result import (
    EXIT_CODES,
    EXPRESS,
    STREAM_OFFER,
    DeliveryPath,
    Floor,
    GroupRow,
    Health,
    LedgerTotals,
    Machine,
    Metric,
    Metrics,
    Part,
    Result,
    Second,
    Target,
    ThresholdOutcome,
    Verdict,
    rounded,
)

# The median of each part of a delivery, in ms; senders offer most messages, the stream some.
FROM_RECEIPT_MS = (
    ("received", "first_post", 4.0),
    ("first_post", "last_post", 19.0),
    ("last_post", "delivered", 3.0),
)
WAYS_MS = {
    EXPRESS: (("accepted", "offered", 14.0), ("offered", "received", 8.0), *FROM_RECEIPT_MS),
    STREAM_OFFER: (
        ("accepted", "stored", 11.0),
        ("stored", "read", 62.0),
        ("read", "offered", 9.0),
        ("offered", "received", 8.0),
        *FROM_RECEIPT_MS,
    ),
}


def result(
    *,
    seconds: int = 30,
    members: tuple[int, ...] = (200,),
    rate: float = 10.0,
    lost: int = 0,
    status: str = "pass",
    reasons: tuple[str, ...] = (),
    label: str = "groupcast",
    scale: float = 1.0,
    timeline: bool = True,
    seed: int = 1,
) -> Result:
    """A run of `rate` messages/s in groups of so many members; `scale` multiplies its latencies."""
    dice = random.Random(seed)
    users = sum(members)
    whole = {name: Histogram() for name in ("connect", "ack", "delivery", "complete")}
    series = []
    for t_s in range(seconds):
        # A slow second in the middle, as after a garbage collection.
        slow = scale * (6 if t_s == seconds // 2 else 1)
        series.append(_second(dice, t_s, users, int(rate), slow, whole))
    # All losses are in one second.
    series[-2] = replace(series[-2], delivered=series[-2].delivered - lost)
    expected = sum(row.expected for row in series)
    stages = (Stage(seconds / 2, max(users // 2, 1)), Stage(seconds / 2, users))
    return Result(
        started_at="2026-01-01T12:00:00.000Z",
        command=("run", "-u", str(users), "--threshold", "delivery_ms:p(99)<250"),
        target=Target("ws://127.0.0.1:3001", "local", label),
        machine=Machine(2, "3.11.7", "linux"),
        scenario=Scenario(users=users, connect_rate=users, groups=len(members), rate=rate, stages=stages),
        verdict=Verdict(status, EXIT_CODES[status], reasons),
        thresholds=(
            ThresholdOutcome("delivery_ms:p(99)<250", rounded(whole["delivery"].percentile(99)), held=True),
            ThresholdOutcome("ledger:lost==0", float(lost), held=not lost),
        ),
        metrics=Metrics(*(Metric.of(one) for one in whole.values())),
        where=_where(dice, seconds * int(rate)) if timeline else (),
        ledger=LedgerTotals(
            expected, expected - lost, lost, 0, 3, seconds * int(rate), seconds * int(rate), 0
        ),
        series=tuple(series),
        groups=tuple(_group(dice, f"load-{n + 1}", size, scale) for n, size in enumerate(members)),
        health=Health(1.9, 6.2, 0.43, 2, 0.4, Floor(0.31, 0.9, 1000), 190),
    )


def changed(result: Result, changes: Mapping[str, object]) -> Result:
    """The result with other values at paths such as `a.b.0.c`."""
    values = msgspec.to_builtins(result)
    for path, value in changes.items():
        *parents, last = (int(name) if name.isdecimal() else name for name in path.split("."))
        place = values
        for name in parents:
            place = place[name]
        place[last] = value
    return msgspec.convert(values, Result)


def _second(
    dice: random.Random, t_s: int, users: int, sent: int, slow: float, whole: dict[str, Histogram]
) -> Second:
    now = Histogram()
    for _ in range(sent):
        whole["ack"].record(round(dice.lognormvariate(2.4, 0.3) * slow * 1000))
        start_ms = dice.uniform(0, 60) + 30
        slowest = 0
        # A sample of the members represents all: reports see only the result.
        for _ in range(min(users, 200)):
            delivery_us = round((start_ms + dice.lognormvariate(2, 0.7)) * slow * 1000)
            now.record(delivery_us)
            slowest = max(slowest, delivery_us)
        whole["complete"].record(slowest)
    whole["delivery"].merge(now)
    whole["connect"].record(round(dice.lognormvariate(3, 0.5) * 1000))
    p50, p90, p99 = map(rounded, now.percentiles((50, 90, 99)))
    lag, cpu = dice.uniform(0.2, 3) * slow, min(1.0, dice.uniform(0.3, 0.45) * slow)
    return Second(t_s, users, sent, sent * users, sent * users, p50, p90, p99, rounded(now.max_ms), lag, cpu)


def _where(dice: random.Random, messages: int) -> tuple[DeliveryPath, ...]:
    return tuple(
        DeliveryPath(name, tuple(Part(begin, end, _times(dice, messages, ms)) for begin, end, ms in parts))
        for name, parts in WAYS_MS.items()
    )


def _times(dice: random.Random, messages: int, median_ms: float) -> Metric:
    histogram = Histogram()
    for _ in range(messages):
        histogram.record(round(dice.lognormvariate(0, 0.5) * median_ms * 1000))
    return Metric.of(histogram)


def _group(dice: random.Random, name: str, members: int, scale: float) -> GroupRow:
    p50 = (40 + members / 40) * scale * dice.uniform(0.9, 1.1)
    return GroupRow(name, members, 60, round(p50, 3), round(p50 * 2.2, 3), round(p50 * 2.9, 3))
