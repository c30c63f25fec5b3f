"""A WebSocket handshake by hand: any bytes in the request, all bytes of the response."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

ANSWER_TIMEOUT_S = 20
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Handshake:
    """The gateway's response; `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    answer: str


async def shake_hands(
    url: str, target: str = "/", headers: Iterable[tuple[str, str]] = (), *, host: str = "localhost"
) -> Handshake:
    """Ask for a WebSocket and disconnect. Characters are bytes (Latin-1); `host` is the Host header."""
    address, _, port = url.removeprefix("ws://").partition(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    try:
        writer.write(_request(target, [("Host", host), *headers]))
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            head = await reader.readuntil(HEAD_END)
            # A refused connection ends with the response.
            body = b"" if head.startswith(b"HTTP/1.1 101 ") else await reader.read()
    finally:
        writer.transport.abort()
    lines = head.decode("latin-1").splitlines()
    pairs = (line.partition(":")[::2] for line in lines[1:] if line)
    return Handshake(
        int(lines[0].split()[1]),
        {name.lower(): value.strip() for name, value in pairs},
        (head + body).decode("latin-1"),
    )


def _request(target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [
        f"GET {target} HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join(lines).encode("latin-1") + HEAD_END
