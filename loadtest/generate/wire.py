"""Connections of virtual users: the handshake, then a receiver that only stamps incoming bytes."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import quote, urlsplit

import httptools
from websockets.frames import Close, CloseCode, Opcode
from websockets.utils import accept_key

from loadtest.errors import ConnectError
from loadtest.generate.framing import PING, FrameSplitter, client_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.results.ledger import Member

CONNECT_TIMEOUT_S = 30.0
_SWITCHING_PROTOCOLS = 101
_SUBPROTOCOL = "groupcast.v1"
_PORTS = {"ws": 80, "wss": 443}


class Receiver(Protocol):
    """Receives the bytes of many connections."""

    def add(self, stamp_ns: int, connection: Connection, data: bytes) -> None:
        """Take bytes that arrived at `stamp_ns` (monotonic)."""

    def closed(self, connection: Connection) -> None:
        """Called when the server closed a connection."""


class Connection(asyncio.Protocol):
    """An open WebSocket of `user`. `member` is set once it has joined a group."""

    __slots__ = ("_receiver", "_transport", "closing", "member", "opened_ns", "splitter", "user")

    def __init__(self, user: int, transport: asyncio.Transport, receiver: Receiver, opened_ns: int) -> None:
        self.user = user
        self.opened_ns = opened_ns
        self.member: Member | None = None
        self.splitter = FrameSplitter()
        self.closing = False
        self._transport = transport
        self._receiver = receiver

    def data_received(self, data: bytes) -> None:
        self._receiver.add(monotonic_ns(), self, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.closing:
            self.closing = True
            self._receiver.closed(self)

    def send(self, frame: bytes) -> bool:
        """Send a text message; return False if the connection is closed."""
        if self._transport.is_closing():
            return False
        self._transport.write(client_frame(frame))
        return True

    def close(self) -> None:
        """Send a closing frame and close."""
        if not self.closing:
            self.closing = True
            self._transport.write(client_frame(Close(CloseCode.NORMAL_CLOSURE, "").serialize(), Opcode.CLOSE))
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def answer_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._transport.write(client_frame(payload, Opcode.PONG))
        else:
            self._transport.write(client_frame(payload, Opcode.CLOSE))
            self._transport.close()


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens connections to one server; looks up its address once."""

    address: str
    port: int
    host: str
    server_name: str
    path: str
    query: str
    tls: ssl.SSLContext | None = None
    token: str | None = field(default=None, repr=False)

    @classmethod
    async def resolve(cls, url: str, token: str | None) -> Dialer:
        """Raises ConnectError if `url` is not a ws:// or wss:// URL, or its host is unknown."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ConnectError(f"{url} is not a ws:// or wss:// URL")
        port = parts.port or _PORTS[parts.scheme]
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConnectError(f"{parts.hostname}: {error.strerror}") from error
        tls = ssl.create_default_context() if parts.scheme == "wss" else None
        return cls(
            address=str(found[0][4][0]),
            port=port,
            host=parts.netloc.rpartition("@")[2],
            server_name=parts.hostname,
            path=parts.path or "/",
            query=parts.query,
            tls=tls,
            token=token,
        )

    async def open(self, user: int, receiver: Receiver) -> Connection:
        """Connect and complete the handshake. Raises ConnectError."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Connection] = loop.create_future()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, _ = await loop.create_connection(
                    lambda: _Handshake(self._request(user), user, receiver, opened),
                    self.address,
                    self.port,
                    ssl=self.tls,
                    server_hostname=self.server_name if self.tls else None,
                )
                try:
                    return await opened
                except BaseException:
                    transport.abort()
                    raise
        except TimeoutError:
            raise ConnectError(f"no handshake within {CONNECT_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise ConnectError(f"can't connect to {self.host}: {error.strerror or error}") from error

    def _request(self, user: int) -> Callable[[str], bytes]:
        query = [self.query] if self.query else []
        # Without sign-in, ?name= names the user.
        if self.token is None:
            query.append(f"name={quote(f'load-{user + 1}')}")
        target = f"{self.path}?{'&'.join(query)}" if query else self.path
        offered = f"Sec-WebSocket-Protocol: {_SUBPROTOCOL}, bearer.{self.token}\r\n" if self.token else ""
        return lambda key: (
            f"GET {target} HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n"
        ).encode()


class _Handshake(asyncio.Protocol):
    """The upgrade (RFC 6455, section 4.1), parsed by llhttp; then a Connection takes over."""

    def __init__(
        self,
        request: Callable[[str], bytes],
        user: int,
        receiver: Receiver,
        opened: asyncio.Future[Connection],
    ) -> None:
        self._key = base64.b64encode(os.urandom(16)).decode()
        self._request = request(self._key)
        self._user = user
        self._receiver = receiver
        self._opened = opened
        self._accepted = False
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"sec-websocket-accept":
            self._accepted = value.decode("latin-1") == accept_key(self._key)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != _SWITCHING_PROTOCOLS:
            self._fail(f"the server refused the handshake with {status}")

    def data_received(self, data: bytes) -> None:
        stamp_ns = monotonic_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(stamp_ns, data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(f"the handshake's answer is not HTTP: {error}")

    def connection_lost(self, _exc: Exception | None) -> None:
        self._fail("the server closed the connection in the handshake")

    def _switch(self, stamp_ns: int, rest: bytes) -> None:
        if not self._accepted:
            self._fail("the handshake's answer does not match its key")
        if self._opened.done():
            return
        connection = Connection(self._user, self._transport, self._receiver, stamp_ns)
        self._transport.set_protocol(connection)
        self._opened.set_result(connection)
        if rest:
            self._receiver.add(stamp_ns, connection, rest)

    def _fail(self, reason: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(ConnectError(reason))
