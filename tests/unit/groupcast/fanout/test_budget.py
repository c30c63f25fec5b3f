"""The budget with a fake table and a virtual clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupcast.aws.errors import ServiceError
from groupcast.fanout.budget import (
    CLOCK_SKEW_S,
    DEBT_POSTS,
    PAUSE_S,
    US_PER_S,
    Meter,
    Rate,
    SharedBudget,
    Unlimited,
)
from groupcast.tables.quotas import QuotasTable
from loadtest.bench.account import QuotasItem
from loadtest.bench.virtualtime import VirtualLoop

EPOCH_US = 1_795_368_000_000_000
FOREVER = 1e9


class FakeQuotas(QuotasItem):
    """UpdateItem on one number, applied atomically, with random latency in both directions."""

    def __init__(self, dice: random.Random, trip_s: float = 0.005) -> None:
        super().__init__(dice, (0, trip_s))
        self.calls = 0
        self.broken = False

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        self.calls += 1
        if self.broken:
            raise ServiceError(operation, 500, "InternalServerError", "as told", passing=True)
        return await super().call(operation, payload)


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


def budget(table: FakeQuotas, rate: Rate, skew_s: float = 0.0) -> SharedBudget:
    loop = asyncio.get_running_loop()
    return SharedBudget(
        rate,
        QuotasTable(table, "t"),
        now_us=lambda: EPOCH_US + int((loop.time() + skew_s) * US_PER_S),
        loop_time=loop.time,
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    workers=st.integers(1, 8),
    per_second=st.sampled_from([20, 400, 1_400, 7_000]),
    burst_s=st.sampled_from([0.25, 0.5, 1.0]),
    trip_s=st.sampled_from([0.001, 0.02, 0.1]),
)
def test_no_second_has_more_than_rate_and_burst(
    seed: int, workers: int, per_second: int, burst_s: float, trip_s: float
) -> None:
    """For any interleaving, pauses, table latency and clock skew of the workers."""
    rate = Rate(per_second, int(per_second * burst_s))
    dice = random.Random(seed)
    posted: list[tuple[float, int]] = []

    async def work(table: FakeQuotas, skew_s: float) -> None:
        loop = asyncio.get_running_loop()
        shared = budget(table, rate, skew_s)
        meter = Meter(shared, FOREVER)
        for _ in range(60):
            if dice.random() < 0.2:
                await asyncio.sleep(dice.uniform(0, 2.0))
            # A small pass, or a part of a large one; both book their posts.
            last = dice.random() < 0.5
            posts = dice.randint(1, rate.chunk_posts) if last else rate.chunk_posts
            assert await meter.take(posts, 0 if last else rate.chunk_posts)
            posted.append((loop.time(), posts))
            if last:
                await meter.close()
                meter = Meter(shared, FOREVER)
        await meter.close()

    async def main() -> None:
        table = FakeQuotas(dice, trip_s)
        skews = [dice.uniform(-CLOCK_SKEW_S, CLOCK_SKEW_S) / 2 for _ in range(workers)]
        await asyncio.gather(*(work(table, skew_s) for skew_s in skews))

    run(main())
    posted.sort()
    for number, (begin, _) in enumerate(posted):
        within = sum(posts for at, posts in posted[number:] if at < begin + 1.0)
        assert within <= per_second + rate.burst


def test_one_worker_gets_the_whole_rate() -> None:
    """It books the next chunk while posting this one, so no time is lost."""
    rate = Rate(1_400, 700)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        meter = Meter(budget(FakeQuotas(random.Random(1)), rate), FOREVER)
        for _ in range(400):
            await meter.take(rate.chunk_posts, rate.chunk_posts)
        seconds = 400 * rate.chunk_posts / rate.per_second
        assert seconds * 0.95 < loop.time() < seconds * 1.02
        assert meter.waited_s == pytest.approx(loop.time())

    run(main())


def test_only_needed_posts_are_booked() -> None:
    """A pass of 205 posts books 205, whatever the chunk size."""
    rate = Rate(1_400, 700)

    async def main() -> None:
        table = FakeQuotas(random.Random(2))
        meter = Meter(budget(table, rate), FOREVER)
        left = 205
        while left:
            posts = min(left, 70)
            left -= posts
            await meter.take(posts, left)
        await meter.close()
        assert meter.booked == 205
        assert table.free_at_us is not None

    run(main())


def test_a_delivery_of_many_frames_takes_several_chunks() -> None:
    """Posts to one connection may exceed a chunk."""

    async def main() -> None:
        meter = Meter(budget(FakeQuotas(random.Random(3)), Rate(20, 10)), FOREVER)
        assert await meter.take(7, 0)
        assert meter.booked == 7

    run(main())


def test_a_late_booking_does_not_outlast_the_pass() -> None:
    """The pass ends in time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        table = FakeQuotas(random.Random(4))
        table.free_at_us = EPOCH_US + 600 * US_PER_S
        meter = Meter(budget(table, Rate(100, 50)), stop_at=3.0)
        assert not await meter.take(5, 0)
        assert loop.time() == pytest.approx(3.0)

    run(main())


def test_debts_of_small_groups_are_booked_together() -> None:
    """Many small groups cause few writes; a large group's next booking includes the debt."""

    async def main() -> None:
        table = FakeQuotas(random.Random(5), trip_s=0.0)
        shared = budget(table, Rate(1_000, 500))
        for _ in range(DEBT_POSTS // 10 - 1):
            shared.owe(10)
            await shared.settle()
        assert table.calls == 0
        shared.owe(10)
        await shared.settle()
        first = table.free_at_us
        assert (table.calls, first is not None) == (1, True)
        shared.owe(30)
        await shared.book(20)
        assert first is not None
        assert table.free_at_us == first + 50_000

    run(main())


def test_posts_continue_without_the_table() -> None:
    """An outage of DynamoDB costs a moment, not a second per chunk."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        table = FakeQuotas(random.Random(6))
        table.broken = True
        meter = Meter(budget(table, Rate(100, 50)), FOREVER)
        for _ in range(100):
            assert await meter.take(5, 5)
        await meter.close()
        assert (loop.time() < 1.0, table.calls) == (True, 1)
        await asyncio.sleep(PAUSE_S)
        table.broken = False
        for _ in range(100):
            assert await meter.take(5, 5)
        await meter.close()
        assert table.calls > 50

    run(main())


def test_without_a_budget_nobody_waits() -> None:
    """With postsPerSecond 0."""

    async def main() -> None:
        meter = Meter(Unlimited(), FOREVER)
        assert await meter.take(1_000_000, 0)
        assert meter.waited_s == 0.0

    run(main())


def test_after_a_failed_booking_posts_go_out_unbooked_for_five_seconds() -> None:
    """Then the table is asked again."""

    async def main() -> None:
        table = FakeQuotas(random.Random(1))
        shared = budget(table, Rate(1_000, 500))
        table.broken = True
        assert await shared.book(10) == 0.0
        table.broken, table.calls = False, 0
        await asyncio.sleep(4.9)
        assert (await shared.book(10), table.calls) == (0.0, 0)
        await asyncio.sleep(0.2)
        await shared.book(10)
        assert table.calls > 0

    run(main())
