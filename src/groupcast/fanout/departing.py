"""How connections leave: gone (410), expired, or closed because they read too slowly."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from groupcast.aws.management import Outcome
from groupcast.fanout.report import Closed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groupcast.fanout.group import GroupFanout
    from groupcast.fanout.ports import Activity, Poster, Removals

# A connection that was called gone, but was active of late, waits for so long in RetryQueue: by then API
# Gateway knows a new connection, and $disconnect has removed one that is gone.
GONE_DELAY_S = 2
# The group's lane waits for the look at recent activity.
ACTIVITY_TIMEOUT_S = 1.0
# Less than the window of posts, over whose connections they go.
CLOSINGS_AT_ONCE = 64


async def judge_gone(group: GroupFanout, removals: Removals, activity: Activity | None) -> None:
    """Remove a group's connections that were called gone; those active of late get one more try.

    API Gateway answers 410 for open connections, too: for new ones, and now and then for any.
    """
    again: set[str] = set()
    if group.gone and activity is not None and not group.batch.told_gone:
        again = await _recent([connection_id for connection_id, _ in group.gone], activity)
    for connection_id, index in group.gone:
        if connection_id in again:
            group.hand_off(index, [connection_id], GONE_DELAY_S, told_gone=True)
        else:
            group.report.gone += group.left(index)
            removals.discard(connection_id, group.batch.group_id)


async def close_all(
    connections: Mapping[str, str], poster: Poster, removals: Removals, until: float
) -> Closed:
    """Disconnect clients and remove their connections, given with the groups that they were found in.

    `until` is a loop time in seconds. Connections not reached by then stay open, and are found again with
    the group's next message.
    """
    waiting = deque(connections.items())
    closed = Closed()

    async def work() -> None:
        while waiting:
            connection_id, group_id = waiting.popleft()
            result = await poster.delete(connection_id)
            if result.outcome in (Outcome.ACCEPTED, Outcome.GONE):
                removals.discard(connection_id, group_id)
                closed.connection_ids.append(connection_id)
            else:
                closed.refusals[result.reason] += 1

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await asyncio.gather(*(work() for _ in range(min(CLOSINGS_AT_ONCE, len(waiting)))))
    return closed


async def _recent(connection_ids: Sequence[str], activity: Activity) -> set[str]:
    """Those active of late; all of them where that is not known in time."""
    try:
        async with asyncio.timeout(ACTIVITY_TIMEOUT_S):
            return await activity.recent(connection_ids)
    except Exception:  # noqa: BLE001 - a failed look must not fail the group
        return set(connection_ids)
