"""An HTTP server on 127.0.0.1 that misbehaves on request: `/{behaviour}/{anything}`.

Every response names its request's path, so that a client can tell whose response it got.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator


Behaviour: TypeAlias = "Callable[[Peer, str], Awaitable[None]]"


class Peer:
    """The server's end of one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.asked = asyncio.Event()
        self.word = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self._writer.is_closing()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drip(self, data: bytes) -> None:
        """Write byte by byte, letting the other side read in between."""
        for index in range(len(data)):
            self._writer.write(data[index : index + 1])
            await self._writer.drain()
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close properly after everything is written."""
        self._writer.close()

    async def closed_for_good(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Reset the connection."""
        with self._socket() as connected:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def shut(self) -> None:
        """Close the connection at once, before the event loop runs."""
        with self._socket() as connected:
            connected.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        self._writer.transport.abort()

    @contextmanager
    def _socket(self) -> Iterator[socket.socket]:
        # A new socket object, since uvloop's own supports few operations.
        fileno = self._writer.get_extra_info("socket").fileno()
        with socket.fromfd(fileno, socket.AF_INET, socket.SOCK_STREAM) as found:
            yield found


def response(path: str, *, status: str = "200 OK", head: str = "", length: bool = True) -> bytes:
    """Return a response that names the path it answers to, in its body."""
    if length:
        head += f"Content-Length: {len(path)}\r\n"
    return f"HTTP/1.1 {status}\r\n{head}\r\n{path}".encode()


def chunked(path: str) -> bytes:
    """Return a response in chunks of one byte, with a trailer."""
    chunks = "".join(f"1\r\n{char}\r\n" for char in path)
    return (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nX-Trailer: yes\r\n\r\n".encode()
    )


# Behaviours with a complete response.


async def plain(peer: Peer, path: str) -> None:
    peer.write(response(path))


async def drips(peer: Peer, path: str) -> None:
    await peer.drip(response(path))


async def chunks(peer: Peer, path: str) -> None:
    peer.write(chunked(path))


async def drips_chunks(peer: Peer, path: str) -> None:
    await peer.drip(chunked(path))


async def interim(peer: Peer, path: str) -> None:
    early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Hint: no\r\n\r\n"
    peer.write(early.encode() + response(path))


async def says_close(peer: Peer, path: str) -> None:
    peer.write(response(path, head="Connection: close\r\n"))
    peer.close()


async def says_close_and_stays(peer: Peer, path: str) -> None:
    peer.write(response(path, head="Connection: close\r\n"))


async def ends_by_closing(peer: Peer, path: str) -> None:
    peer.write(response(path, length=False))
    peer.close()


async def closes_after(peer: Peer, path: str) -> None:
    peer.write(response(path))
    peer.close()


async def resets_after(peer: Peer, path: str) -> None:
    peer.write(response(path))
    await asyncio.sleep(0.01)
    peer.reset()


async def answers_twice(peer: Peer, path: str) -> None:
    peer.write(response(path) + response("/somebody-else"))


async def answers_twice_chunked(peer: Peer, path: str) -> None:
    peer.write(chunked(path) + chunked("/somebody-else"))


async def answers_and_a_half(peer: Peer, path: str) -> None:
    peer.write(response(path) + b"HTTP/1.1 2")


async def waits_for_word(peer: Peer, path: str) -> None:
    """Answer when the test sets `peer.word`."""
    peer.asked.set()
    await peer.word.wait()
    peer.write(response(path))


# Behaviours without a complete response.


async def never_answers(peer: Peer, path: str) -> None:
    """Keep the connection open and send nothing."""


async def never_ends(peer: Peer, path: str) -> None:
    peer.write(response(path)[:-1])


async def closes(peer: Peer, path: str) -> None:
    peer.close()


async def resets(peer: Peer, path: str) -> None:
    peer.reset()


async def closes_midway(peer: Peer, path: str) -> None:
    peer.write(response(path)[:-1])
    peer.close()


async def closes_in_head(peer: Peer, path: str) -> None:
    peer.write(response(path)[:20])
    peer.close()


async def closes_in_chunk(peer: Peer, path: str) -> None:
    peer.write(chunked(path)[:-20])
    peer.close()


async def resets_midway(peer: Peer, path: str) -> None:
    peer.write(response(path)[:-1])
    await asyncio.sleep(0.01)
    peer.reset()


async def resets_unbounded(peer: Peer, path: str) -> None:
    peer.write(response(path, length=False)[:-1])
    await asyncio.sleep(0.01)
    peer.reset()


async def vanishes_unbounded(peer: Peer, path: str) -> None:
    """End a body delimited by the connection's end, without TLS's closing alert."""
    peer.write(response(path, length=False)[:-1])
    await asyncio.sleep(0.01)
    peer.shut()


async def garbage(peer: Peer, path: str) -> None:
    peer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")


async def switches(peer: Peer, path: str) -> None:
    peer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nhello")


async def two_lengths(peer: Peer, path: str) -> None:
    peer.write(response(path, head="Content-Length: 3\r\n"))


async def endless_head(peer: Peer, path: str) -> None:
    peer.write(b"HTTP/1.1 200 OK\r\n")
    while not peer.closed:
        peer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await asyncio.sleep(0)


async def endless_interim(peer: Peer, path: str) -> None:
    while not peer.closed:
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)
        await asyncio.sleep(0)


async def endless_body(peer: Peer, path: str) -> None:
    peer.write(response("", length=False))
    while not peer.closed:
        peer.write(b"x" * 10_000)
        await asyncio.sleep(0)


@dataclass
class HostileServer:
    """The server as tests see it. `peers` are its connections, in order."""

    port: int
    scheme: str
    peers: list[Peer] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def https_url(self) -> str:
        """The URL for TLS with a server that may not speak it."""
        return f"https://127.0.0.1:{self.port}"


@asynccontextmanager
async def hostile_server(
    tls: ssl.SSLContext | None = None, *, greeting: bytes = b""
) -> AsyncIterator[HostileServer]:
    """Serve until the end of the block; then no connection or task remains."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer)
        served.peers.append(peer)
        peer.write(greeting)
        task = asyncio.get_running_loop().create_task(_serve(reader, peer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, backlog=512)
    served = HostileServer(server.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield served
    finally:
        server.close()
        for peer in served.peers:
            peer.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in served.peers:
            await peer.closed_for_good()
        await server.wait_closed()


async def _serve(reader: asyncio.StreamReader, peer: Peer) -> None:
    # The client may disconnect at any time.
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while not peer.closed:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length or 0))
            path = head.split()[1]
            behave = globals()[path.split("/")[1]]
            await behave(peer, path)
