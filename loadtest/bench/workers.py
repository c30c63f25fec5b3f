"""Rows about the budget: many workers on one account, in virtual time.

Each worker has its own real engine, adaptive window and bookings, as in Lambda. The account is simulated
(account.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from groupcast.fanout.batch import Frame, GroupBatch
from groupcast.fanout.budget import CLOCK_SKEW_S, US_PER_S, Rate, SharedBudget
from groupcast.fanout.engine import Engine
from groupcast.fanout.limits import Limits
from groupcast.tables.quotas import QuotasTable
from loadtest.bench.account import NumberedMembers, QuotasItem, SlowPoster
from loadtest.bench.pairs import Row, row_of, worst_of
from loadtest.bench.virtualtime import VirtualLoop
from localcloud.gateway.quota import AccountQuota, Gate, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.bench.pairs import Bench

WORKERS = (1, 4, 16)
# AWS's quota, and the budget of serverless.yml.
QUOTA = AccountQuota(10_000, 5_000)
RATE = Rate(7_000, 3_500)
# Frames of clients: two thirds of the rate that the budget leaves.
FRAMES_PER_S = 2_000
FRAMES_EVERY_S = 0.01
# A worker posts to one group, whose size is between these.
MEMBERS = (2_000, 10_000)
STOP_AFTER_S = 20.0
# By then, the bursts of budget and quota are used up and the windows have grown.
WARMUP_S = 2.0
MEASURED_S = 18.0

USED_TARGET = 0.9
FAIR_TARGET = 0.95
REFUSED_TARGET_PERCENT = 1.0
_EPOCH_US = 1_795_368_000_000_000


@dataclass(frozen=True, slots=True)
class Shares:
    """Accepted posts of each worker, all requests (posts and frames), and refused ones, in MEASURED_S."""

    posts: tuple[int, ...]
    requests: int
    refused: int

    @property
    def used(self) -> float:
        """The used share of the budget."""
        return sum(self.posts) / (RATE.per_second * MEASURED_S)

    @property
    def fairness(self) -> float:
        return jain(self.posts)

    @property
    def refused_percent(self) -> float:
        return 100 * self.refused / max(self.requests, 1)


def budget(bench: Bench) -> list[Row]:
    """Take the worst number of workers of each run; runs differ in their random seed."""
    runs = []
    for number in range(bench.pairs):
        bench.say(f"workers on one budget: {number + 1} of {bench.pairs}")
        runs.append([share_out(workers, number) for workers in WORKERS])
    name = "1, 4 and 16 workers on one budget"
    used = [min(one.used for one in run) for run in runs]
    fair = [min(one.fairness for one in run) for run in runs]
    refused = [max(one.refused_percent for one in run) for run in runs]
    return [
        row_of(f"{name}: used", used, USED_TARGET, detail=_each(runs, lambda one: one.used)),
        row_of(
            f"{name}: Jain's index", fair, FAIR_TARGET, unit="", detail=_each(runs, lambda one: one.fairness)
        ),
        worst_of(f"{name}: requests refused", refused, REFUSED_TARGET_PERCENT, unit="%"),
    ]


def share_out(workers: int, seed: int) -> Shares:
    """Let workers post without pause, each to its own group."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_share_out(workers, random.Random(f"{workers} {seed}")))  # noqa: S311 - repeatable


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 where all are equal, 1/n where one has everything (DEC-TR-301, 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


async def _share_out(workers: int, dice: random.Random) -> Shares:
    loop = asyncio.get_running_loop()
    bucket = TokenBucket(QUOTA, loop.time())
    posts, frames = Gate(bucket, loop.time), Gate(bucket, loop.time)
    quotas = QuotasItem(dice)
    # Any two clocks differ by CLOCK_SKEW_S at most; the first and the last one by exactly that.
    skews_s = [CLOCK_SKEW_S * number / max(workers - 1, 1) for number in range(workers)]
    posters = [SlowPoster(posts, dice) for _ in skews_s]
    tasks = [loop.create_task(_send_frames(frames))]
    tasks += [
        loop.create_task(_work(poster, quotas, skew_s, dice))
        for poster, skew_s in zip(posters, skews_s, strict=True)
    ]
    await asyncio.sleep(WARMUP_S)
    before = [poster.counts.accepted for poster in posters]
    accepted, refused = _sums(posts, frames)
    await asyncio.sleep(MEASURED_S)
    after = [poster.counts.accepted for poster in posters]
    accepted_after, refused_after = _sums(posts, frames)
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            # Raises the error of a worker that failed before.
            await task
    return Shares(
        tuple(late - early for late, early in zip(after, before, strict=True)),
        accepted_after + refused_after - accepted - refused,
        refused_after - refused,
    )


async def _work(poster: SlowPoster, quotas: QuotasItem, skew_s: float, dice: random.Random) -> None:
    """Deliver one message after another, as a Lambda environment does."""
    loop = asyncio.get_running_loop()
    size = dice.randint(*MEMBERS)
    shared = SharedBudget(
        RATE,
        QuotasTable(quotas, "quotas"),
        now_us=lambda: _EPOCH_US + int((loop.time() + skew_s) * US_PER_S),
        loop_time=loop.time,
    )
    members = NumberedMembers(size, dice)
    engine = Engine(members, members, poster, Limits(), dice.random, shared)
    batch = GroupBatch("group", (Frame(b"message", ("message",), 0),), 1, ("item",), members=size)
    while True:
        await engine.deliver([batch], loop.time() + STOP_AFTER_S)


async def _send_frames(gate: Gate) -> None:
    while True:
        for _ in range(round(FRAMES_PER_S * FRAMES_EVERY_S)):
            gate.admit()
        await asyncio.sleep(FRAMES_EVERY_S)


def _sums(*gates: Gate) -> tuple[int, int]:
    return sum(gate.accepted for gate in gates), sum(gate.refused for gate in gates)


def _each(runs: Sequence[Sequence[Shares]], value: Callable[[Shares], float]) -> str:
    """The median over all runs, by number of workers."""
    values = (median(map(value, shares)) for shares in zip(*runs, strict=True))
    return ", ".join(f"{one:.3f} with {workers}" for one, workers in zip(values, WORKERS, strict=True))
