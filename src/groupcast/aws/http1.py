"""One HTTP/1.1 client connection: one request at a time, llhttp (httptools) reads the response.

A second request is written only after the whole response to the first, and unasked bytes
close the connection, so that a response isn't taken for another's. (Unasked bytes that arrive while the
next request is under way look like its response; HTTP/1.1 has no means against that.) This also bounds
what waits to be written to one request a connection: there is no need to heed `pause_writing`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from groupcast.aws.errors import HttpError, ProtocolError, ResetError, TooLargeError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable

# The head of a response, with any 1xx before it, must be complete within this much.
MAX_HEAD_BYTES = 32 * 1024
_FIRST_FINAL_STATUS = 200


@dataclass(slots=True)
class Response:
    """A response. `head` has all bytes up to the end of its head; `headers` parses them when asked.

    Accepted posts need no headers, and collecting them would cost more than all other parsing.
    """

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Headers under the names as the server wrote them; of a repeated one the last counts."""
        return _Headers(self.head).found or {}

    def header(self, name: str) -> str:
        """Return a header's value, empty without that header."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for k, v in self.headers.items() if k.lower() == wanted), "")


class _Headers:
    """The headers of the final response in bytes that a Connection's parser accepted already."""

    __slots__ = ("_collected", "_parser", "found", "on_header")

    def __init__(self, head: bytes) -> None:
        self._collected: dict[bytes, bytes] = {}
        self.on_header = self._collected.__setitem__
        self.found: dict[bytes, bytes] | None = None
        self._parser = HttpResponseParser(self)
        # The head was whole; anything may follow it.
        with suppress(HttpParserError, HttpParserUpgrade):
            self._parser.feed_data(head)
        # It refers back to this: together they would wait for the garbage collector.
        del self._parser

    def on_headers_complete(self) -> None:
        # Trailers and a second response come later, and are not its headers.
        if self.found is None and self._parser.get_status_code() >= _FIRST_FINAL_STATUS:
            self.found = self._collected.copy()
        self._collected.clear()


OnDone: TypeAlias = "Callable[[Response | HttpError], None]"


class Owner(Protocol):
    """The owner of connections: the pool."""

    def connection_free(self, connection: Connection) -> None:
        """Take back a connection that has its whole response; `on_done` is called right after."""

    def connection_lost(self, connection: Connection) -> None:
        """Forget a connection, its socket is closed; `on_done` is called right after if it was busy."""


class Connection(asyncio.Protocol):
    """A connection for `loop.create_connection`. Each `send` leads to exactly one call of `on_done`."""

    __slots__ = (
        "_head",
        "_head_complete",
        "_max_bytes",
        "_on_done",
        "_owner",
        "_parser",
        "_parts",
        "_received_bytes",
        "_response",
        "_reusable",
        "_transport",
        "closing",
        "deadline",
        "on_body",
        "used_at",
    )

    def __init__(self, owner: Owner, *, now: float, max_body_bytes: int) -> None:
        self._owner = owner
        self._max_bytes = MAX_HEAD_BYTES + max_body_bytes
        self._on_done: OnDone | None = None
        # Nothing may be sent any more: dropped, or the server said goodbye.
        self.closing = False
        # Loop times, of making it and then of the last request. The owner sees to the deadline (`fail`).
        self.used_at = self.deadline = now
        self._head = b""
        self._parts: list[bytes] = []
        # The parser looks for callbacks when it is made. For want of `on_header` it makes no header objects.
        self.on_body = self._parts.append
        self._received_bytes = 0
        self._head_complete = False
        self._reusable = True
        self._response: Response | None = None
        self._parser = HttpResponseParser(self)

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._on_done is not None

    def send(self, request: bytes, on_done: OnDone, now: float, deadline: float) -> None:
        """Write a request (head and body); only if neither `busy` nor `closing`."""
        self._on_done = on_done
        self.used_at = now
        self.deadline = deadline
        self._transport.write(request)

    def fail(self, error: HttpError) -> None:
        """Drop the connection; if a request was under way, this error is its outcome."""
        on_done, self._on_done = self._on_done, None
        self.drop()
        if on_done is not None:
            on_done(error)

    def drop(self) -> None:
        """Close without waiting for anything."""
        self.closing = True
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._on_done is None:
            # Nobody asked. Whatever it answers, it must not meet the next request.
            self.drop()
            return
        self._received_bytes += len(data)
        if self._received_bytes > self._max_bytes:
            self.fail(TooLargeError(f"a response of more than {self._max_bytes} bytes"))
            return
        if not self._head_complete:
            self._head += data
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if self._response is None:
                self.fail(ProtocolError(f"not an HTTP/1.1 response: {error}"))
                return
            # The response was whole; the bytes after it make the connection useless.
            self._reusable = False
        if self._response is not None:
            self._finish(self._response)
        elif not self._head_complete and self._received_bytes > MAX_HEAD_BYTES:
            self.fail(TooLargeError(f"a response head of more than {MAX_HEAD_BYTES} bytes"))

    def eof_received(self) -> None:
        # By returning None the transport closes.
        self.closing = True
        if self._head_complete and _ends_with_connection(response := self._take_response()):
            self._reusable = False
            self._finish(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._owner.connection_lost(self)
        if self._on_done is not None:
            reason = f": {exc}" if exc else ""
            if self._received_bytes:
                self.fail(TruncatedError(f"closed in the middle of the response{reason}"))
            else:
                self.fail(ResetError(f"closed before the response{reason}"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._response is not None:
            raise ProtocolError("more than was asked for")

    def on_headers_complete(self) -> None:
        self._head_complete = True

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < _FIRST_FINAL_STATUS:
            # An interim response (RFC 9110, 15.2); the real one follows.
            self._head_complete = False
            return
        self._reusable = self._parser.should_keep_alive()
        self._response = self._take_response()

    def _take_response(self) -> Response:
        return Response(self._parser.get_status_code(), self._head, b"".join(self._parts))

    def _finish(self, response: Response) -> None:
        on_done, self._on_done = self._on_done, None
        self._response = None
        self._head_complete = False
        self._received_bytes = 0
        self._head = b""
        self._parts.clear()
        if self._reusable:
            # Free before the callback: its next request can go out at once, on this connection.
            self._owner.connection_free(self)
        else:
            self.drop()
        if on_done is not None:
            on_done(response)


def _ends_with_connection(response: Response) -> bool:
    # RFC 9112, 6.3: neither length nor chunks, so the end of the connection ends the body.
    names = {name.lower() for name in response.headers}
    return names.isdisjoint((b"content-length", b"transfer-encoding"))
