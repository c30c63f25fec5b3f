"""Rows about a quiet group: the shortest path of each delivery mode."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from loadtest.bench.clouds import LANES, STREAM, Measurement, cloud
from loadtest.bench.pairs import Row, row_of
from loadtest.experiments.calibration import calibrated_floor
from loadtest.plan.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from loadtest.bench.clouds import Cloud
    from loadtest.bench.pairs import Bench

SMALL, LARGE = 10, 1_000
# Limits for the ratio to stream's median.
COMPLETE_TARGETS = {SMALL: 0.35, LARGE: 0.6}
ACK_TARGET = 1.7
SCENARIO = Scenario(rate=2, connect_rate=200, duration_s=14, warmup_s=2, drain_s=10)
CALIBRATE_S = 4.0
# For the large group, which takes long to connect.
LARGE_PAIRS_MAX = 3


async def small(bench: Bench) -> list[Row]:
    return await _rows(bench, SMALL)


async def large(bench: Bench) -> list[Row]:
    return await _rows(bench, LARGE)


async def _rows(bench: Bench, members: int) -> list[Row]:
    name = f"quiet group of {members:,} members, lanes against stream"
    scenario = replace(SCENARIO, users=members, stages=())
    floor = await calibrated_floor(scenario, CALIBRATE_S)
    async with AsyncExitStack() as stack:
        # Both run all the time, so that a pair starts immediately; without load, a cloud only polls.
        clouds = [
            await stack.enter_async_context(cloud(f"quiet-{members}", delivery=delivery))
            for delivery in (LANES, STREAM)
        ]

        def measuring(one: Cloud) -> Callable[[int], Awaitable[Measurement]]:
            return lambda number: one.measure(replace(scenario, seed=number + 1), floor=floor)

        at_most = LARGE_PAIRS_MAX if members == LARGE else None
        pairs = await bench.rounds(name, *map(measuring, clouds), at_most=at_most)
    complete = [(lanes.complete_p50_ms, stream.complete_p50_ms) for lanes, stream in pairs]
    ack = [(lanes.ack_p50_ms, stream.ack_p50_ms) for lanes, stream in pairs]
    return [
        _row(f"{name}: group_complete_ms p50", complete, COMPLETE_TARGETS[members]),
        _row(f"{name}: ack_ms p50", ack, ACK_TARGET),
    ]


def _row(name: str, pairs: Sequence[tuple[float, float]], target: float) -> Row:
    mine, other = (median(side) for side in zip(*pairs, strict=True))
    detail = f"{mine:.0f} against {other:.0f} ms"
    return row_of(name, [lanes / stream for lanes, stream in pairs], target, at_most=True, detail=detail)
