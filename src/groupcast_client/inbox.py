"""Messages on their way from the socket to their reader, in a bounded number."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from groupcast_client.model import Message


class Inbox:
    """A queue whose `put` never waits: the one who reads the socket waits for `room` instead.

    So `limit` can be passed by what one frame brings, and what is put keeps its order whoever puts it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Message] = deque()
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._is_over = False
        self._error: Exception | None = None

    def put(self, messages: Iterable[Message]) -> None:
        self._messages.extend(messages)
        if self._messages:
            self._filled.set()

    async def room(self) -> None:
        """Return once fewer than `limit` messages wait."""
        while len(self._messages) >= self._limit:
            self._drained.clear()
            await self._drained.wait()

    def finish(self, error: Exception | None) -> None:
        """Let the reader end after the last message, with `error` if there is one."""
        self._is_over = True
        self._error = error
        self._filled.set()

    async def read(self) -> AsyncIterator[Message]:
        while True:
            while self._messages:
                message = self._messages.popleft()
                if len(self._messages) < self._limit:
                    self._drained.set()
                yield message
            if self._error is not None:
                raise self._error
            if self._is_over:
                return
            self._filled.clear()
            await self._filled.wait()
