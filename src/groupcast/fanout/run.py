"""One call of `Engine.deliver`: members come in page by page, posts go out in a window."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from groupcast.aws.management import Outcome
from groupcast.fanout.budget import SMALL_MEMBERS, Meter
from groupcast.fanout.delayed import Delayed
from groupcast.fanout.gone import judge_gone
from groupcast.fanout.group import Delivery, GroupFanout
from groupcast.fanout.report import Report
from groupcast.fanout.suspects import FULL_DELAY_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from groupcast.aws.management import PostResult
    from groupcast.fanout.batch import GroupBatch
    from groupcast.fanout.budget import Budget
    from groupcast.fanout.limits import Limits
    from groupcast.fanout.ports import Activity, Members, Poster
    from groupcast.fanout.report import GroupReport
    from groupcast.fanout.suspects import Suspect
    from groupcast.fanout.window import AdaptiveWindow
    from groupcast.tables.members import Page

# Groups whose members are read at once: all that a batch of DeliveryQueue can have, so that a small one
# does not wait behind the pages of a large one.
GROUPS_AT_ONCE = 10
# A group's next page is taken in when fewer connections than this wait to be posted to.
LOW_WATER = 512
# A read that still hangs so long after `stop_at` is given up.
READ_MARGIN_S = 1.0

Done = Callable[["GroupReport", bool], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class World:
    """What a run works with, and what stays from one run to the next."""

    poster: Poster
    members: Members
    activity: Activity | None
    window: AdaptiveWindow
    budget: Budget
    limits: Limits
    random: Callable[[], float]


class Run:
    """The deliveries that wait, those under way, and the clock.

    `on_done` is called once for each group, when all its deliveries have an outcome, with whether anything
    else of the run goes on. It must not raise.
    """

    def __init__(self, world: World, stop_at: float, on_done: Done) -> None:
        self._poster = world.poster
        self._members = world.members
        self._activity = world.activity
        self._window = world.window
        self._suspects = world.window.suspects
        self._budget = world.budget
        self._limits = world.limits
        self._random = world.random
        self._stop_at = stop_at
        self._on_done = on_done
        self._loop = asyncio.get_running_loop()
        self._report = Report()
        self._ready: deque[Delivery] = deque()
        self._delayed = Delayed(self._on_due)
        self._in_flight = 0
        self._pumping = False
        self._stopped = False
        self._undone = 0
        self._room = asyncio.Event()
        self._groups: list[asyncio.Task[None]] = []
        self._defect: Exception | None = None

    async def all_groups(self, groups: Sequence[GroupBatch]) -> Report:
        at_once = asyncio.Semaphore(GROUPS_AT_ONCE)
        self._undone = len(groups)
        stop = self._loop.call_at(self._stop_at, self._stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._groups = [tasks.create_task(self._group(batch, at_once)) for batch in groups]
            if self._defect is not None:
                raise self._defect
        finally:
            stop.cancel()
            self._delayed.clear()
        self._report.window = self._window.size
        return self._report

    def fail(self, defect: Exception) -> None:
        """End the call with an exception: a callback's would only reach the event loop's log."""
        if self._defect is None:
            self._defect = defect
            for group in self._groups:
                group.cancel()

    async def _group(self, batch: GroupBatch, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            group = GroupFanout(batch, [await self._poster.batch(frame.data) for frame in batch.frames])
            self._report.groups.append(group.report)
            await self._feed(group)
        group.fed = True
        self._part_with_stragglers(group)
        await group.drained()
        await judge_gone(group, self._members, self._activity)
        group.report.leftovers = group.leftovers(self._suspects.counts)
        group.report.cut_short = self._stopped
        self._undone -= 1
        goes_on = self._undone > 0 or bool(self._report.slow or self._report.expired)
        await self._on_done(group.report, goes_on)

    async def _feed(self, group: GroupFanout) -> None:
        """Take in the members page by page; what is not taken in when the time is over is noted as unread."""
        batch, report = group.batch, group.report
        meter = Meter(self._budget, self._stop_at)
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
                    if self._stopped:
                        group.note_unread(position, self._suspects.counts)
                        break
                    await self._feed_page(group, page, meter)
                    position = page.next
        except Exception as error:  # noqa: BLE001 - whatever kept the members from us, they must not be lost
            group.note_unread(position, self._suspects.counts)
            report.error = f"{type(error).__name__}: {error}"
        await meter.close()
        report.booked = meter.booked if self._budget.is_limited else 0
        report.budget_wait_ms = meter.waited_s * 1000

    async def _feed_page(self, group: GroupFanout, page: Page, meter: Meter) -> None:
        self._report.expired.update(dict.fromkeys(page.expired, group.batch.group_id))
        ids: Sequence[str] = page.connection_ids
        frames = len(group.frames)
        if self._suspects.by_id:
            ids = self._hold_back(group, ids)
        if group.is_small(page):
            self._budget.owe(len(ids) * frames)
            await self._admit(group, ids)
            return
        step = max(1, self._budget.chunk_posts // frames)
        later = group.later(page)
        for start in range(0, len(ids), step):
            chunk = ids[start : start + step]
            more = self._budget.chunk_posts
            if later is not None:
                more = (len(ids) - start - len(chunk) + later) * frames
            if not await meter.take(len(chunk) * frames, more):
                self._stop()
            if self._stopped:
                group.report.members += len(ids) - start
                group.hand_off(0, ids[start:])
                return
            await self._admit(group, chunk)

    async def _admit(self, group: GroupFanout, connection_ids: Sequence[str]) -> None:
        """Queue connections for posting, and wait until there is room for more."""
        group.progress_at = self._loop.time()
        group.report.members += len(connection_ids)
        group.open += len(connection_ids)
        self._ready.extend(Delivery(self, group, connection_id) for connection_id in connection_ids)
        self._pump()
        while len(self._ready) > LOW_WATER:
            self._room.clear()
            await self._room.wait()

    def _hold_back(self, group: GroupFanout, connection_ids: Sequence[str]) -> Sequence[str]:
        """Keep those that are left alone for now waiting, unbooked; return the others."""
        group.progress_at = self._loop.time()
        free, held = self._suspects.part(connection_ids, group.progress_at)
        group.report.members += len(held)
        group.open += len(held)
        for connection_id in held:
            self._hold(Delivery(self, group, connection_id), self._suspects.by_id[connection_id])
        return free

    def _pages(self, batch: GroupBatch) -> AsyncGenerator[Page, None]:
        if batch.connection_ids is None:
            return self._members.pages(batch.group_id, batch.slots)
        return self._members.listed(batch.group_id, batch.connection_ids)

    def _pump(self) -> None:
        # A post may end before `send` returns to us by way of another post's callback: one pump is enough.
        if self._pumping:
            return
        self._pumping = True
        ready, window = self._ready, self._window
        try:
            while ready and self._in_flight < window.size and not self._stopped:
                self._in_flight += 1
                ready.popleft().send()
        finally:
            self._pumping = False
        if len(ready) <= LOW_WATER:
            self._room.set()

    def on_result(self, delivery: Delivery, result: PostResult) -> None:
        self._in_flight -= 1
        report = delivery.group.report
        report.posts += 1
        match result.outcome:
            case Outcome.ACCEPTED:
                frame = delivery.group.frames[delivery.index]
                report.delivered += frame.messages
                report.gone_false += delivery.group.batch.told_gone and delivery.index == 0
                self._window.accepted(delivery.connection_id)
                self._report.note_delivery(time.time() * 1000 - frame.oldest_ms)
                self._next_frame(delivery)
            case Outcome.GONE:
                delivery.group.gone.append((delivery.connection_id, delivery.index))
                self._suspects.forget((delivery.connection_id,))
                delivery.group.close_one()
            case Outcome.REFUSED:
                report.refused += delivery.group.frames[delivery.index].messages
                report.note_refusal(result)
                self._next_frame(delivery)
            case Outcome.THROTTLED:
                report.throttled += 1
                self._after_refusal(delivery, self._window.throttled)
            case Outcome.FULL:
                report.full += 1
                self._after_refusal(delivery, self._window.full)
            case Outcome.RETRYABLE:
                report.retried += 1
                delivery.attempts += 1
                if self._stopped or self._window.gives_up(delivery.attempts):
                    self._hand_off(delivery)
                else:
                    delay_s = self._window.delay_s(delivery.attempts, self._random())
                    self._delay(delivery, self._loop.time() + delay_s)
        self._pump()
        if delivery.group.waiting:
            self._part_with_stragglers(delivery.group)

    def _next_frame(self, delivery: Delivery) -> None:
        delivery.group.progress_at = self._loop.time()
        delivery.index += 1
        if delivery.index == len(delivery.group.frames):
            delivery.group.close_one()
            return
        delivery.attempts = 0
        delivery.is_full = False
        if self._stopped:
            self._hand_off(delivery)
        else:
            self._ready.append(delivery)

    def _after_refusal(self, delivery: Delivery, judge: Callable[[str, float, float], Suspect]) -> None:
        delivery.attempts += 1
        suspect = judge(delivery.connection_id, self._loop.time(), self._random())
        delivery.is_full = suspect.is_full
        if self._stopped and not suspect.given_up:
            self._hand_off(delivery)
        else:
            self._hold(delivery, suspect)

    def _hold(self, delivery: Delivery, suspect: Suspect) -> None:
        if suspect.given_up:
            self._give_up_slow(delivery)
        else:
            self._delay(delivery, suspect.due, is_full=suspect.is_full)

    def _delay(self, delivery: Delivery, due: float, *, is_full: bool = False) -> None:
        delivery.wait(due, is_full=is_full)
        self._delayed.add(delivery)

    def _on_due(self, deliveries: list[Delivery]) -> None:
        now = self._loop.time()
        held: set[GroupFanout] = set()
        for delivery in deliveries:
            if self._suspects.may_post(delivery.connection_id, now):
                # Nobody has booked it: a retry, or all frames of one who was held back.
                self._budget.owe(1 if delivery.attempts else len(delivery.group.frames))
                self._ready.append(delivery)
            else:
                self._hold(delivery, self._suspects.by_id[delivery.connection_id])
                held.add(delivery.group)
        for group in held:
            self._part_with_stragglers(group)
        self._pump()

    def _give_up_slow(self, delivery: Delivery) -> None:
        # A client that reads nothing would be posted to again with every message of its group. Closed, it
        # connects again when it can and asks for what it missed by `since`: late, but whole. Where the close
        # is refused, it gets the group's next message, and sees the gap.
        delivery.group.report.gone += delivery.group.left(delivery.index)
        self._report.slow.setdefault(delivery.connection_id, delivery.group.report)
        delivery.group.close_one()

    def _part_with_stragglers(self, group: GroupFanout) -> None:
        """Hand off a group's retries once nothing else is left of it, and none begins within the grace.

        Clients whose buffer is full are not waited for.
        """
        waiting = group.waiting
        if not group.fed or not waiting or group.open > len(waiting):
            return
        due = min((delivery.due for delivery in waiting if not delivery.is_full), default=inf)
        if due > group.progress_at + self._limits.grace_s:
            for delivery in list(waiting):
                self._hand_off(delivery)

    def _hand_off(self, delivery: Delivery) -> None:
        group = delivery.group
        group.waiting.discard(delivery)
        group.hand_off(delivery.index, [delivery.connection_id], FULL_DELAY_S if delivery.is_full else 0)
        group.close_one()

    def _stop(self) -> None:
        self._stopped = True
        waiting, self._ready = self._ready, deque()
        for delivery in (*waiting, *self._delayed.clear()):
            self._hand_off(delivery)
        self._room.set()
