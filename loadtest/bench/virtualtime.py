"""An event loop in virtual time: its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs coroutines that wait only for timers and for each other. Its time starts at 0.

    Raises RuntimeError if all coroutines wait and no timer is set.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Advance the clock."""
        self._now += seconds


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every coroutine waits, and no timer is set")
        self._loop.jump(max(timeout, 0.0))
        return []
