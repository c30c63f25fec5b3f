"""One WebSocket to the gateway: matches replies to requests and passes pushes on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode

from groupcast_client import frames
from groupcast_client.errors import ConnectionLost, GroupcastError, Refused, ServerError
from groupcast_client.outstanding import Outstanding

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.client import ClientConnection

    from groupcast_client.model import Endpoint, Limits
    from groupcast_client.outstanding import Request

# The most that a dead peer can delay a close.
CLOSE_TIMEOUT_S = 1.0

_log = logging.getLogger("groupcast_client")
# At DEBUG, websockets logs headers and frames, including tokens. A global DEBUG level must not enable it.
_socket_log = logging.getLogger("groupcast_client.socket")
_socket_log.setLevel(logging.INFO)
Reply = TypeVar("Reply")


class Connection:
    """An open connection; `read` must run for `request` to get its replies."""

    def __init__(self, socket: ClientConnection, limits: Limits) -> None:
        self._socket = socket
        self._limits = limits
        self._requests = Outstanding()
        # Held while a frame is sent: its fragments must not be mixed with other frames.
        self._sending = asyncio.Lock()
        # Set by the first reply or push that is not an error, cleared if a frame's size ended the connection.
        # After a proven connection, reconnect delays start short again.
        self.proven = False
        self.lost = False

    @classmethod
    async def open(cls, endpoint: Endpoint, limits: Limits) -> Connection:
        """Connect. Raises Refused if the gateway answers with an HTTP status, otherwise ConnectionLost."""
        try:
            socket = await connect(
                endpoint.connect_url,
                # websockets expects a list of a str subtype, and lists are invariant.
                subprotocols=endpoint.subprotocols,  # type: ignore[arg-type]
                open_timeout=limits.reply_timeout_s,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=frames.MESSAGE_BYTES,
                # Frames are small, and API Gateway does not compress.
                compression=None,
                # AWS documents neither that API Gateway answers control frames nor that they keep an idle
                # connection; `ping` of the contract does both, and tells of missed messages.
                ping_interval=None,
                logger=_socket_log,
            )
        except InvalidStatus as error:
            raise Refused(error.response.status_code) from error
        except InvalidURI as error:
            # The error's own text contains the whole URL, with any token in it.
            raise GroupcastError(f"{endpoint.shown_url} isn't a WebSocket URL: {error.msg}") from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            msg = f"cannot connect to {endpoint.shown_url}: {str(error) or type(error).__name__}"
            raise ConnectionLost(msg) from error
        return cls(socket, limits)

    async def request(self, expected: type[Reply], action: str, **fields: Any) -> Reply:
        """Send a request and return its reply.

        Raises ServerError if the service refuses it, TooLarge if the gateway does, and ConnectionLost if the
        frame cannot be sent or no reply comes in time. The connection is then closed, since other frames may
        be lost, too.
        """
        if self.lost:
            raise ConnectionLost("the connection is closed")
        request = self._requests.add()
        try:
            await self._send(request, frames.encode(action, str(request.id), **fields))
            body = await self._answer(action, request.reply)
        finally:
            self._requests.drop(request)
        if not isinstance(body, expected):
            raise ServerError("InternalError", f"{action} was answered with {type(body).__name__}")
        self.proven = True
        return body

    async def read(self, on_push: Callable[[frames.Push], None]) -> NoReturn:
        """Read until the connection ends, then raise ConnectionLost."""
        try:
            while True:
                self._dispatch(await self._socket.recv(decode=False), on_push)
        except ConnectionClosed as error:
            self._end(error)
            raise ConnectionLost(str(error)) from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Close, and fail all unanswered requests with ConnectionLost."""
        self._end(None)
        await self._socket.close()

    def abort(self) -> None:
        """End the connection immediately, without a closing handshake; `read` then raises."""
        self._end(None)
        self._socket.transport.abort()

    def _end(self, error: ConnectionClosed | None) -> None:
        is_too_large = error is not None and _is_too_large(error)
        if is_too_large:
            self.proven = False
        self.lost = True
        self._requests.end(is_too_large=is_too_large)

    async def _send(self, request: Request, raw: bytes) -> None:
        timeout_s = self._limits.reply_timeout_s
        try:
            async with asyncio.timeout(timeout_s), self._sending:
                await self._send_now(request, raw)
        except TimeoutError:
            # The peer does not read: a closing handshake would only wait behind the unsent bytes.
            self._requests.drop(request)
            self._socket.transport.abort()
            await self.close()
            raise ConnectionLost(f"the connection took no frame in {timeout_s:g} s") from None

    async def _send_now(self, request: Request, raw: bytes) -> None:
        parts = frames.fragments(raw)
        request.size_bytes = len(raw)
        try:
            await self._socket.send(parts[0] if len(parts) == 1 else parts, text=True)
        except ConnectionClosed as error:
            # `_end` sets the error of the request.
            self._end(error)
        except asyncio.CancelledError:
            # After part of a message the connection is unusable.
            if len(parts) > 1:
                self._socket.transport.abort()
            raise

    async def _answer(self, action: str, reply: asyncio.Future[frames.Body]) -> frames.Body:
        try:
            async with asyncio.timeout(self._limits.reply_timeout_s):
                return await asyncio.shield(reply)
        except TimeoutError:
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
            self.proven = True
            on_push(frame.body)
        else:
            self._requests.answer(frame.id, frame.body)


def _is_too_large(error: ConnectionClosed) -> bool:
    close = error.rcvd
    # With False, this side closed first, and the peer only repeated our code.
    return close is not None and close.code == CloseCode.MESSAGE_TOO_BIG and error.rcvd_then_sent is not False
