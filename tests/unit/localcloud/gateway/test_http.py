"""HTTP on the gateway's port: kept alive, pipelined, and bounded."""

from __future__ import annotations

import asyncio

import pytest

from localcloud.gateway import GatewayLimits
from tests.unit.localcloud.gateway.support import Functions, at, http, joined, serving

SIGNATURE = "Authorization: AWS4-HMAC-SHA256 x\r\n"
CHUNKED = b"POST /dev/@connections/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_requests_may_come_byte_by_byte() -> None:
    """However TCP splits a request."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        request = f"POST {at(id_)} HTTP/1.1\r\nHost: localhost\r\n{SIGNATURE}Content-Length: 2\r\n\r\nhi"
        for byte in request.encode():
            sender.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await sender.receive()).status == 200
        assert await client.recv() == "hi"


@pytest.mark.parametrize(("version", "header"), [("1.1", "Connection: close\r\n"), ("1.0", "")])
async def test_the_last_request_ends_the_connection(version: str, header: str) -> None:
    """After `Connection: close` or HTTP/1.0, the answer says so and the connection ends."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        request = f"GET / HTTP/{version}\r\nHost: localhost\r\n{header}\r\n"
        sender.writer.write(f"{request}GET / HTTP/1.1\r\n\r\n".encode())
        response = await sender.receive()
        assert (response.status, response.headers["connection"]) == (404, "close")
        assert await sender.reader.read() == b""


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"]
)
async def test_non_http_is_a_bad_request(garbage: bytes) -> None:
    """Garbage, or TLS on the plain port: 400, and the connection ends."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        sender.writer.write(garbage)
        assert (await sender.receive()).status == 400
        assert await sender.reader.read() == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 1_000_000, 431),
    ],
    ids=["URL", "one header", "many headers"],
)
async def test_heads_are_bounded(request_: bytes, status: int) -> None:
    """A URL or headers over the limit are refused before they fill the memory."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        sender.writer.write(request_)
        assert (await sender.receive()).status == status


@pytest.mark.parametrize("trailers", [b"X: " + b"x" * 10_000_000, b"X: x\r\n" * 1_000_000])
async def test_trailers_are_bounded(trailers: bytes) -> None:
    """They count as headers, one long one or many."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        sender.writer.write(CHUNKED + b"2\r\nhi\r\n0\r\n" + trailers)
        assert (await sender.receive()).status == 431


async def test_chunk_extensions_are_bounded() -> None:
    """They count as headers, too."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        sender.writer.write(CHUNKED + b"2;x=" + b"x" * 10_000_000)
        assert (await sender.receive()).status == 431


async def test_chunked_bodies_do_not_count_as_headers() -> None:
    """1 MB in chunks with short trailers is normal; a signature in a trailer does not count."""
    chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    trailers = SIGNATURE.encode() + b"\r\n"
    async with serving(Functions()) as gateway, http(gateway) as sender:
        for _ in range(2):
            sender.writer.write(CHUNKED + chunk * 128 + b"0\r\n" + trailers)
            assert (await sender.receive()).status == 403


async def test_a_body_without_end_is_cut_off() -> None:
    """Beyond the bytes dropped for a 413, the connection is closed."""
    functions = Functions()
    limits = GatewayLimits(discarded_bytes=300_000)
    async with (
        serving(functions, limits=limits) as gateway,
        joined(gateway, functions) as (_, id_),
        http(gateway) as sender,
    ):
        head = f"POST {at(id_)} HTTP/1.1\r\nHost: localhost\r\n{SIGNATURE}Content-Length: 9999999\r\n"
        sender.writer.write(f"{head}\r\n".encode())
        sender.writer.write(b"x" * 300_001)
        assert (await sender.receive()).error == (413, None, "Message too long")
        assert await sender.reader.read() == b""


async def test_head_has_no_body() -> None:
    """Otherwise the client would take it for the next answer."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        assert (await sender.request("HEAD", "/")).body == b""
        assert (await sender.request("GET", "/")).error == (404, None, "Not Found")


async def test_silent_connections_are_closed() -> None:
    """After the idle time; active ones are kept."""
    functions = Functions()
    limits = GatewayLimits(http_idle_timeout_s=0.3)
    async with (
        serving(functions, limits=limits) as gateway,
        http(gateway) as silent,
        http(gateway) as speaking,
    ):
        ending = asyncio.ensure_future(silent.reader.read())
        while not ending.done():
            assert (await speaking.request("GET", "/")).status == 404
            await asyncio.wait([ending], timeout=0.02)
        assert await ending == b""
        assert (await speaking.request("GET", "/")).status == 404


async def test_a_sender_that_does_not_read_is_not_read() -> None:
    """Unread answers do not pile up: the gateway stops reading requests, and resumes later."""
    total = 10_000
    # Requests and answers of 3 KB, since the id is repeated: 30 MB each way exceed the sockets' buffers.
    path = "/dev/@connections/" + "x" * 3000
    limits = GatewayLimits(write_buffer_bytes=100_000)
    async with serving(Functions(), limits=limits) as gateway, http(gateway) as sender:
        sender.writer.transport.pause_reading()  # type: ignore[attr-defined] # typed as a WriteTransport

        async def flood() -> None:
            for _ in range(total):
                sender.send("POST", path)
                await sender.writer.drain()

        flooding = asyncio.ensure_future(flood())
        await asyncio.wait([flooding], timeout=0.5)
        assert not flooding.done()
        sender.writer.transport.resume_reading()  # type: ignore[attr-defined] # typed as a WriteTransport
        for _ in range(total):
            assert (await sender.receive()).status == 400
        await flooding
