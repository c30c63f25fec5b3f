"""Work that nobody waits for while the gateway runs, and that its end waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

# For tasks that are slow to take their cancellation.
_CANCEL_TIMEOUT_S = 1.0


class Background:
    """The tasks of a gateway: handshakes, messages, disconnects.

    Their number is bounded where they are made: one handshake or disconnect for each TCP connection, and
    `pending_messages` for each WebSocket.
    """

    def __init__(self) -> None:
        # The event loop itself keeps only weak references to tasks.
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, timeout_s: float) -> int:
        """Wait for all tasks, those they start too; cancel what is left and return how many that were."""
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
