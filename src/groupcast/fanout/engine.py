"""From batches of frames to posts: every connection of every frame ends in one outcome."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from groupcast.fanout.closing import close_all
from groupcast.fanout.pace import Limits, Pace
from groupcast.fanout.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from groupcast.fanout.batch import GroupBatch
    from groupcast.fanout.ports import Members, Poster
    from groupcast.fanout.report import Report

# The next batch of the shard waits meanwhile; whoever is left is found again with the group's next message.
CLOSING_S = 0.5
# After `stop_at`, removals of connections are waited for no longer than this.
FLUSH_S = 7.0


class Engine:
    """Delivers batches of frames to groups. One call of `deliver` at a time."""

    def __init__(self, members: Members, poster: Poster, limits: Limits, random: Callable[[], float]) -> None:
        self._members = members
        self._poster = poster
        self._limits = limits
        self._random = random
        # Kept from one invocation to the next: what it has learnt of the account holds on.
        self._pace = Pace(limits)

    async def deliver(self, groups: Sequence[GroupBatch], stop_at: float) -> Report:
        """Post every frame to every member and return what became of each.

        `stop_at` is a loop time in seconds: after it nothing new is sent. What is not done then, or would
        only hold the rest, is reported as leftovers of its group. Never raises for what a connection or the
        network does; a failure to read members leaves its group `unread`.
        """
        run = Run(self._poster, self._members, self._pace, self._limits, self._random, stop_at)
        report = await run.all_groups(groups)
        expired = self._members.take_expired()
        report.expired = len(expired)
        until = min(stop_at, asyncio.get_running_loop().time() + CLOSING_S)
        report.closed = await close_all([*report.slow, *expired], self._poster, self._members, until)
        # Connections that are not removed in time are found gone again by the next message.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(stop_at + FLUSH_S):
                await self._members.flush()
        report.check()
        return report
