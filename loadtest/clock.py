"""Units of time, and waiting for an instant of CLOCK_MONOTONIC, which all processes of a machine share."""

from __future__ import annotations

import asyncio
from time import monotonic_ns

NS_PER_S = 1_000_000_000
NS_PER_US = 1_000
US_PER_MS = 1_000


async def until(instant_ns: int) -> None:
    """Return at `instant_ns`, or at once if it has passed.

    The event loop's timers are whole milliseconds, so it may be half a millisecond late, and later while the
    loop is busy.
    """
    # No event can stand for a point in time, so this polls.
    while (left_ns := instant_ns - monotonic_ns()) > 0:  # noqa: ASYNC110 - see above
        await asyncio.sleep(left_ns / NS_PER_S)
