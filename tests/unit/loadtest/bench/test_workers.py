"""Workers sharing one budget, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from groupcast.aws.errors import ServiceError
from groupcast.tables.quotas import QuotasTable
from loadtest.bench import workers
from loadtest.bench.account import QuotasItem
from loadtest.bench.virtualtime import VirtualLoop
from loadtest.bench.workers import Shares, jain, share_out
from localcloud.gateway.quota import AccountQuota


@pytest.mark.parametrize(
    ("shares", "index"), [([3, 3, 3], 1.0), ([1, 0, 0, 0], 0.25), ([2, 1], 0.9), ([0], 0.0)]
)
def test_jains_index(shares: list[int], index: float) -> None:
    """1 for equal shares, 1/n if one has everything."""
    assert jain(shares) == pytest.approx(index)


def test_shares() -> None:
    """Accepted posts relative to the budget, refusals relative to all requests."""
    posts = int(workers.RATE.per_second * workers.MEASURED_S)
    shares = Shares((posts // 2, posts // 4), requests=200, refused=1)
    assert shares.used == pytest.approx(0.75)
    assert shares.refused_percent == 0.5


def test_two_workers_use_the_budget_and_share_it() -> None:
    """The row's own measurement, with the real engine and bookings."""
    shares = share_out(2, seed=5)
    # A chunk booked before the measured period may be posted in it.
    assert 0.9 < shares.used < 1.01
    assert shares.fairness > 0.95
    assert shares.refused == 0
    assert shares.requests > sum(shares.posts)


def test_a_quota_below_the_budget_shows_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the account refuses is counted, or the row would say nothing."""
    monkeypatch.setattr(workers, "QUOTA", AccountQuota(6_000, 100))
    shares = share_out(2, seed=5)
    assert shares.refused_percent > 1
    assert shares.used < 0.9


def test_the_item_behaves_like_dynamodbs() -> None:
    """The first booking begins at the floor, the next one at its end; both use the table's own code."""

    async def book() -> list[int]:
        item = QuotasItem(random.Random(1))
        one, other = QuotasTable(item, "q"), QuotasTable(item, "q")
        return [await one.book(10, 100), await other.book(5, 90), await one.book(7, 400)]

    async def unchanged() -> None:
        item = QuotasItem(random.Random(1))
        go_on = {"ExpressionAttributeValues": {":floor": {"N": "1"}, ":take": {"N": "1"}}}
        await item.call("UpdateItem", {"ConditionExpression": "freeAtUs >= :floor", **go_on})

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(book()) == [100, 110, 400]
        with pytest.raises(ServiceError):
            runner.run(unchanged())
