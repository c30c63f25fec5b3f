"""The queue of rate-limited calls."""

from __future__ import annotations

import asyncio
from itertools import repeat

import pytest

from groupcast_client.errors import ServerError
from groupcast_client.ratelimit import RateLimitRetry, retried

AN_HOUR_S = 3_600.0


async def test_a_call_that_times_out_in_the_queue_gets_rate_limited() -> None:
    """It was never sent, and gets an error of its own."""
    retry = RateLimitRetry()
    clock = asyncio.get_running_loop()
    limited = ServerError("RateLimited", "too many", "r-1", retry_after_ms=1)
    in_line, free = asyncio.Event(), asyncio.Event()
    sent: list[str] = []

    async def first() -> str:
        sent.append("first")
        if len(sent) == 1:
            raise limited
        in_line.set()
        await free.wait()
        return "done"

    async def second() -> str:
        sent.append("second")
        return "done"

    holding = asyncio.create_task(retry.call(first, repeat(0.0), clock.time() + AN_HOUR_S))
    await in_line.wait()
    with pytest.raises(ServerError, match="RateLimited") as caught:
        await retry.call(second, repeat(0.0), clock.time() + 0.01)
    assert (caught.value is limited, caught.value.retry_after_ms) == (False, 1)
    free.set()
    assert await holding == "done"
    assert sent == ["first", "first"]
    # A cancelled call does not block the queue.
    assert await retry.call(second, repeat(0.0), clock.time() + AN_HOUR_S) == "done"


@pytest.mark.parametrize("after_ms", [5, None])
async def test_a_limit_without_a_time_is_waited_for_with_backoff(after_ms: int | None) -> None:
    """The service's delay is used if given, otherwise the next backoff delay."""
    clock = asyncio.get_running_loop()
    delays = iter([0.005, 0.005])
    refusals = [ServerError("RateLimited", "too many", retry_after_ms=after_ms)] * 2

    async def attempt() -> str:
        if refusals:
            raise refusals.pop()
        return "done"

    started_at = clock.time()
    assert await retried(attempt, delays, clock.time() + AN_HOUR_S) == "done"
    assert clock.time() - started_at >= 0.01
    assert len(list(delays)) == (2 if after_ms else 0)


async def test_a_limit_beyond_the_deadline_is_raised_at_once() -> None:
    """No call waits for an attempt that would come too late."""
    clock = asyncio.get_running_loop()

    async def attempt() -> str:
        raise ServerError("RateLimited", "too many", retry_after_ms=3_600_000)

    async with asyncio.timeout(1):
        with pytest.raises(ServerError, match="too many"):
            await retried(attempt, repeat(0.0), clock.time() + 10)
