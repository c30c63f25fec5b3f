"""One WebSocket to the gateway: requests are matched with their replies, pushes handed on."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from groupcast_client import frames
from groupcast_client.errors import ConnectionLost, GroupcastError, Refused, ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.asyncio.client import ClientConnection

    from groupcast_client.model import Endpoint, Limits

# API Gateway sends messages up to this size.
MAX_FRAME_BYTES = 128 * 1024
# How long a dead peer may hold up a close.
CLOSE_TIMEOUT_S = 1.0

_log = logging.getLogger("groupcast_client")
# At DEBUG, websockets logs headers and frames, and tokens with them: DEBUG for all does not mean this one.
_socket_log = logging.getLogger("groupcast_client.socket")
_socket_log.setLevel(logging.INFO)
Reply = TypeVar("Reply")


class Connection:
    """An open connection; `read` must run for `request` to get its replies."""

    def __init__(self, socket: ClientConnection, limits: Limits) -> None:
        self._socket = socket
        self._limits = limits
        self._ids = itertools.count(1)
        self._open_requests: dict[str, asyncio.Future[frames.Body]] = {}
        self._paused = False
        # A request was answered, and not with an error: after this connection, delays start short again.
        self.proven = False
        self.lost = False

    @classmethod
    async def open(cls, endpoint: Endpoint, limits: Limits) -> Connection:
        """Connect. Raises Refused where the gateway answers with a status, else ConnectionLost."""
        try:
            socket = await connect(
                endpoint.connect_url,
                # list[str] is invariant, and what is asked for is a list of a str subtype.
                subprotocols=endpoint.subprotocols,  # type: ignore[arg-type]
                open_timeout=limits.reply_timeout_s,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_FRAME_BYTES,
                # Frames are small, and API Gateway does not compress.
                compression=None,
                # API Gateway counts traffic, not control frames; `ping` of the contract does this work.
                ping_interval=None,
                logger=_socket_log,
            )
        except InvalidStatus as error:
            raise Refused(error.response.status_code) from error
        except InvalidURI as error:
            # The error's own text holds the whole URL.
            raise GroupcastError(f"{endpoint.shown_url} isn't a WebSocket URL: {error.msg}") from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            msg = f"cannot connect to {endpoint.shown_url}: {str(error) or type(error).__name__}"
            raise ConnectionLost(msg) from error
        return cls(socket, limits)

    async def request(self, expected: type[Reply], action: str, **fields: Any) -> Reply:
        """Send a request and return its reply.

        Raises ServerError where the service says no, ConnectionLost where nothing comes in time: the
        connection is closed then, for nobody knows what else it has lost.
        """
        request_id = str(next(self._ids))
        reply: asyncio.Future[frames.Body] = asyncio.get_running_loop().create_future()
        self._open_requests[request_id] = reply
        try:
            if self.lost:
                raise ConnectionLost("the connection is closed")
            await self._socket.send(frames.encode(action, request_id, **fields))
            body = await self._answer(action, reply)
        except ConnectionClosed as error:
            self.lost = True
            raise ConnectionLost(str(error)) from error
        finally:
            del self._open_requests[request_id]
        if not isinstance(body, expected):
            raise ServerError("InternalError", f"{action} was answered with {type(body).__name__}")
        self.proven = True
        return body

    async def read(
        self, on_push: Callable[[frames.Push], None], room: Callable[[], Awaitable[Any]]
    ) -> NoReturn:
        """Read until the connection ends, then raise ConnectionLost. Waits for `room` before each frame."""
        try:
            while True:
                self._paused = True
                await room()
                self._paused = False
                self._dispatch(await self._socket.recv(decode=False), on_push)
        except ConnectionClosed as error:
            raise ConnectionLost(str(error)) from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Close, and fail what still waits for a reply with ConnectionLost."""
        self.lost = True
        for reply in self._open_requests.values():
            if not reply.done():
                reply.set_exception(ConnectionLost("the connection closed before the reply came"))
        await self._socket.close()

    async def _answer(self, action: str, reply: asyncio.Future[frames.Body]) -> frames.Body:
        while True:
            try:
                async with asyncio.timeout(self._limits.reply_timeout_s):
                    return await asyncio.shield(reply)
            except TimeoutError:
                # While the reader of `messages()` is slow nothing is read: the reply may well be there.
                if self._paused:
                    continue
                await self.close()
                raise ConnectionLost(f"no reply to {action} in {self._limits.reply_timeout_s:g} s") from None

    def _dispatch(self, raw: bytes, on_push: Callable[[frames.Push], None]) -> None:
        try:
            frame = frames.decode(raw)
        except ValueError as error:
            _log.warning("ignored a frame: %s", error)
            return
        if frame is None:
            return
        if isinstance(frame.body, frames.Push):
            on_push(frame.body)
            return
        reply = self._open_requests.get(frame.id or self._only_request())
        if reply is None or reply.done():
            _log.warning("nothing waits for %s", frame.body)
        elif isinstance(frame.body, ServerError):
            reply.set_exception(frame.body)
        else:
            reply.set_result(frame.body)

    def _only_request(self) -> str:
        # An error without an id (API Gateway's own have none) can only be blamed on a sole request.
        return next(iter(self._open_requests)) if len(self._open_requests) == 1 else ""
