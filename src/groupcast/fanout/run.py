"""One call of `Engine.deliver`: members come in page by page, posts go out in a window."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING

from groupcast.aws.management import Outcome, PostResult
from groupcast.errors import GroupcastError
from groupcast.fanout.report import Report
from groupcast.fanout.target import Target

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from groupcast.fanout.batch import GroupBatch
    from groupcast.fanout.pace import Limits, Pace
    from groupcast.fanout.ports import Members, Poster
    from groupcast.fanout.report import GroupReport

# Groups whose members are read at once: a small one does not wait behind the pages of a large one.
GROUPS_AT_ONCE = 8
# A group's next page is taken in when fewer connections than this wait to be posted to.
LOW_WATER = 512


class Run:
    """The deliveries that wait, those under way, and the clock."""

    def __init__(
        self,
        poster: Poster,
        members: Members,
        pace: Pace,
        limits: Limits,
        random: Callable[[], float],
        stop_at: float,
    ) -> None:
        self._poster = poster
        self._members = members
        self._pace = pace
        self._limits = limits
        self._random = random
        self._stop_at = stop_at
        self._loop = asyncio.get_running_loop()
        self._report = Report()
        self._ready: deque[_Delivery] = deque()
        self._delayed: list[tuple[float, int, _Delivery]] = []
        self._delays = 0
        self._in_flight = 0
        self._pumping = False
        self._stopped = False
        # Groups of which more members may come.
        self._unfed = 0
        # Loop time at which a frame was last done with, or members came.
        self._progress_at = self._loop.time()
        self._wake: asyncio.Handle | None = None
        # Kept beside it: for what is due at once uvloop gives a handle that does not know when.
        self._wake_at = 0.0
        self._room = asyncio.Event()
        self._groups: list[asyncio.Task[None]] = []
        self._defect: Exception | None = None

    async def all_groups(self, groups: Sequence[GroupBatch]) -> Report:
        at_once = asyncio.Semaphore(GROUPS_AT_ONCE)
        self._unfed = len(groups)
        stop = self._loop.call_at(self._stop_at, self._stop)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._groups = [tasks.create_task(self._group(batch, at_once)) for batch in groups]
            if self._defect is not None:
                raise self._defect
        finally:
            stop.cancel()
            if self._wake is not None:
                self._wake.cancel()
        self._report.window = self._pace.window
        return self._report

    def fail(self, defect: Exception) -> None:
        """End the call with an exception: a callback's would only reach the event loop's log."""
        if self._defect is None:
            self._defect = defect
            for group in self._groups:
                group.cancel()

    async def _group(self, batch: GroupBatch, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            target = Target(batch, [await self._poster.batch(frame.data) for frame in batch.frames])
            self._report.groups.append(target.report)
            await self._feed(target)
        self._unfed -= 1
        self._part_with_stragglers()
        while target.open:
            target.drained.clear()
            await target.drained.wait()
        target.report.leftovers = target.leftovers()

    async def _feed(self, target: Target) -> None:
        try:
            async with aclosing(self._pages(target.batch)) as pages:
                async for page in pages:
                    target.report.pages += 1
                    if self._stopped:
                        target.report.unread = True
                        return
                    self._progress_at = self._loop.time()
                    target.report.members += len(page)
                    target.open += len(page)
                    self._ready.extend(_Delivery(self, target, connection_id) for connection_id in page)
                    self._pump()
                    while len(self._ready) > LOW_WATER:
                        self._room.clear()
                        await self._room.wait()
        except Exception as error:  # noqa: BLE001 - whatever kept the members from us, their batch must come again
            target.report.unread = True
            target.report.error = f"{type(error).__name__}: {error}"

    def _pages(self, batch: GroupBatch) -> AsyncGenerator[list[str], None]:
        if batch.connection_ids is None:
            return self._members.pages(batch.group_id)
        return self._members.listed(batch.group_id, batch.connection_ids)

    def _pump(self) -> None:
        # A post may end before `send` returns to us by way of another post's callback: one pump is enough.
        if self._pumping:
            return
        self._pumping = True
        ready, pace = self._ready, self._pace
        try:
            while ready and self._in_flight < pace.window and not self._stopped:
                self._in_flight += 1
                ready.popleft().send()
        finally:
            self._pumping = False
        if len(ready) <= LOW_WATER:
            self._room.set()

    def on_result(self, delivery: _Delivery, result: PostResult) -> None:
        self._in_flight -= 1
        report = delivery.target.report
        report.posts += 1
        match result.outcome:
            case Outcome.ACCEPTED:
                self._accepted(delivery, report)
            case Outcome.GONE:
                report.gone += delivery.target.left(delivery.index)
                report.gone_connections += 1
                self._members.discard(delivery.connection_id)
                self._close(delivery)
            case Outcome.REFUSED:
                report.refused += delivery.target.frames[delivery.index].messages
                report.note_refusal(result)
                self._next_frame(delivery)
            case Outcome.THROTTLED:
                report.throttled += 1
                if self._pace.throttled(delivery.connection_id):
                    self._give_up_slow(delivery)
                else:
                    self._again(delivery, throttled=True)
            case Outcome.RETRYABLE:
                report.retried += 1
                self._again(delivery, throttled=False)
        self._pump()
        self._part_with_stragglers()

    def _accepted(self, delivery: _Delivery, report: GroupReport) -> None:
        self._pace.accepted(delivery.connection_id)
        frame = delivery.target.frames[delivery.index]
        report.delivered += frame.messages
        self._report.note_delivery(time.time() * 1000 - frame.oldest_ms)
        self._next_frame(delivery)

    def _next_frame(self, delivery: _Delivery) -> None:
        self._progress_at = self._loop.time()
        delivery.index += 1
        delivery.attempts = 0
        if delivery.index == len(delivery.target.frames):
            self._close(delivery)
        elif self._stopped:
            self._hand_off(delivery)
        else:
            self._ready.append(delivery)

    def _again(self, delivery: _Delivery, *, throttled: bool) -> None:
        delivery.attempts += 1
        if self._stopped or (not throttled and self._pace.gives_up(delivery.attempts)):
            self._hand_off(delivery)
            return
        due = self._loop.time() + self._pace.delay_s(delivery.attempts, self._random())
        self._delays += 1
        heapq.heappush(self._delayed, (due, self._delays, delivery))
        self._set_alarm()

    def _give_up_slow(self, delivery: _Delivery) -> None:
        # A client that reads nothing would be posted to again with every message of its group. Closed, it
        # connects again when it can and asks for what it missed by `since`: late, but whole.
        delivery.target.report.gone += delivery.target.left(delivery.index)
        delivery.target.report.slow_closed += 1
        self._report.slow.append(delivery.connection_id)
        self._close(delivery)

    def _part_with_stragglers(self) -> None:
        """Hand off retries once they are all that is left, and none begins within the grace."""
        if self._in_flight or not self._delayed or self._ready or self._unfed:
            return
        if self._delayed[0][0] > self._progress_at + self._limits.grace_s:
            self._hand_off_delayed()

    def _hand_off_delayed(self) -> None:
        delayed, self._delayed = self._delayed, []
        for _, _, delivery in delayed:
            self._hand_off(delivery)

    def _hand_off(self, delivery: _Delivery) -> None:
        target = delivery.target
        target.report.handed_off += target.left(delivery.index)
        target.owing.setdefault(delivery.index, []).append(delivery.connection_id)
        self._close(delivery)

    def _close(self, delivery: _Delivery) -> None:
        target = delivery.target
        target.open -= 1
        if not target.open:
            target.drained.set()

    def _set_alarm(self) -> None:
        due = self._delayed[0][0]
        if self._wake is None or due < self._wake_at:
            if self._wake is not None:
                self._wake.cancel()
            self._wake_at = due
            self._wake = self._loop.call_at(due, self._on_alarm)

    def _on_alarm(self) -> None:
        self._wake = None
        now = self._loop.time()
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.append(heapq.heappop(self._delayed)[2])
        if self._delayed:
            self._set_alarm()
        self._pump()

    def _stop(self) -> None:
        self._stopped = True
        waiting, self._ready = self._ready, deque()
        for delivery in waiting:
            self._hand_off(delivery)
        self._hand_off_delayed()
        self._room.set()


class _Delivery:
    """One connection and the frames it is still to get, in order."""

    __slots__ = ("_run", "attempts", "connection_id", "index", "target")

    def __init__(self, run: Run, target: Target, connection_id: str) -> None:
        self._run = run
        self.target = target
        self.connection_id = connection_id
        self.index = 0
        self.attempts = 0

    def send(self) -> None:
        try:
            self.target.posts[self.index].send(self.connection_id, self.on_result)
        except GroupcastError as error:
            # Nothing was sent: no credentials, or no room in the pool. To be tried again like a lost post.
            result = PostResult(Outcome.RETRYABLE, 0, type(error).__name__, str(error))
            asyncio.get_running_loop().call_soon(self.on_result, self.connection_id, result)

    def on_result(self, _connection_id: str, result: PostResult) -> None:
        try:
            self._run.on_result(self, result)
        except Exception as defect:  # noqa: BLE001 - whatever it is, the invocation must end with it
            self._run.fail(defect)
