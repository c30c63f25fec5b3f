"""A bare WebSocket client, with nothing between the test and the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import InvalidStatus

REPLY_TIMEOUT_S = 20
# Long enough for an unexpected push to arrive.
QUIET_S = 1.0
CONNECT_AGAIN_S = 0.5


class Peer:
    """One connection. Keeps frames that a call does not look for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._kept: list[dict[str, Any]] = []

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, **options: Any) -> AsyncIterator[Peer]:
        async with ws_connect(url, proxy=None, **options) as socket:
            yield cls(socket)

    @classmethod
    @asynccontextmanager
    async def connect_in_time(cls, url: str, **options: Any) -> AsyncIterator[Peer]:
        """Connect; wait and retry if the user has too many connections or frames at the moment."""
        async with await _connected(url, **options) as socket:
            yield cls(socket)

    async def send(self, frame: Any) -> None:
        """Send a value as JSON, or a text as it is."""
        await self.socket.send(frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False))

    async def expect(self, kind: str) -> dict[str, Any]:
        """Return the next frame of this type."""
        return await self._first_of(kind)

    async def _first_of(self, *kinds: str) -> dict[str, Any]:
        for index, frame in enumerate(self._kept):
            if frame.get("type") in kinds:
                return self._kept.pop(index)
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            while True:
                frame = json.loads(await self.socket.recv())
                if frame.get("type") in kinds:
                    return dict(frame)
                self._kept.append(frame)

    async def ask(self, frame: Any, kind: str) -> dict[str, Any]:
        """Send a frame and return the next one of this type, retrying RateLimited ones as clients do.

        With a token all connections belong to one user, who sends more here than a human would.
        """
        while True:
            await self.send(frame)
            reply = await self._first_of(kind, "error")
            if reply.get("code") != "RateLimited":
                break
            await asyncio.sleep(reply["retryAfterMs"] / 1000)
        assert reply["type"] == kind, reply
        return reply

    async def join(self, group_id: str, **fields: Any) -> dict[str, Any]:
        return await self.ask({"action": "joinGroup", "groupId": group_id, **fields}, "joined")

    async def say(self, message: str, **fields: Any) -> dict[str, Any]:
        return await self.ask({"action": "sendMessage", "message": message, **fields}, "ack")

    async def messages(self, count: int) -> list[dict[str, Any]]:
        """The next `count` pushed messages, in order of arrival."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += (await self.expect("messages"))["messages"]
        return found

    async def is_quiet(self) -> bool:
        """Whether no more frames arrive."""
        try:
            async with asyncio.timeout(QUIET_S):
                self._kept.append(json.loads(await self.socket.recv()))
        except TimeoutError:
            pass
        return not self._kept

    async def closed_with(self) -> int:
        """The other side's close code."""
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code


async def _connected(url: str, **options: Any) -> ClientConnection:
    async with asyncio.timeout(REPLY_TIMEOUT_S):
        while True:
            try:
                return await ws_connect(url, proxy=None, **options)
            except InvalidStatus as refused:
                if refused.response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
            await asyncio.sleep(CONNECT_AGAIN_S)
