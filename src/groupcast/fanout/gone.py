"""What becomes of connections that API Gateway calls gone (410)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast.fanout.group import GroupFanout
    from groupcast.fanout.ports import Activity, Members

# A connection that was called gone, but was active of late, waits for so long in RetryQueue: by then API
# Gateway knows a new connection, and $disconnect has removed one that is gone.
GONE_DELAY_S = 2
# The group's lane waits for the look at who was active.
ACTIVITY_TIMEOUT_S = 1.0


async def judge_gone(group: GroupFanout, members: Members, activity: Activity | None) -> None:
    """Remove the connections of a group that were called gone; those active of late get one more try.

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
            members.discard(connection_id, group.batch.group_id)


async def _recent(connection_ids: Sequence[str], activity: Activity) -> set[str]:
    """Those active of late; all of them where that is not known in time."""
    try:
        async with asyncio.timeout(ACTIVITY_TIMEOUT_S):
            return await activity.recent(connection_ids)
    except Exception:  # noqa: BLE001 - whatever is in the way, no group must fail for those who left it
        return set(connection_ids)
