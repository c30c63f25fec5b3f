"""A bounded queue of messages between the socket and their reader."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from groupcast_client.model import Message


class Inbox:
    """A queue whose `put` never waits; the socket's reader awaits `room` instead.

    So messages keep their order even with several writers, but one frame's messages may exceed `limit`.
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
        """Wait until fewer than `limit` messages are queued."""
        while len(self._messages) >= self._limit:
            self._drained.clear()
            await self._drained.wait()

    def finish(self, error: Exception | None) -> None:
        """End `read` after the last message, with `error` unless that is None."""
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
