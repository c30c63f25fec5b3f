"""A small service on a loopback port that follows the wire contract, and misbehaves on command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from websockets.asyncio.server import ServerConnection, serve

if TYPE_CHECKING:
    import ssl

    from websockets.http11 import Request, Response

Answer = Callable[["Service", ServerConnection, dict[str, Any]], Awaitable[dict[str, Any] | None]]


@dataclass
class Service:
    """One group's log and its connections. `answers` replaces the answers to an action."""

    url: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    sockets: list[ServerConnection] = field(default_factory=list)
    members: set[ServerConnection] = field(default_factory=set)
    # Every frame that came in, and the paths and subprotocols of every handshake.
    received: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    subprotocols: list[list[str]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    # Statuses for the next handshakes, in order; after them, all are welcome.
    refuse: list[int] = field(default_factory=list)
    pushing: bool = True

    def write(self, text: str, message_id: str) -> dict[str, Any]:
        """Store a message, or return the one stored under its id."""
        for item in self.log:
            if item.get("messageId") == message_id:
                return item
        item = {
            "messageId": message_id,
            "seq": len(self.log) + 1,
            "sender": "ann",
            "message": text,
            "createdAt": "2025-01-01T00:00:00.000Z",
        }
        self.log.append(item)
        return item

    def grow(self, count: int) -> None:
        """Store `count` messages of another user without pushes."""
        for _ in range(count):
            self.write(f"text {len(self.log) + 1}", f"other-{len(self.log) + 1}")

    async def push(self, numbers: Iterable[int]) -> None:
        """Push a frame with these numbers of the log, in this order."""
        items = [self.log[number - 1] for number in numbers]
        frame = {"type": "messages", "groupId": "g", "messages": items}
        for socket in list(self.members):
            await socket.send(orjson.dumps(frame).decode())

    async def drop(self) -> None:
        """Close every connection without a closing handshake."""
        for socket in self.sockets:
            socket.transport.abort()

    def asked(self, action: str) -> list[dict[str, Any]]:
        return [frame for frame in self.received if frame["action"] == action]

    async def reply(self, socket: ServerConnection, frame: dict[str, Any]) -> dict[str, Any] | None:
        """Answer according to the contract."""
        match frame["action"]:
            case "joinGroup":
                self.members.add(socket)
                messages, complete = self._page(frame) if "since" in frame else ([], True)
                return {
                    "type": "joined",
                    "groupId": frame["groupId"],
                    "lastSeq": len(self.log),
                    "messages": messages,
                    "complete": complete,
                }
            case "leaveGroup":
                self.members.discard(socket)
                return {"type": "left", "groupId": "g"}
            case "sendMessage":
                item = self.write(frame["message"], frame["messageId"])
                if self.pushing:
                    await self.push([item["seq"]])
                return {"type": "ack", "groupId": "g", **item}
            case "history":
                messages, complete = self._page(frame)
                return {"type": "history", "groupId": "g", "messages": messages, "complete": complete}
            case "ping" | "renew" as action:
                return self._standing(action, is_member=socket in self.members)
        return error("UnknownAction")

    def _standing(self, action: str, *, is_member: bool) -> dict[str, Any]:
        group_id = "g" if is_member else None
        if action == "ping":
            return {"type": "pong", "groupId": group_id, "lastSeq": len(self.log) if is_member else None}
        return {"type": "renewed", "groupId": group_id, "expiresAt": "2025-01-01T01:00:00.000Z"}

    def _page(self, frame: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        limit = frame.get("limit", 200)
        if "before" in frame:
            found = [item for item in self.log if item["seq"] < frame["before"]]
            return found[-limit:], len(found) <= limit
        found = [item for item in self.log if item["seq"] > frame["since"]]
        return found[:limit], len(found) <= limit

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        try:
            async for raw in socket:
                frame = orjson.loads(raw)
                self.received.append(frame)
                answer = self.answers.get(frame["action"])
                reply = await (answer(self, socket, frame) if answer else self.reply(socket, frame))
                if reply is not None:
                    await socket.send(orjson.dumps({**reply, "id": frame["id"]}).decode())
        finally:
            self.sockets.remove(socket)
            self.members.discard(socket)

    def _welcome(self, socket: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        self.subprotocols.append(request.headers.get("Sec-WebSocket-Protocol", "").split(", "))
        if self.refuse:
            return socket.respond(HTTPStatus(self.refuse.pop(0)), "no\n")
        return None


def error(code: str, **fields: Any) -> dict[str, Any]:
    return {"type": "error", "code": code, "message": f"said {code}", "requestId": "r-1", **fields}


async def never(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> None:
    """Answer nothing."""


def failing(code: str, times: int = 1, **fields: Any) -> Answer:
    """Answer with an error so many times, then according to the contract."""
    left = times

    async def answer(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        nonlocal left
        if left == 0:
            return await service.reply(socket, frame)
        left -= 1
        return error(code, **fields)

    return answer


@asynccontextmanager
async def scripted_service(
    *, tls: ssl.SSLContext | None = None, max_size: int | tuple[int, int] = 2**20
) -> AsyncIterator[Service]:
    """A service on a free port; closes with 1009 over `max_size` bytes (of a message or fragment)."""
    service = Service()
    async with serving(service, tls=tls, max_size=max_size):
        yield service


@asynccontextmanager
async def serving(
    service: Service, *, tls: ssl.SSLContext | None = None, max_size: int | tuple[int, int] = 2**20
) -> AsyncIterator[None]:
    """Serve on a free port, as `scripted_service` does."""
    async with serve(
        service._serve,
        "127.0.0.1",
        0,
        ssl=tls,
        max_size=max_size,
        process_request=service._welcome,
        select_subprotocol=lambda _, offered: offered[0] if offered else None,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        service.url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}"
        yield


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until `holds`; the test's own timeout is the limit."""
    # Poll: another task appends to the watched list without an event.
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
