"""From batches of frames to posts: every connection of every frame ends in one outcome."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from groupcast.fanout.budget import SMALL_MEMBERS, Meter, Unlimited
from groupcast.fanout.departing import close_all, judge_gone
from groupcast.fanout.group import GroupFanout
from groupcast.fanout.ports import World
from groupcast.fanout.posting import Posting
from groupcast.fanout.report import Report
from groupcast.fanout.window import AdaptiveWindow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from groupcast.fanout.batch import GroupBatch
    from groupcast.fanout.budget import Budget
    from groupcast.fanout.limits import Limits
    from groupcast.fanout.ports import Activity, Members, Poster, Removals
    from groupcast.fanout.report import GroupReport
    from groupcast.tables.members import Page

# Groups whose members are read at once: all that a batch of DeliveryQueue can have, so that a small one
# does not wait behind the pages of a large one.
GROUPS_AT_ONCE = 10
# A read that still hangs so long after `stop_at` is given up.
READ_MARGIN_S = 1.0
# The next batch of the shard waits meanwhile; connections still open are found again with the group's next
# message.
CLOSING_S = 0.5
# After `stop_at`, removals of connections are waited for no longer than this.
FLUSH_S = 7.0

Done = Callable[["GroupReport", bool], Awaitable[None]]


class Engine:
    """Delivers batches of frames to groups. One call of `deliver` at a time."""

    def __init__(
        self,
        members: Members,
        removals: Removals,
        poster: Poster,
        limits: Limits,
        random: Callable[[], float],
        budget: Budget | None = None,
        activity: Activity | None = None,
    ) -> None:
        """`activity` tells which connections may be open though they are called gone; without it none may."""
        # The window is kept from one invocation to the next, with all that it has learnt of the account.
        window = AdaptiveWindow(limits)
        self._world = World(
            poster, members, removals, activity, window, budget or Unlimited(), limits, random
        )

    def recall(self, connection_ids: Sequence[str], refusals: Sequence[int]) -> None:
        """Take over how many posts in a row to each connection were refused in an earlier invocation."""
        now = asyncio.get_running_loop().time()
        self._world.window.suspects.recall(connection_ids, refusals, now)

    async def deliver(
        self, groups: Sequence[GroupBatch], stop_at: float, on_done: Done | None = None
    ) -> Report:
        """Post every frame to every member and return the outcomes.

        `stop_at` is a loop time in seconds: after it nothing new is sent. Unfinished posts, and those that
        would only hold up the rest, are reported as leftovers of their group; members that were not read are
        `unread`. `on_done` gets each group's report as soon as it is complete, and whether the call goes on
        after it; it must not raise. Failures of connections, the network or a table are never raised.
        """
        world = self._world
        world.window.suspects.expire(asyncio.get_running_loop().time())
        report = await _Run(world, stop_at, on_done or _ignore).all_groups(groups)
        until = min(stop_at, asyncio.get_running_loop().time() + CLOSING_S)
        closing = {one: group.group_id for one, group in report.slow.items()} | report.expired
        # A close takes a request of the account's quota as a post does.
        world.budget.owe(len(closing))
        report.closed, _ = await asyncio.gather(
            close_all(closing, world.poster, world.removals, until),
            world.budget.settle(),
        )
        world.window.suspects.forget(report.closed.connection_ids)
        world.window.suspects.reprieve(report.slow)
        for connection_id in report.slow.keys() & report.closed.connection_ids:
            report.slow[connection_id].slow_closed += 1
        # Connections that are not removed in time are found gone again by the next message.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(stop_at + FLUSH_S):
                await world.removals.flush()
        report.check()
        return report


class _Run:
    """The groups of one call, side by side: each is read page by page, posted to, judged and reported."""

    def __init__(self, world: World, stop_at: float, on_done: Done) -> None:
        self._world = world
        self._suspects = world.window.suspects
        self._stop_at = stop_at
        self._on_done = on_done
        self._report = Report()
        self._posting = Posting(world, self._report, self._fail)
        self._undone = 0
        self._groups: list[asyncio.Task[None]] = []
        self._defect: Exception | None = None

    async def all_groups(self, groups: Sequence[GroupBatch]) -> Report:
        at_once = asyncio.Semaphore(GROUPS_AT_ONCE)
        self._undone = len(groups)
        stop = asyncio.get_running_loop().call_at(self._stop_at, self._posting.stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._groups = [tasks.create_task(self._group(batch, at_once)) for batch in groups]
            if self._defect is not None:
                raise self._defect
        finally:
            stop.cancel()
            self._posting.close()
        self._report.window = self._world.window.size
        return self._report

    def _fail(self, defect: Exception) -> None:
        if self._defect is None:
            self._defect = defect
            for group in self._groups:
                group.cancel()

    async def _group(self, batch: GroupBatch, at_once: asyncio.Semaphore) -> None:
        world = self._world
        async with at_once:
            group = GroupFanout(batch, [await world.poster.batch(frame.data) for frame in batch.frames])
            self._report.groups.append(group.report)
            await self._feed(group)
        group.fed = True
        self._posting.part_with_stragglers(group)
        await group.drained()
        await judge_gone(group, world.removals, world.activity)
        group.report.leftovers = group.leftovers(self._suspects.counts)
        group.report.cut_short = self._posting.stopped
        self._undone -= 1
        goes_on = self._undone > 0 or bool(self._report.slow or self._report.expired)
        await self._on_done(group.report, goes_on)

    async def _feed(self, group: GroupFanout) -> None:
        """Take in the members page by page; those not taken in when the time is over are noted as unread."""
        batch, report, budget = group.batch, group.report, self._world.budget
        meter = Meter(budget, self._stop_at)
        if batch.members > SMALL_MEMBERS:
            # While the first page is read.
            meter.expect(batch.members * len(batch.frames))
        position = batch.slots.first if batch.connection_ids is None else 0
        try:
            async with (
                asyncio.timeout_at(self._stop_at + READ_MARGIN_S),
                aclosing(self._pages(batch)) as pages,
            ):
                async for page in pages:
                    report.pages += 1
                    if self._posting.stopped:
                        group.note_unread(position, self._suspects.counts)
                        break
                    await self._feed_page(group, page, meter)
                    position = page.next
        except Exception as error:  # noqa: BLE001 - members that could not be read must not be lost
            group.note_unread(position, self._suspects.counts)
            report.error = f"{type(error).__name__}: {error}"
        await meter.close()
        report.booked = meter.booked if budget.is_limited else 0
        report.budget_wait_ms = meter.waited_s * 1000

    async def _feed_page(self, group: GroupFanout, page: Page, meter: Meter) -> None:
        posting, budget = self._posting, self._world.budget
        self._report.expired.update(dict.fromkeys(page.expired, group.batch.group_id))
        frames = len(group.frames)
        ids = posting.hold_back(group, page.connection_ids)
        if group.is_small(page):
            budget.owe(len(ids) * frames)
            await posting.admit(group, ids)
            return
        step = max(1, budget.chunk_posts // frames)
        later = group.later(page)
        for start in range(0, len(ids), step):
            chunk = ids[start : start + step]
            more = budget.chunk_posts
            if later is not None:
                more = (len(ids) - start - len(chunk) + later) * frames
            if not await meter.take(len(chunk) * frames, more):
                posting.stop()
            if posting.stopped:
                group.report.members += len(ids) - start
                group.hand_off(0, ids[start:])
                return
            await posting.admit(group, chunk)

    def _pages(self, batch: GroupBatch) -> AsyncGenerator[Page, None]:
        if batch.connection_ids is None:
            return self._world.members.pages(batch.group_id, batch.slots)
        return self._world.members.listed(batch.group_id, batch.connection_ids)


async def _ignore(_report: GroupReport, _goes_on: bool) -> None:
    pass
