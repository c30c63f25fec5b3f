"""One TCP connection: HTTP until the client asks for a WebSocket, then that WebSocket."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools
from websockets.frames import CloseCode

from localcloud.gateway.handshake import UpgradeRequest, shake_hands
from localcloud.gateway.ids import new_id
from localcloud.gateway.responses import closing, message_body, response
from localcloud.origins import REFUSED_STATUS

if TYPE_CHECKING:
    from localcloud.gateway.connection import Connection
    from localcloud.gateway.handshake import Shared

_SIGNATURE = b"AWS4-HMAC-SHA256 "
# A linger time of zero seconds turns a close into a reset.
_NO_LINGER = struct.pack("ii", 1, 0)


class _Request(NamedTuple):
    method: bytes
    target: bytes
    authorized: bool
    body: bytes | None
    keep_alive: bool


class GatewayProtocol(asyncio.Protocol):
    """Answers HTTP requests in order; after an upgrade it passes the bytes to the WebSocket."""

    def __init__(self, shared: Shared, peers: set[GatewayProtocol]) -> None:
        # Completed when the connection is lost.
        self.gone = asyncio.get_running_loop().create_future()
        self._shared = shared
        self._peers = peers
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast("asyncio.Transport", None)
        self._connection: Connection | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early = b""
        self._trusted_host: bytes | None = None
        self._heard = True
        self._done = False
        self._responses: list[bytes] = []
        self._held: deque[_Request] = deque()
        self._held_until_s = 0.0
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports don't subclass asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._shared.limits.write_buffer_bytes)
        self._peers.add(self)
        self._watch_idle_time()

    def go_away(self) -> None:
        """Start closing the connection; close at once if it is idle."""
        if self._connection is not None:
            self._connection.close(CloseCode.GOING_AWAY)
        elif self._handshake is not None:
            self._handshake.cancel()
        else:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.receive(data)
            return
        self._heard = True
        self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        else:
            if self._framing_bytes > self._shared.limits.header_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Request headers are too long")
        self._write_responses()

    def eof_received(self) -> None:
        if self._connection is not None:
            self._connection.receive_eof()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._peers.discard(self)
        self.gone.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.lost()

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.congest(True)
        else:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.congest(False)
        elif self._handshake is None and not self._transport.is_closing():
            self._transport.resume_reading()

    # Called by httptools.

    def on_message_begin(self) -> None:
        self._in_head = True
        # All but the body: request line, headers, chunk sizes and trailers.
        self._framing_bytes = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._authorized = False
        self._websocket = False
        self._host: bytes | None = None
        self._origin: bytes | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > self._shared.limits.url_bytes:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "URL is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # Ignore trailers.
            return
        self._headers.append((name, value))
        lowered = name.lower()
        if lowered == b"authorization":
            self._authorized = value.startswith(_SIGNATURE)
        elif lowered == b"upgrade":
            self._websocket = value.lower() == b"websocket"
        elif lowered == b"host":
            # A second one would be ambiguous.
            self._host = value if self._host is None else b""
        elif lowered == b"origin":
            self._origin = value if self._origin is None else b""

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._origin is not None or self._host is None or self._host != self._trusted_host:
            self._check_origin()

    def on_body(self, body: bytes) -> None:
        # Bytes of a message that begins within this data are counted from the next data on.
        self._framing_bytes = max(0, self._framing_bytes - len(body))
        self._body_bytes += len(body)
        if self._body_bytes <= self._shared.limits.message_bytes:
            self._body.append(body)
        elif self._body_bytes > self._shared.limits.discarded_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Message too long")

    def on_message_complete(self) -> None:
        if self._done or (self._websocket and self._parser.should_upgrade()):
            return
        request = _Request(
            self._parser.get_method(),
            self._target,
            self._authorized,
            b"".join(self._body) if self._body_bytes <= self._shared.limits.message_bytes else None,
            self._parser.should_keep_alive(),
        )
        posts = self._shared.posts
        if posts.observe is not None and request.method == b"POST" and request.body is not None:
            posts.observe(request.body)
        if posts.delay_s is None:
            self._answer(request)
        else:
            self._delay(request, posts.delay_s() if request.method == b"POST" else 0.0)

    # The rest of HTTP.

    def _answer(self, request: _Request) -> None:
        answer = self._shared.management.answer(
            request.method, request.target, authorized=request.authorized, body=request.body
        )
        if answer is None:
            self._reset()
        elif request.keep_alive:
            self._responses.append(answer)
        else:
            self._responses.append(closing(answer))
            self._done = True

    def _delay(self, request: _Request, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        # Answers must keep the order of their requests.
        self._held_until_s = max(self._held_until_s, loop.time() + wait_s)
        self._held.append(request)
        loop.call_at(self._held_until_s, self._answer_delayed)

    def _answer_delayed(self) -> None:
        # Always answer the first one: timers are rounded and may fire out of order.
        request = self._held.popleft()
        if not self._done and not self._transport.is_closing():
            self._answer(request)
            self._write_responses()

    def _write_responses(self) -> None:
        if self._responses:
            self._transport.write(b"".join(self._responses))
            self._responses.clear()
        if self._done:
            self._transport.close()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        if not self._done:
            self._done = True
            self._responses.append(closing(response(status, new_id().encode(), body=message_body(message))))

    def _check_origin(self) -> None:
        host, origin = (
            None if value is None else value.decode("latin-1") for value in (self._host, self._origin)
        )
        refusal = self._shared.origins.refusal(host, origin)
        if refusal is None:
            # Clients send the same headers in every request of a connection.
            self._trusted_host = self._host
        else:
            self._refuse(REFUSED_STATUS, refusal)
            self._shared.refusals.warn(refusal, origin)

    def _reset(self) -> None:
        self._done = True
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def _watch_idle_time(self) -> None:
        if not self._heard:
            self._transport.abort()
            return
        self._heard = False
        timeout_s = self._shared.limits.http_idle_timeout_s
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._watch_idle_time)

    # Upgrading to a WebSocket.

    def _upgrade(self, early: bytes) -> None:
        if not self._websocket:
            # An upgrade to another protocol is ignored, and the request has been answered normally.
            self._done = True
        if self._done:
            return
        if self._timer is not None:
            self._timer.cancel()
        # Leave frames that arrive before the answer in the socket.
        self._transport.pause_reading()
        self._early = early
        self._handshake = self._shared.background.spawn(self._shake_hands())

    async def _shake_hands(self) -> None:
        request = UpgradeRequest(
            self._parser.get_method().decode(),
            self._target.decode("latin-1"),
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers),
        )
        try:
            self._connection = await shake_hands(self._shared, self._transport, request)
        except BaseException:
            # Cancelled, or a defect: in both cases the client must not wait for an answer.
            self._transport.abort()
            raise
        if self._connection is None:
            self._transport.close()
        elif self._transport.is_closing():
            # Lost while its functions ran: run $disconnect.
            self._connection.lost()
        else:
            self._transport.resume_reading()
            if self._early:
                self._connection.receive(self._early)
