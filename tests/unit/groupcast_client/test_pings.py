"""Ping times of connections, on a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from math import inf

import pytest

from groupcast_client import Limits
from groupcast_client.pings import keep_pinging
from loadtest.bench.virtualtime import VirtualLoop

INTERVAL_S = Limits().ping_interval_s
# API Gateway's limit.
IDLE_S = 600.0
# serverless.yml: requestsPerSecond.
ROUTE_PER_SECOND = 2_000
MILLION = 1_000_000


def on_virtual_time(test: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.wait_for(test(), 100 * INTERVAL_S))


class Pinger:
    """A connection with the times of its pings and last push."""

    def __init__(self, rng: random.Random, *waits_s: float) -> None:
        self.pinged_at: list[float] = []
        self.pushed_at = -inf
        self._waits_s = list(waits_s)
        pinging = keep_pinging(self._ping, lambda: self.pushed_at, INTERVAL_S, rng)
        self._task = asyncio.create_task(pinging)

    def push(self) -> None:
        self.pushed_at = asyncio.get_running_loop().time()

    async def _ping(self) -> float:
        self.pinged_at.append(asyncio.get_running_loop().time())
        return self._waits_s.pop(0) if self._waits_s else 0.0


@pytest.mark.parametrize("pushed_at_s", [None, 1.0, INTERVAL_S * 1.5])
def test_a_million_quiet_members_fit_the_quota(pushed_at_s: float | None) -> None:
    """Even if all connect at once or a push reaches all: pings never exceed the quota."""
    members, slices = 6_000, 5

    async def run() -> None:
        dice = random.Random(5)
        pingers = [Pinger(dice) for _ in range(members)]
        if pushed_at_s is not None:
            await asyncio.sleep(pushed_at_s)
            for pinger in pingers:
                pinger.push()
        await asyncio.sleep(4 * INTERVAL_S)
        slice_s = INTERVAL_S / slices
        rates = Counter(int(at // slice_s) for pinger in pingers for at in pinger.pinged_at)
        busiest = max(rates.values()) / slice_s * MILLION / members
        # A sample of so few members deviates by some percent.
        assert busiest < 1.1 * ROUTE_PER_SECOND
        total = sum(rates.values()) / members / asyncio.get_running_loop().time()
        assert total * MILLION < ROUTE_PER_SECOND

    on_virtual_time(run)


@pytest.mark.parametrize("every_s", [7.0, 19.0, 60.0, 300.0, 550.0])
def test_no_connection_is_idle_for_too_long(every_s: float) -> None:
    """For any rate of pushes, with a minute to spare for late timers."""

    async def run() -> None:
        dice = random.Random(11)
        pingers, pushes = [Pinger(dice) for _ in range(50)], []
        for _ in range(int(6 * INTERVAL_S / every_s)):
            await asyncio.sleep(every_s)
            pushes.append(asyncio.get_running_loop().time())
            for pinger in pingers:
                pinger.push()
        await asyncio.sleep(2 * INTERVAL_S)
        for pinger in pingers:
            alive_at = sorted([0.0, *pushes, *pinger.pinged_at])
            assert max(later - sooner for sooner, later in itertools.pairwise(alive_at)) <= IDLE_S - 60

    on_virtual_time(run)


def test_a_busy_group_sends_no_pings() -> None:
    """Pushes have the pong's information."""

    async def run() -> None:
        pinger = Pinger(random.Random(2))
        for _ in range(int(5 * INTERVAL_S / 10)):
            await asyncio.sleep(10)
            pinger.push()
        # The first may be due before the first push.
        assert [at for at in pinger.pinged_at if at > 10] == []

    on_virtual_time(run)


def test_a_limited_ping_is_repeated_and_moves_no_other() -> None:
    """After the named delay, unless the next ping comes first."""

    async def run() -> None:
        pinger = Pinger(random.Random(3), 5.0, 0.0, INTERVAL_S)
        await asyncio.sleep(4 * INTERVAL_S)
        first, again, second, third, *_ = pinger.pinged_at
        assert again - first == pytest.approx(5.0)
        assert second - first == pytest.approx(INTERVAL_S)
        assert third - second == pytest.approx(INTERVAL_S)

    on_virtual_time(run)


def test_after_a_sleep_of_the_machine_it_pings_once() -> None:
    """At once, so that a dead connection is noticed; missed pings are not made up for."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        pinger = Pinger(random.Random(4))
        await asyncio.sleep(0)
        loop.jump(10 * INTERVAL_S)
        woke_at = loop.time()
        await asyncio.sleep(1.5 * INTERVAL_S)
        first, second = pinger.pinged_at[:2]
        assert first == pytest.approx(woke_at)
        assert second - first == pytest.approx(INTERVAL_S)

    on_virtual_time(run)
