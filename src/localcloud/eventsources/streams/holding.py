"""Things that are handed on in order, each not before its time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Holding(Generic[T]):
    """Calls `hand_on` with what was added, in that order; one that must wait makes the next ones wait.

    Bounded by whoever adds.
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
        """Nothing more will come: run() returns after the last."""
        self._ended = True
        self._changed.set()

    def stop(self) -> None:
        """Let run() return at once, whatever is held."""
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
