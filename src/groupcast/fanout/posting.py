"""The posts of one call of the engine, as one state machine.

A delivery is a connection and the frames that it is still to get. It is ready, under way or waiting until
its group closes it, which happens once:

    admit ──▶ ready ──▶ under way ──▶ accepted, refused ──▶ ready for the next frame; closed after the last
                ▲           ├───────▶ gone ───────────────▶ closed, and judged when its group is done
                │           └───────▶ throttled, full, or failed in passing ──┐
                └── due ─── waiting ◀─────────────────────────────────────────┴──▶ closed: given up as slow,
                                                                                   or handed off to RetryQueue
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING

from groupcast.aws.management import Outcome
from groupcast.fanout.group import Delivery
from groupcast.fanout.suspects import FULL_DELAY_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from groupcast.aws.management import PostResult
    from groupcast.fanout.group import GroupFanout
    from groupcast.fanout.ports import World
    from groupcast.fanout.report import Report
    from groupcast.fanout.suspects import Suspect

# A group's next page is taken in when fewer connections than this wait to be posted to.
LOW_WATER = 512


class Posting:
    """All groups' deliveries over one window. Their outcomes go into `report` and each group's own.

    `on_defect` gets an exception of ours: raised in a callback, it would only reach the event loop's log.
    """

    def __init__(self, world: World, report: Report, on_defect: Callable[[Exception], None]) -> None:
        self.stopped = False
        self._window = world.window
        self._suspects = world.window.suspects
        self._budget = world.budget
        self._limits = world.limits
        self._random = world.random
        self._report = report
        self._on_defect = on_defect
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Delivery] = deque()
        self._delayed = _Delayed(self._on_due)
        self._in_flight = 0
        self._pumping = False
        self._room = asyncio.Event()

    async def admit(self, group: GroupFanout, connection_ids: Sequence[str]) -> None:
        """Queue connections for posting, and wait until there is room for more."""
        group.progress_at = self._loop.time()
        group.report.members += len(connection_ids)
        group.open += len(connection_ids)
        self._ready.extend(Delivery(self.on_result, group, connection_id) for connection_id in connection_ids)
        self._pump()
        while len(self._ready) > LOW_WATER:
            self._room.clear()
            await self._room.wait()

    def hold_back(self, group: GroupFanout, connection_ids: Sequence[str]) -> Sequence[str]:
        """Keep the suspects that are left alone for now waiting, unbooked; return the others."""
        if not self._suspects.by_id:
            return connection_ids
        group.progress_at = self._loop.time()
        free, held = self._suspects.part(connection_ids, group.progress_at)
        group.report.members += len(held)
        group.open += len(held)
        for connection_id in held:
            delivery = Delivery(self.on_result, group, connection_id)
            self._hold(delivery, self._suspects.by_id[connection_id])
        return free

    def part_with_stragglers(self, group: GroupFanout) -> None:
        """Hand off a group's retries once nothing else is left of it, and none begins within the grace.

        It does not wait for clients whose buffer is full.
        """
        waiting = group.waiting
        if not group.fed or not waiting or group.open > len(waiting):
            return
        due = min((delivery.due for delivery in waiting if not delivery.is_full), default=inf)
        if due > group.progress_at + self._limits.grace_s:
            for delivery in list(waiting):
                self._hand_off(delivery)

    def stop(self) -> None:
        """Send nothing new: hand off deliveries that are ready or wait, and those that fail from now on."""
        self.stopped = True
        waiting, self._ready = self._ready, deque()
        for delivery in (*waiting, *self._delayed.clear()):
            self._hand_off(delivery)
        self._room.set()

    def close(self) -> None:
        """Cancel the timer."""
        self._delayed.clear()

    def on_result(self, delivery: Delivery, result: PostResult) -> None:
        """A post has ended. Never raises."""
        try:
            self._in_flight -= 1
            delivery.group.report.posts += 1
            if result.outcome is Outcome.ACCEPTED:
                # Nearly always, so without another call.
                report, frame = delivery.group.report, delivery.group.frames[delivery.index]
                report.delivered += frame.messages
                report.gone_false += delivery.group.batch.told_gone and delivery.index == 0
                self._window.accepted(delivery.connection_id)
                self._report.note_delivery(time.time() * 1000 - frame.oldest_ms)
                self._next_frame(delivery)
            else:
                self._not_accepted(delivery, result)
            self._pump()
            if delivery.group.waiting:
                self.part_with_stragglers(delivery.group)
        except Exception as defect:  # noqa: BLE001 - any defect must end the invocation
            self._on_defect(defect)

    def _not_accepted(self, delivery: Delivery, result: PostResult) -> None:
        group, report = delivery.group, delivery.group.report
        match result.outcome:
            case Outcome.GONE:
                group.gone.append((delivery.connection_id, delivery.index))
                self._suspects.forget((delivery.connection_id,))
                group.close_one()
            case Outcome.REFUSED:
                report.refused += group.frames[delivery.index].messages
                report.note_refusal(result)
                self._next_frame(delivery)
            case Outcome.THROTTLED:
                report.throttled += 1
                self._after_429(delivery, self._window.throttled)
            case Outcome.FULL:
                report.full += 1
                self._after_429(delivery, self._window.full)
            case Outcome.RETRYABLE:
                report.retried += 1
                self._after_failure(delivery)

    def _next_frame(self, delivery: Delivery) -> None:
        delivery.group.progress_at = self._loop.time()
        delivery.index += 1
        if delivery.index == len(delivery.group.frames):
            delivery.group.close_one()
            return
        delivery.attempts = 0
        delivery.is_full = False
        if self.stopped:
            self._hand_off(delivery)
        else:
            self._ready.append(delivery)

    def _after_failure(self, delivery: Delivery) -> None:
        delivery.attempts += 1
        if self.stopped or self._window.gives_up(delivery.attempts):
            self._hand_off(delivery)
        else:
            delay_s = self._window.delay_s(delivery.attempts, self._random())
            self._delay(delivery, self._loop.time() + delay_s)

    def _after_429(self, delivery: Delivery, judge: Callable[[str, float, float], Suspect]) -> None:
        delivery.attempts += 1
        suspect = judge(delivery.connection_id, self._loop.time(), self._random())
        delivery.is_full = suspect.is_full
        if self.stopped and not suspect.given_up:
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
                # Not booked yet: a retry, or all frames of a connection that was held back.
                self._budget.owe(1 if delivery.attempts else len(delivery.group.frames))
                self._ready.append(delivery)
            else:
                self._hold(delivery, self._suspects.by_id[delivery.connection_id])
                held.add(delivery.group)
        for group in held:
            self.part_with_stragglers(group)
        self._pump()

    def _pump(self) -> None:
        # A post may end before `send` returns to us by way of another post's callback: one pump is enough.
        if self._pumping:
            return
        self._pumping = True
        ready, window = self._ready, self._window
        try:
            while ready and self._in_flight < window.size and not self.stopped:
                self._in_flight += 1
                ready.popleft().send()
        finally:
            self._pumping = False
        if len(ready) <= LOW_WATER:
            self._room.set()

    def _give_up_slow(self, delivery: Delivery) -> None:
        # A client that reads nothing would be posted to again with every message of its group. Closed, it
        # connects again when it can and asks for its missed messages by `since`: late, but whole. Where the
        # close is refused, it gets the group's next message, and sees the gap.
        delivery.group.report.gone += delivery.group.left(delivery.index)
        self._report.slow.setdefault(delivery.connection_id, delivery.group.report)
        delivery.group.close_one()

    def _hand_off(self, delivery: Delivery) -> None:
        group = delivery.group
        group.waiting.discard(delivery)
        group.hand_off(delivery.index, [delivery.connection_id], FULL_DELAY_S if delivery.is_full else 0)
        group.close_one()


class _Delayed:
    """Deliveries by the time of their next try. `on_due` gets those that are due."""

    def __init__(self, on_due: Callable[[list[Delivery]], None]) -> None:
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Delivery]] = []
        self._count = 0
        self._wake: asyncio.Handle | None = None
        # Kept beside it: uvloop's handle of a timer that is due at once does not know when.
        self._wake_at = 0.0

    def add(self, delivery: Delivery) -> None:
        """Keep a delivery until it is due, or no longer in its group's `waiting`: then it was handed off."""
        self._count += 1
        heapq.heappush(self._heap, (delivery.due, self._count, delivery))
        self._set_alarm()

    def clear(self) -> list[Delivery]:
        """Return those that still wait, and keep none."""
        heap, self._heap = self._heap, []
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        return [delivery for _, _, delivery in heap if delivery in delivery.group.waiting]

    def _set_alarm(self) -> None:
        due = self._heap[0][0]
        if self._wake is None or due < self._wake_at:
            if self._wake is not None:
                self._wake.cancel()
            self._wake_at = due
            self._wake = self._loop.call_at(due, self._on_alarm)

    def _on_alarm(self) -> None:
        self._wake = None
        now = self._loop.time()
        due: list[Delivery] = []
        while self._heap and self._heap[0][0] <= now:
            delivery = heapq.heappop(self._heap)[2]
            if delivery in delivery.group.waiting:
                delivery.group.waiting.remove(delivery)
                due.append(delivery)
        if self._heap:
            self._set_alarm()
        self._on_due(due)
