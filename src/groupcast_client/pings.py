"""Schedules a connection's pings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

# Skip a ping after a push within this share of the interval (20 s by default): the next ping still comes
# before API Gateway's ten idle minutes are over.
RECENT_PUSH = 0.04


async def keep_pinging(
    ping: Callable[[], Awaitable[float]],
    pushed_at: Callable[[], float],
    interval_s: float,
    rng: random.Random,
) -> NoReturn:
    """Await `ping()` every `interval_s`, starting at a random time in the first interval.

    These times are fixed: members of a group reconnect together and get the same pushes, but must not ping
    together. After a recent push to every group (`pushed_at()` is the loop time of the oldest of these) a
    ping is unnecessary and skipped. `ping` returns the seconds until an extra ping, 0 for none. Raises the
    errors of `ping`.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + rng.uniform(0, interval_s)
    while True:
        await asyncio.sleep(due - loop.time())
        due = loop.time() + interval_s
        if loop.time() - pushed_at() < interval_s * RECENT_PUSH:
            continue
        wait_s = await ping()
        while 0 < wait_s < due - loop.time():
            await asyncio.sleep(wait_s)
            wait_s = await ping()
