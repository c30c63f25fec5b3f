"""When a connection pings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

# After a push within this share of the interval (20 s by default) no ping: with it, API Gateway's ten idle
# minutes are not over before the next one.
RECENT_PUSH = 0.04


async def keep_pinging(
    ping: Callable[[], Awaitable[float]],
    pushed_at: Callable[[], float],
    interval_s: float,
    rng: random.Random,
) -> NoReturn:
    """Await `ping()` every `interval_s`, from a random time in the first interval on.

    Nothing moves these times: members of a group reconnect together and get the same pushes, and must not
    ping together afterwards. After a recent push, by the loop time `pushed_at()`, a ping would find nothing
    and is left out. `ping` returns the seconds after which it wants to be called once more, 0 for not at all.
    Raises as `ping` does.
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
