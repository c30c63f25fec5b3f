"""Background tasks, which the gateway awaits when it closes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

# How long cancelled tasks may take to end.
_CANCEL_TIMEOUT_S = 1.0


class Background:
    """The tasks of a gateway: handshakes, messages, disconnects.

    The callers bound their number: one handshake or disconnect per TCP connection, and `pending_messages` per
    WebSocket.
    """

    def __init__(self) -> None:
        # Keep strong references: the event loop keeps only weak ones.
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, timeout_s: float) -> int:
        """Wait for all tasks, including those they start. Cancel the rest and return their number."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while self._tasks and (left_s := end_s - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left_s)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CANCEL_TIMEOUT_S)
        return len(left)
