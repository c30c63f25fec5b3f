"""Passes items on in order, each when it is due."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class DelayQueue(Generic[T]):
    """Calls `hand_on` with each added item, in order, once it is due; an item waits for those before it.

    The caller bounds the number of items.
    """

    def __init__(self, hand_on: Callable[[T], None]) -> None:
        self._hand_on = hand_on
        self._held: deque[tuple[float, T]] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._stopped = False

    def add(self, item: T, due_s: float) -> None:
        """Hold `item` until `due_s` on the event loop's clock."""
        self._held.append((due_s, item))
        self._changed.set()

    def end(self) -> None:
        """No more items will come: run() returns after the last one."""
        self._ended = True
        self._changed.set()

    def stop(self) -> None:
        """Make run() return at once and drop the remaining items."""
        self._stopped = True
        self._changed.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopped and (self._held or not self._ended):
            wait_s = self._held[0][0] - loop.time() if self._held else None
            if wait_s is not None and wait_s <= 0:
                self._hand_on(self._held.popleft()[1])
                continue
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)
