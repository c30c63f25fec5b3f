"""One HTTP connection, fed with bytes."""

from __future__ import annotations

import asyncio
from typing import TypeAlias, cast

import pytest

from groupcast.aws.errors import HttpError, ProtocolError, ResetError, TooLargeError, TruncatedError
from groupcast.aws.http1 import MAX_HEAD_BYTES, Connection, Response

MAX_BODY_BYTES = 1000
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: 7\r\n\r\nok"
PLAIN_PARTS = (200, {b"Content-Length": b"2", b"X-Id": b"7"}, b"ok")
CHUNKED = b"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX-Id: 8\r\n\r\n"
CHUNKED_PARTS = (410, {b"Transfer-Encoding": b"chunked"}, b"ok")
INTERIM = b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" + PLAIN

Parts: TypeAlias = tuple[int, dict[bytes, bytes], bytes]


class FakeTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True


class FakeOwner:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def connection_free(self, _: Connection) -> None:
        self.calls.append("free")

    def connection_lost(self, _: Connection) -> None:
        self.calls.append("lost")


class Wire:
    """A connection, its written bytes, and its outcomes."""

    def __init__(self) -> None:
        self.owner = FakeOwner()
        self.transport = FakeTransport()
        self.results: list[Response | HttpError] = []
        self.connection = Connection(self.owner, now=0.0, max_body_bytes=MAX_BODY_BYTES)
        self.connection.connection_made(cast("asyncio.Transport", self.transport))

    def ask(self) -> None:
        self.connection.send(b"request", self.results.append, 1.0, 2.0)

    def parts(self) -> list[Parts]:
        responses = [result for result in self.results if isinstance(result, Response)]
        assert len(responses) == len(self.results)
        return [(response.status, response.headers, response.body) for response in responses]

    def outcome(self) -> type:
        [result] = self.results
        assert not self.connection.busy
        assert self.transport.aborted
        assert "free" not in self.owner.calls
        return type(result)


@pytest.fixture
def wire() -> Wire:
    made = Wire()
    made.ask()
    return made


@pytest.mark.parametrize(
    ("data", "parts"), [(PLAIN, PLAIN_PARTS), (CHUNKED, CHUNKED_PARTS), (INTERIM, PLAIN_PARTS)]
)
def test_a_response_may_be_split_anywhere(data: bytes, parts: Parts) -> None:
    """At every position or byte by byte, and again on the same connection."""
    splits = [[data[:at], data[at:]] for at in range(1, len(data))]
    for pieces in [*splits, [data[at : at + 1] for at in range(len(data))]]:
        wire = Wire()
        for count in (1, 2):
            wire.ask()
            for piece in pieces:
                assert len(wire.results) == count - 1
                wire.connection.data_received(piece)
            assert wire.parts() == [parts] * count
        assert wire.owner.calls == ["free", "free"]
        assert not wire.transport.aborted


def test_the_connection_is_free_before_the_callback(wire: Wire) -> None:
    """So that the callback's next request can use it."""
    seen: list[list[str]] = []
    wire.connection.data_received(PLAIN)
    wire.connection.send(b"next", lambda _: seen.append(list(wire.owner.calls)), 1.0, 2.0)
    wire.connection.data_received(PLAIN)
    assert seen == [["free", "free"]]
    assert wire.transport.written == [b"request", b"next"]


@pytest.mark.parametrize(
    "surplus", [PLAIN, b"HTTP/1.1 5", b"x", b"HTTP/1.1 410 Gone\r\nX-Amzn-ErrorType: GoneException\r\n"]
)
def test_surplus_bytes_end_only_the_connection(wire: Wire, surplus: bytes) -> None:
    """They affect neither the response before them nor another request."""
    wire.connection.data_received(PLAIN + surplus)
    assert wire.parts() == [PLAIN_PARTS]
    assert wire.transport.aborted
    assert "free" not in wire.owner.calls


