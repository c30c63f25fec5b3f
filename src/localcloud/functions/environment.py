"""The parent's end of one environment's socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from localcloud.functions.frames import HEADER, frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class EnvironmentLost(Exception):  # noqa: N818 - not an error of ours: Lambda loses environments
    """The environment's process is gone."""


class Environment(asyncio.Protocol):
    """A process that answers one frame at a time. `on_lost` is called once, when the socket closes."""

    def __init__(self, pid: int, on_lost: Callable[[Environment], None]) -> None:
        self.pid = pid
        self.lost = False
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._reply: asyncio.Future[bytes] | None = None

    @classmethod
    async def connect(
        cls, sock: socket.socket, pid: int, on_lost: Callable[[Environment], None]
    ) -> Environment:
        try:
            loop = asyncio.get_running_loop()
            _, environment = await loop.create_unix_connection(lambda: cls(pid, on_lost), sock=sock)
        except BaseException:
            sock.close()
            raise
        return environment

    async def reply(self) -> bytes:
        """Return the next frame from the process; EnvironmentLost if it dies first."""
        if self.lost:
            raise EnvironmentLost
        assert self._reply is None, "one event at a time"
        self._reply = asyncio.get_running_loop().create_future()
        self._deliver()
        try:
            return await self._reply
        finally:
            self._reply = None

    async def ask(self, request: bytes) -> bytes:
        """Send an event and return the reply."""
        if self._transport is not None:
            self._transport.write(frame(request))
        return await self.reply()

    def close(self) -> None:
        """Hang up: an idle process exits, a busy one when its handler returns."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports don't subclass asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._deliver()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - EOF or reset, it is gone
        self.lost = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(EnvironmentLost())
        self._on_lost(self)

    def _deliver(self) -> None:
        if self._reply is None or self._reply.done() or len(self._buffer) < HEADER.size:
            return
        end = HEADER.size + HEADER.unpack_from(self._buffer)[0]
        if len(self._buffer) >= end:
            self._reply.set_result(bytes(self._buffer[HEADER.size : end]))
            del self._buffer[:end]
