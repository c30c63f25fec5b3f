"""Ends connections that may not stay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from groupcast.aws.management import Outcome
from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast.fanout.ports import Members, Poster

# Beside 10,000 posts a second that an account may make, closing is in no hurry.
CLOSINGS_AT_ONCE = 16


async def close_all(connection_ids: Sequence[str], poster: Poster, members: Members, until: float) -> int:
    """Disconnect these clients and forget them; return how many were.

    `until` is a loop time in seconds. Who is not reached by then stays, and is found again with the group's
    next message.
    """
    waiting = list(connection_ids)
    closed = 0

    async def work() -> None:
        nonlocal closed
        while waiting:
            connection_id = waiting.pop()
            try:
                result = await poster.delete(connection_id)
            except GroupcastError:
                continue
            if result.outcome in (Outcome.ACCEPTED, Outcome.GONE):
                members.discard(connection_id)
                closed += 1

    try:
        async with asyncio.timeout_at(until):
            await asyncio.gather(*(work() for _ in range(min(CLOSINGS_AT_ONCE, len(waiting)))))
    except TimeoutError:
        pass
    return closed
