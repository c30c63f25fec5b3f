"""Ends connections that may not stay, or read too slowly."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from groupcast.aws.management import Outcome
from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from groupcast.fanout.ports import Members, Poster

# Less than the window of posts, over whose connections they go.
CLOSINGS_AT_ONCE = 64


@dataclass(slots=True)
class Closed:
    """The connections that were closed, and how often a close failed for which reason."""

    connection_ids: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.connection_ids)


async def close_all(connections: Mapping[str, str], poster: Poster, members: Members, until: float) -> Closed:
    """Disconnect these clients and remove them; `connections` have the group that each was met in.

    `until` is a loop time in seconds. Connections not reached by then stay open, and are found again with
    the group's next message.
    """
    waiting = deque(connections.items())
    closed = Closed()

    async def work() -> None:
        while waiting:
            connection_id, group_id = waiting.popleft()
            try:
                result = await poster.delete(connection_id)
            except GroupcastError as error:
                closed.refusals[type(error).__name__] += 1
                continue
            if result.outcome in (Outcome.ACCEPTED, Outcome.GONE):
                members.discard(connection_id, group_id)
                closed.connection_ids.append(connection_id)
            else:
                closed.refusals[result.reason] += 1

    try:
        async with asyncio.timeout_at(until):
            await asyncio.gather(*(work() for _ in range(min(CLOSINGS_AT_ONCE, len(waiting)))))
    except TimeoutError:
        pass
    return closed
