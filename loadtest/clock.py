"""Waiting for an instant of CLOCK_MONOTONIC, which all processes of a machine share."""

from __future__ import annotations

import asyncio
from time import monotonic_ns

NS = 1_000_000_000


async def until(instant_ns: int) -> None:
    """Return at `instant_ns`, or at once where it has passed.

    The event loop's timers are whole milliseconds, so it may be half of one late; then what the loop is
    busy with.
    """
    # No event could say this: it is the clock that is waited for.
    while (left_ns := instant_ns - monotonic_ns()) > 0:  # noqa: ASYNC110 - see above
        await asyncio.sleep(left_ns / NS)
