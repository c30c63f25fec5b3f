"""Standing in line for what the service limits."""

from __future__ import annotations

import asyncio

import pytest

from groupcast_client.errors import ServerError
from groupcast_client.patience import Patience

AN_HOUR_S = 3_600.0


async def test_whose_time_ends_in_the_line_is_told_of_the_limit() -> None:
    """A call that never had its turn was not even sent: RateLimited says so, in an error of its own."""
    patience = Patience()
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

    holding = asyncio.create_task(patience.call(first, clock.time() + AN_HOUR_S))
    await in_line.wait()
    with pytest.raises(ServerError, match="RateLimited") as caught:
        await patience.call(second, clock.time() + 0.01)
    assert (caught.value is limited, caught.value.retry_after_ms) == (False, 1)
    free.set()
    assert await holding == "done"
    assert sent == ["first", "first"]
    # The one that went away does not hold up the line.
    assert await patience.call(second, clock.time() + AN_HOUR_S) == "done"
