"""Deliveries that wait for their next try."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast.fanout.group import Delivery


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
