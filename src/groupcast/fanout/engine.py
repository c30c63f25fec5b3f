"""From batches of frames to posts: every connection of every frame ends in one outcome."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from groupcast.fanout.budget import Unlimited
from groupcast.fanout.closing import close_all
from groupcast.fanout.run import Done, Run, World
from groupcast.fanout.window import AdaptiveWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from groupcast.fanout.batch import GroupBatch
    from groupcast.fanout.budget import Budget
    from groupcast.fanout.limits import Limits
    from groupcast.fanout.ports import Activity, Members, Poster
    from groupcast.fanout.report import GroupReport, Report

# The next batch of the shard waits meanwhile; connections still open are found again with the group's next
# message.
CLOSING_S = 0.5
# After `stop_at`, removals of connections are waited for no longer than this.
FLUSH_S = 7.0


class Engine:
    """Delivers batches of frames to groups. One call of `deliver` at a time."""

    def __init__(
        self,
        members: Members,
        poster: Poster,
        limits: Limits,
        random: Callable[[], float],
        budget: Budget | None = None,
        activity: Activity | None = None,
    ) -> None:
        """`activity` tells which connections may be open though they are called gone; without it none may."""
        # The window is kept from one invocation to the next: what it has learnt of the account holds on.
        window = AdaptiveWindow(limits)
        self._world = World(poster, members, activity, window, budget or Unlimited(), limits, random)

    def recall(self, connection_ids: Sequence[str], refusals: Sequence[int]) -> None:
        """Take over how many posts in a row to each connection were refused in an earlier invocation."""
        now = asyncio.get_running_loop().time()
        self._world.window.suspects.recall(connection_ids, refusals, now)

    async def deliver(
        self, groups: Sequence[GroupBatch], stop_at: float, on_done: Done | None = None
    ) -> Report:
        """Post every frame to every member and return what became of each.

        `stop_at` is a loop time in seconds: after it nothing new is sent. What is not done then, or would
        only hold the rest, is reported as leftovers of its group; members that were not read are `unread`.
        `on_done` gets each group's report as soon as it is complete, and whether the call goes on after it.
        Never raises for what a connection, the network or a table does.
        """
        world = self._world
        world.window.suspects.expire(asyncio.get_running_loop().time())
        report = await Run(world, stop_at, on_done or _ignore).all_groups(groups)
        until = min(stop_at, asyncio.get_running_loop().time() + CLOSING_S)
        closing = {one: group.group_id for one, group in report.slow.items()} | report.expired
        # A close takes a request of the account's quota as a post does.
        world.budget.owe(len(closing))
        report.closed, _ = await asyncio.gather(
            close_all(closing, world.poster, world.members, until),
            world.budget.settle(),
        )
        world.window.suspects.forget(report.closed.connection_ids)
        world.window.suspects.reprieve(report.slow)
        for connection_id in report.slow.keys() & report.closed.connection_ids:
            report.slow[connection_id].slow_closed += 1
        # Connections that are not removed in time are found gone again by the next message.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(stop_at + FLUSH_S):
                await world.members.flush()
        report.check()
        return report


async def _ignore(_report: GroupReport, _goes_on: bool) -> None:
    pass
