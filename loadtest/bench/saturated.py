"""Rows about a group that needs more posts than the quota allows, so that frames must fill up.

The stream has as many lanes as that of a new table on AWS, which has four shards; DynamoDB Local's has one.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from loadtest.bench.clouds import LANES, STREAM, Measurement, cloud
from loadtest.bench.pairs import Row, row_of, worst_of
from loadtest.plan.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.bench.pairs import Bench

QUOTA = ("--account-quota", "2000", "--param", "postsPerSecond=1400", "--param", "postBurst=700")
# An environment for each lane of the stream.
AS_ON_AWS = ("--stream-shards", "4", "--environments", "8")
SCENARIO = Scenario(
    users=1_500, rate=4, connect_rate=200, duration_s=20, warmup_s=5, drain_s=60, arrival="poisson"
)
FAST_RATE = 20
PAIRS_MAX = 2

COMPLETE_TARGET = 0.5
POSTS_TARGET = 0.7
REFUSED_TARGET_PERCENT = 1.0
FAST_TARGET = 1.3


async def saturated(bench: Bench) -> list[Row]:
    """Use a new cloud for each measurement, so that no backlog affects the next one."""
    name = f"saturated: {SCENARIO.users:,} members, quota 2,000/s, budget 1,400/s"

    async def lanes(number: int) -> Measurement:
        return await _measure(LANES, replace(SCENARIO, seed=number + 1))

    async def stream(number: int) -> Measurement:
        return await _measure(STREAM, replace(SCENARIO, seed=number + 1))

    async def fast(number: int) -> Measurement:
        return await _measure(LANES, replace(SCENARIO, seed=number + 1, rate=FAST_RATE))

    return rows(name, await bench.rounds(name, lanes, stream, fast, at_most=PAIRS_MAX))


async def _measure(delivery: str, scenario: Scenario) -> Measurement:
    async with cloud("saturated", *QUOTA, *AS_ON_AWS, delivery=delivery) as one:
        return await one.measure(scenario)


def rows(name: str, rounds: Sequence[tuple[Measurement, ...]]) -> list[Row]:
    """Make the rows from rounds of (lanes, stream, lanes at FAST_RATE)."""
    lanes, stream, fast = zip(*rounds, strict=True)
    slow = f"{name}, {SCENARIO.rate:g} messages/s"
    return [
        row_of(
            f"{slow}: group_complete_ms p50, lanes against stream",
            [a.complete_p50_ms / b.complete_p50_ms for a, b in zip(lanes, stream, strict=True)],
            COMPLETE_TARGET,
            at_most=True,
            detail=_against(lanes, stream),
        ),
        row_of(
            f"{slow}: posts, lanes against stream",
            [a.posts / b.posts for a, b in zip(lanes, stream, strict=True)],
            POSTS_TARGET,
            at_most=True,
            detail=f"{median(a.posts for a in lanes):,.0f} against {median(b.posts for b in stream):,.0f}",
        ),
        worst_of(
            f"{slow}: inbound frames refused",
            [float(one.frames_refused) for one in lanes],
            0,
            unit="frames",
            detail=f"stream: {max(one.frames_refused for one in stream)}",
        ),
        worst_of(
            f"{slow}: posts refused",
            [100 * one.posts_refused_ratio for one in lanes],
            REFUSED_TARGET_PERCENT,
            unit="%",
            detail=f"stream: {100 * max(one.posts_refused_ratio for one in stream):.2f} %",
        ),
        row_of(
            f"{name}: group_complete_ms p50, lanes, {FAST_RATE} against {SCENARIO.rate:g} messages/s",
            [a.complete_p50_ms / b.complete_p50_ms for a, b in zip(fast, lanes, strict=True)],
            FAST_TARGET,
            at_most=True,
            detail=_against(fast, lanes),
        ),
    ]


def _against(ours: Sequence[Measurement], theirs: Sequence[Measurement]) -> str:
    mine, other = (median(one.complete_p50_ms for one in side) for side in (ours, theirs))
    return f"{mine:,.0f} against {other:,.0f} ms"
