"""Connections on the wire: handshakes, pings, closing, parsing of received bytes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

from loadtest.errors import ConnectError
from loadtest.generate.framing import MAX_MESSAGE_BYTES
from loadtest.generate.inbox import Inbox
from loadtest.generate.wire import Connection, Dialer
from loadtest.plan.schedule import message_id, message_prefix
from loadtest.results.ledger import Member

PREFIX = message_prefix("0123456789ab")
PATIENCE_S = 10
WRONG_KEY = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n"
)


class Heard:
    """The events of a test's connections."""

    def __init__(self) -> None:
        self.received_: list[tuple[int, int]] = []
        self.stamps: list[int] = []
        self.replies: list[dict[str, Any]] = []
        self.closed_: list[Connection] = []
        self.news = asyncio.Event()

    def received(self, _member: Member, number: int, seq: int, stamp_ns: int) -> None:
        self.received_.append((number, seq))
        self.stamps.append(stamp_ns)
        self.news.set()

    def replied(self, _connection: Connection, frame: dict[str, Any], _stamp_ns: int) -> None:
        self.replies.append(frame)
        self.news.set()

    def closed(self, connection: Connection) -> None:
        self.closed_.append(connection)
        self.news.set()

    async def until(self, count: int, what: list[Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(what) < count:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def raw_server(answer: bytes, *, after: float | None = None) -> AsyncIterator[str]:
    """A server that sends `answer` in response to any data, and closes."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if after is not None:
            await asyncio.sleep(after)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def push(*numbers: int) -> str:
    messages = [{"messageId": message_id(PREFIX, number), "seq": number + 1} for number in numbers]
    return json.dumps({"type": "messages", "groupId": "g", "messages": messages})


@asynccontextmanager
async def open_to(*sends: str | list[str]) -> AsyncIterator[tuple[Heard, Connection, ServerConnection]]:
    """A joined connection to a websockets server that sends these; a list is a fragmented message."""
    served: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def talk(server: ServerConnection) -> None:
        for message in sends:
            await server.send(message)
        served.set_result(server)
        await server.wait_closed()

    async with serve(talk, "127.0.0.1", 0, ping_interval=None) as listening:
        heard = Heard()
        port = next(iter(listening.sockets)).getsockname()[1]
        dialer = await Dialer.resolve(f"ws://127.0.0.1:{port}/dev?a=1", None)
        connection = await dialer.open(0, Inbox(heard, PREFIX))
        connection.member = Member(group=0, slot=0, from_ns=0)
        yield heard, connection, await served
        connection.close()


async def test_pushes_are_read_whole_fragmented_and_repeated() -> None:
    """One message or several per push, in fragments or not, and the same bytes again."""
    whole = push(1)
    async with open_to(whole, whole, [push(2, 3)[:20], push(2, 3)[20:]], whole) as (heard, _, _):
        await heard.until(5, heard.received_)
    assert heard.received_ == [(1, 2), (1, 2), (2, 3), (3, 4), (1, 2)]
    assert heard.stamps == sorted(heard.stamps)


async def test_other_runs_messages_and_noise_are_ignored() -> None:
    """Invalid JSON and non-objects, too; replies are passed on unchanged."""
    other = push(5).replace(PREFIX, message_prefix("ffffffffffff"))
    async with open_to(other, "not json", "[1]", '{"type":"pong"}', push(6)) as (heard, _, _):
        await heard.until(1, heard.received_)
    assert heard.received_ == [(6, 7)]
    assert heard.replies == [{"type": "pong"}]


async def test_sent_frames_arrive() -> None:
    """The library's server reads our text frame; after the close nothing more is sent."""
    async with open_to() as (heard, connection, server):
        assert connection.send(b'{"action":"ping"}')
        # talk() only waits, so take the frame from websockets' queue.
        assert await server.recv() == '{"action":"ping"}'
        connection.close()
        assert not connection.send(b"{}")
    assert heard.closed_ == []


async def test_a_ping_is_answered() -> None:
    async with open_to() as (_, _, server), asyncio.timeout(PATIENCE_S):
        await (await server.ping(b"there?"))


async def test_a_server_that_closes_is_reported() -> None:
    """A close by the server is answered and reported; our own is not."""
    async with open_to() as (heard, connection, server):
        await server.close(1001, "going")
        await heard.until(1, heard.closed_)
        assert heard.closed_ == [connection]
        assert server.close_code == 1001


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refused the handshake with 403"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "refused the handshake with 200"),
        (b"SSH-2.0-OpenSSH\r\n", "is not HTTP"),
        (b"", "closed the connection in the handshake"),
        (WRONG_KEY, "does not match its key"),
    ],
    ids=["403", "200", "ssh", "silence", "wrong key"],
)
async def test_bad_handshakes_have_a_reason(answer: bytes, says: str) -> None:
    """Any answer except a WebSocket server's to this key is an error."""
    async with raw_server(answer) as url:
        dialer = await Dialer.resolve(url, None)
        with pytest.raises(ConnectError, match=says):
            await dialer.open(0, Inbox(Heard(), PREFIX))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1", "is not a ws:// or wss:// URL"),
        ("127.0.0.1:3001", "is not a ws:// or wss:// URL"),
        ("ws://", "is not a ws:// or wss:// URL"),
        ("ws://no-such-host.invalid", "no-such-host.invalid: "),
    ],
)
async def test_wrong_urls_are_refused(url: str, says: str) -> None:
    """Before any connection."""
    with pytest.raises(ConnectError, match=says):
        await Dialer.resolve(url, None)


async def test_nobody_listening_is_an_error() -> None:
    """A closed port is reported with the host's name."""
    async with raw_server(b"") as url:
        pass
    dialer = await Dialer.resolve(url, None)
    with pytest.raises(ConnectError, match=r"can't connect to 127\.0\.0\.1"):
        await dialer.open(0, Inbox(Heard(), PREFIX))


async def test_tls_is_checked_against_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """wss:// connects only if the certificate matches the name."""
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def talk(server: ServerConnection) -> None:
        await server.send(push(9))
        await server.wait_closed()

    async with serve(talk, "127.0.0.1", 0, ssl=tls) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        heard = Heard()
        dialer = await Dialer.resolve(f"wss://localhost:{port}", None)
        connection = await dialer.open(0, Inbox(heard, PREFIX))
        connection.member = Member(group=0, slot=0, from_ns=0)
        await heard.until(1, heard.received_)
        connection.close()
        elsewhere = await Dialer.resolve(f"wss://127.0.0.1:{port}", None)
        with pytest.raises(ConnectError, match="can't connect"):
            await elsewhere.open(0, Inbox(Heard(), PREFIX))


async def test_a_frame_that_never_ends_ends_the_connection() -> None:
    """So that a server cannot fill our memory."""
    async with open_to() as (heard, connection, server):
        server.transport.write(b"\x01\x7f" + (2**40).to_bytes(8) + b"x" * (MAX_MESSAGE_BYTES + 1))
        await heard.until(1, heard.closed_)
        assert heard.closed_ == [connection]
