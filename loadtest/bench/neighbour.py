"""A row about a small group beside a large one that uses the whole budget."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from loadtest.bench.clouds import LANES, Measurement, cloud, known, pooled
from loadtest.bench.pairs import NotMeasuredError, Row
from loadtest.plan.scenario import Scenario

if TYPE_CHECKING:
    from loadtest.bench.clouds import Cloud
    from loadtest.bench.pairs import Bench
    from loadtest.control.live import Snapshot

QUOTA = ("--account-quota", "2000", "--param", "postsPerSecond=1400", "--param", "postBurst=700")
LARGE = Scenario(users=5_000, rate=4, connect_rate=200, duration_s=120, warmup_s=2, drain_s=1)
# With so many messages in all pairs together, ten lie beyond their p99.
SMALL_MESSAGES = 1_050
SMALL = Scenario(users=10, rate=10, connect_rate=200, warmup_s=1, drain_s=10)
# By then, the large group's passes follow each other without a pause.
BUSY_AFTER_S = 6.0
PAIRS_MAX = 2
# The limit: the small group's time alone times FACTOR, plus MARGIN_MS.
FACTOR, MARGIN_MS = 1.5, 50.0


async def neighbour(bench: Bench) -> list[Row]:
    """Compare the p99 of all pairs together, since one pair has too few messages for it."""
    name = f"group of {SMALL.users} beside {LARGE.users:,} members with {LARGE.rate:g} messages/s"
    pairs = min(bench.pairs, PAIRS_MAX)
    duration_s = SMALL_MESSAGES / pairs / SMALL.rate
    scenario = replace(SMALL, duration_s=duration_s, stages=())
    async with cloud("neighbour", *QUOTA, delivery=LANES) as one:

        async def alone(number: int) -> Measurement:
            return await one.measure(replace(scenario, seed=number + 1))

        async def beside(number: int) -> Measurement:
            return await _beside(one, replace(scenario, seed=number + 1))

        rounds = await bench.rounds(name, alone, beside, at_most=pairs)
    quiet_ms, busy_ms = (_p99_ms(side) for side in zip(*rounds, strict=True))
    ratio = busy_ms / bound_ms(quiet_ms)
    detail = f"{busy_ms:.0f} against {quiet_ms:.0f} ms alone"
    bound = f"{FACTOR:g} times alone + {MARGIN_MS:g} ms"
    return [
        Row(
            f"{name}: group_complete_ms p99, against {bound}",
            ratio,
            ratio,
            ratio,
            pairs,
            1,
            True,
            detail=detail,
        )
    ]


def bound_ms(alone_ms: float) -> float:
    """The limit for the small group beside the large one."""
    return FACTOR * alone_ms + MARGIN_MS


class _Busy:
    """A View that sets `since` when a run has lasted BUSY_AFTER_S."""

    def __init__(self) -> None:
        self.since = asyncio.Event()

    def show(self, snapshot: Snapshot) -> None:
        if snapshot.at_s is not None and snapshot.at_s >= BUSY_AFTER_S:
            self.since.set()

    def close(self) -> None:
        # The run may have failed: end the wait.
        self.since.set()


async def _beside(one: Cloud, scenario: Scenario) -> Measurement:
    """Measure the small group while the large one is busy."""
    busy, stop = _Busy(), asyncio.Event()
    load = asyncio.create_task(one.measure(LARGE, live=busy, stop=stop))
    try:
        await busy.since.wait()
        if load.done():
            load.result()
        measurement = await one.measure(scenario)
        if load.done():
            raise NotMeasuredError("the large group's load ended before the small one's")
    finally:
        stop.set()
        await asyncio.wait([load])
    load.result()
    return measurement


def _p99_ms(side: tuple[Measurement, ...]) -> float:
    pool = pooled(one.result.metrics.group_complete_ms for one in side)
    return known(pool.percentile(99), "group_complete_ms p99")