def test_unrequested_bytes_end_the_connection(wire: Wire) -> None:
    """They are not kept for the next request."""
    wire.connection.data_received(PLAIN)
    wire.connection.data_received(PLAIN)
    assert wire.transport.aborted
    assert wire.connection.closing
    assert wire.parts() == [PLAIN_PARTS]


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"],
)
def test_connection_close_is_heeded(wire: Wire, head: bytes) -> None:
    """A connection that the server closes isn't reused."""
    wire.connection.data_received(head + b"Content-Length: 0\r\n\r\n")
    [result] = wire.results
    assert isinstance(result, Response)
    assert wire.transport.aborted
    assert "free" not in wire.owner.calls


def test_the_end_of_the_connection_may_end_the_body(wire: Wire) -> None:
    """Without length and chunks, the body ends with the connection (RFC 9112, 6.3)."""
    wire.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nall there")
    wire.connection.data_received(b" is")
    assert not wire.results
    wire.connection.eof_received()
    wire.connection.connection_lost(None)
    assert wire.parts() == [(200, {}, b"all there is")]


@pytest.mark.parametrize("eof", [True, False])
@pytest.mark.parametrize(
    ("received", "error"),
    [
        (b"", ResetError),
        (b"H", TruncatedError),
        (PLAIN[:-1], TruncatedError),
        (CHUNKED[:-1], TruncatedError),
        (b"HTTP/1.1 100 Continue\r\n\r\n", TruncatedError),
    ],
)
def test_a_lost_connection_is_a_reset_or_a_truncation(
    wire: Wire, received: bytes, error: type, eof: bool
) -> None:
    """ResetError before the first byte of the response, TruncatedError after it."""
    if received:
        wire.connection.data_received(received)
    if eof:
        wire.connection.eof_received()
    wire.connection.connection_lost(None if eof else ConnectionResetError("reset by peer"))
    assert wire.outcome() is error


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"HTTP/2 200 OK\r\n",
        b"HTTP/1.1 abc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_non_http_is_a_protocol_error(wire: Wire, data: bytes) -> None:
    """Whatever llhttp refuses."""
    wire.connection.data_received(data)
    assert wire.outcome() is ProtocolError


def test_a_head_has_a_limit(wire: Wire) -> None:
    """An endless head is cut off soon after MAX_HEAD_BYTES."""
    wire.connection.data_received(b"HTTP/1.1 200 OK\r\n" + b"X-More: x\r\n" * (MAX_HEAD_BYTES // 11))
    assert wire.outcome() is TooLargeError


def test_a_body_has_a_limit(wire: Wire) -> None:
    """A response over the limit is cut off even if it arrives at once."""
    size = MAX_HEAD_BYTES + MAX_BODY_BYTES
    wire.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    assert wire.outcome() is TooLargeError


def test_limits_apply_to_each_response(wire: Wire) -> None:
    """Long-lived connections aren't cut off for their total bytes."""
    for _ in range((MAX_HEAD_BYTES + MAX_BODY_BYTES) // len(PLAIN) + 2):
        wire.connection.data_received(PLAIN)
        wire.ask()
    assert not wire.transport.aborted


def test_header_names_ignore_case() -> None:
    """A missing header is empty."""
    response = Response(410, b"HTTP/1.1 410 Gone\r\nx-amzn-ErrorType: GoneException\r\n\r\n", b"")
    assert response.header("X-Amzn-Errortype") == "GoneException"
    assert response.header("Retry-After") == ""


@pytest.mark.parametrize(
    "around", [(b"", CHUNKED), (b"", PLAIN), (b"", b"\x00"), (INTERIM[: -len(PLAIN)], b"")]
)
def test_only_the_responses_own_headers_count(wire: Wire, around: tuple[bytes, bytes]) -> None:
    """Interim responses, trailers and surplus bytes add nothing, even if all arrives at once."""
    before, after = around
    wire.connection.data_received(before + CHUNKED + after)
    assert wire.parts() == [CHUNKED_PARTS]
