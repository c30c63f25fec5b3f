"""A chat server with known faults: it counts what it delays, drops, duplicates or swaps.

It is based on the websockets library, so it shares no code with the tested harness.
"""

from __future__ import annotations

import asyncio
import http
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic_ns

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


@dataclass
class Known:
    """What it does: hold back each push, all pushes in a window after the first message, or one delivery in
    so many; refuse some connections, joins or messages, cut all off after so many messages.

    `messages`, `dropped`, `doubled` and `swapped` are what it did; `held_ms` how long it really held each.
    """

    delay_s: float = 0.0
    stall_at: int | None = None
    stall_s: float = 0.0
    drop_every: int = 0
    double_every: int = 0
    swap_every: int = 0
    refuse_connections_from: int | None = None
    join_error: str | None = None
    refuse_every: int = 0
    cut_off_after: int | None = None

    url: str = ""
    messages: int = 0
    dropped: int = 0
    doubled: int = 0
    swapped: int = 0
    refused: int = 0
    connections: int = 0
    subprotocols: list[str | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    held_ms: list[float] = field(default_factory=list)
    delivered: int = 0
    _members: dict[str, list[ServerConnection]] = field(default_factory=lambda: defaultdict(list))
    _seq: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _held: dict[ServerConnection, str] = field(default_factory=dict)
    _stalled_until: float = 0.0

    def admit(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.names.append(request.path)
        self.subprotocols.append(request.headers.get("Sec-WebSocket-Protocol"))
        self.connections += 1
        if self.refuse_connections_from is not None and self.connections > self.refuse_connections_from:
            return _connection.respond(http.HTTPStatus.FORBIDDEN, "no")
        return None

    async def talk(self, connection: ServerConnection) -> None:
        group = ""
        try:
            async for text in connection:
                frame = json.loads(text)
                if frame["action"] == "joinGroup":
                    group = frame["groupId"]
                    await self._join(connection, group)
                elif frame["action"] == "sendMessage":
                    await self._send(connection, group, frame)
        except ConnectionClosed:
            pass
        finally:
            if connection in self._members[group]:
                self._members[group].remove(connection)

    async def _join(self, connection: ServerConnection, group: str) -> None:
        if self.join_error is not None:
            await connection.send(json.dumps({"type": "error", "code": self.join_error, "message": "no"}))
            return
        self._members[group].append(connection)
        reply = {"type": "joined", "groupId": group, "lastSeq": self._seq[group], "messages": []}
        await connection.send(json.dumps(reply))

    async def _send(self, connection: ServerConnection, group: str, frame: dict[str, str]) -> None:
        came_ns = monotonic_ns()
        self.messages += 1
        if self.refuse_every and self.messages % self.refuse_every == 0:
            self.refused += 1
            await connection.send(json.dumps({"type": "error", "code": "RateLimited", "message": "no"}))
            return
        self._seq[group] += 1
        ids = {"messageId": frame["messageId"], "seq": self._seq[group]}
        await connection.send(json.dumps({"type": "ack", "groupId": group, "createdAt": "", **ids}))
        push = {"type": "messages", "groupId": group, "messages": [{**ids, "message": frame["message"]}]}
        loop = asyncio.get_running_loop()
        if self.messages == self.stall_at:
            self._stalled_until = loop.time() + self.stall_s
        due = max(loop.time() + self.delay_s, self._stalled_until)
        loop.call_at(due, self._push, group, json.dumps(push), came_ns)

    def _push(self, group: str, text: str, came_ns: int) -> None:
        self.held_ms.append((monotonic_ns() - came_ns) / 1e6)
        if not (self.drop_every or self.double_every or self.swap_every):
            broadcast(self._members[group], text)
        else:
            for member in self._members[group]:
                self._push_to(member, text)
        if self.messages == self.cut_off_after:
            for member in list(self._members[group]):
                member.transport.abort()

    def _push_to(self, member: ServerConnection, text: str) -> None:
        self.delivered += 1
        if self.drop_every and self.delivered % self.drop_every == 0:
            self.dropped += 1
            return
        if self.swap_every and self.delivered % self.swap_every == 0 and member not in self._held:
            # Hold it until after the member's next message.
            self._held[member] = text
            return
        broadcast([member], text)
        if self.double_every and self.delivered % self.double_every == 0:
            self.doubled += 1
            broadcast([member], text)
        if member in self._held:
            self.swapped += 1
            broadcast([member], self._held.pop(member))

    def let_go(self) -> None:
        """Send a message held for a next one that never came; it is then in order."""
        for member in list(self._held):
            broadcast([member], self._held.pop(member))


@asynccontextmanager
async def serving(known: Known) -> AsyncIterator[Known]:
    """Run `known` on 127.0.0.1, at its `url`."""
    async with serve(
        known.talk,
        "127.0.0.1",
        0,
        process_request=known.admit,
        compression=None,
        select_subprotocol=lambda _connection, _offered: None,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        known.url = f"ws://127.0.0.1:{port}"
        yield known
