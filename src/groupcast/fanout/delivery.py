"""One connection on its way through a run, and those that wait for their next try."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING

from groupcast.aws.management import Outcome, PostResult
from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast.fanout.group import GroupFanout
    from groupcast.fanout.run import Run


class Delivery:
    """One connection and the frames it is still to get, in order."""

    __slots__ = ("_run", "attempts", "connection_id", "due", "group", "index", "is_full")

    def __init__(self, run: Run, group: GroupFanout, connection_id: str) -> None:
        self._run = run
        self.group = group
        self.connection_id = connection_id
        self.index = 0
        self.attempts = 0
        # Whether it was last turned away because the client's buffer is full.
        self.is_full = False

    def wait(self, due: float, *, is_full: bool) -> None:
        """Note the loop time of the next try, and what it waits for."""
        self.due = due
        self.is_full = is_full
        self.group.waiting.add(self)

    def send(self) -> None:
        try:
            self.group.posts[self.index].send(self.connection_id, self.on_result)
        except GroupcastError as error:
            # Nothing was sent: no credentials, or no room in the pool. To be tried again like a lost post.
            result = PostResult(Outcome.RETRYABLE, 0, type(error).__name__, str(error))
            asyncio.get_running_loop().call_soon(self.on_result, self.connection_id, result)

    def on_result(self, _connection_id: str, result: PostResult) -> None:
        try:
            self._run.on_result(self, result)
        except Exception as defect:  # noqa: BLE001 - whatever it is, the invocation must end with it
            self._run.fail(defect)


class Delayed:
    """Deliveries by the time of their next try. `on_due` is called with those whose time has come."""

    def __init__(self, on_due: Callable[[list[Delivery]], None]) -> None:
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Delivery]] = []
        self._count = 0
        self._wake: asyncio.Handle | None = None
        # Kept beside it: for what is due at once uvloop gives a handle that does not know when.
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
