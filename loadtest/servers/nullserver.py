"""A null server: it only answers joins, and acknowledges and immediately broadcasts messages.

`python -m loadtest.servers.nullserver CONNECTIONS` prints its port and serves 127.0.0.1 until it is stopped.
Its latency is that of the harness and the machine: the floor under every measurement.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import defaultdict
from typing import Any, cast

import httptools
import orjson
import uvloop
from websockets.frames import Opcode
from websockets.utils import accept_key

from loadtest.errors import LoadTestError
from loadtest.generate.framing import CLOSE, FrameSplitter, server_frame
from loadtest.generate.health import allow_files

_BACKLOG = 4096
_CREATED_AT = "2026-01-01T00:00:00.000Z"


class NullServer:
    """The members and the last seq of each group."""

    def __init__(self) -> None:
        self.members: dict[str, set[_ClientConnection]] = defaultdict(set)
        self.last_seq: dict[str, int] = defaultdict(int)

    def answer(self, client: _ClientConnection, frame: dict[str, Any]) -> None:
        """Handle a client's frame; the wire is described in README.md."""
        action = frame.get("action")
        if action == "joinGroup":
            client.group = frame["groupId"]
            self.members[client.group].add(client)
            last_seq = self.last_seq[client.group]
            client.reply("joined", groupId=client.group, lastSeq=last_seq, messages=[], complete=True)
        elif action == "sendMessage" and client.group is not None:
            self._broadcast(client, client.group, frame)
        elif action == "ping":
            client.reply("pong", groupId=client.group)
        else:
            client.reply("error", code="BadRequest", message="unknown to the null server")

    def leave(self, client: _ClientConnection) -> None:
        if client.group is not None:
            self.members[client.group].discard(client)

    def _broadcast(self, sender: _ClientConnection, group: str, frame: dict[str, Any]) -> None:
        self.last_seq[group] += 1
        ids = {"messageId": frame["messageId"], "seq": self.last_seq[group]}
        message = {**ids, "sender": "null", "message": frame["message"], "createdAt": _CREATED_AT}
        push = {"type": "messages", "groupId": group, "messages": [message]}
        data = server_frame(orjson.dumps(push))
        sender.reply("ack", groupId=group, createdAt=_CREATED_AT, **ids)
        for member in self.members[group]:
            member.write(data)


class _ClientConnection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = ("_key", "_open", "_parser", "_server", "_splitter", "_transport", "group", "write")

    def __init__(self, server: NullServer) -> None:
        self.group: str | None = None
        self._server = server
        self._open = False
        self._key = ""
        self._splitter = FrameSplitter()
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write

    def connection_lost(self, _exc: Exception | None) -> None:
        self._server.leave(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"sec-websocket-key":
            self._key = value.decode("latin-1")

    def data_received(self, data: bytes) -> None:
        if self._open:
            self._read(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._open = True
            accept = accept_key(self._key)
            self.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept.encode()
            )
            self._read(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._transport.abort()

    def reply(self, kind: str, **fields: Any) -> None:
        self.write(server_frame(orjson.dumps({"type": kind, **fields})))

    def _read(self, data: bytes) -> None:
        try:
            for opcode, payload in self._splitter.feed(data):
                if opcode == Opcode.TEXT:
                    self._server.answer(self, orjson.loads(payload))
                elif opcode == CLOSE:
                    self.write(server_frame(payload, Opcode.CLOSE))
                    self._transport.close()
        except (LoadTestError, ValueError):
            self._transport.abort()


async def serve(connections: int) -> None:
    """Serve 127.0.0.1 until SIGTERM. Raises LoadTestError if the system allows too few connections."""
    allow_files(connections)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    null = NullServer()
    server = await loop.create_server(lambda: _ClientConnection(null), "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(serve(int(sys.argv[1])))
