"""A queue of messages between the socket and their reader."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from groupcast_client.model import Message


class Inbox:
    """A queue whose `put` never waits. The owner puts nothing while `is_full`, until `on_room` is called.

    One frame's messages may exceed `limit`.
    """

    def __init__(self, limit: int, on_room: Callable[[], None]) -> None:
        self._limit = limit
        self._on_room = on_room
        self._messages: deque[Message] = deque()
        self._filled = asyncio.Event()
        self._is_over = False
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_full(self) -> bool:
        return len(self._messages) >= self._limit

    def put(self, messages: Iterable[Message]) -> None:
        self._messages.extend(messages)
        if self._messages:
            self._filled.set()

    def finish(self, error: Exception | None) -> None:
        """End `read` after the last message, with `error` if there is one."""
        self._is_over = True
        self._error = error
        self._filled.set()

    async def read(self) -> AsyncIterator[Message]:
        while True:
            while self._messages:
                was_full = self.is_full
                message = self._messages.popleft()
                if was_full and not self.is_full:
                    self._on_room()
                yield message
            if self._error is not None:
                raise self._error
            if self._is_over:
                return
            self._filled.clear()
            await self._filled.wait()
