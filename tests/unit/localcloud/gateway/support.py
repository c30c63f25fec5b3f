"""Shared by the gateway's tests: a service, functions written by tests, clients on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect

from localcloud.errors import FunctionError
from localcloud.gateway import Faults, Gateway, GatewayLimits
from localcloud.service.model import Route, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

OK = {"statusCode": 200}
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test"}

ROUTES = (
    Route("$connect", "connect", responds=False),
    Route("$disconnect", "disconnect", responds=False),
    Route("$default", "default", responds=True),
    Route("sendMessage", "send", responds=True),
    Route("note", "note", responds=False),
)
GUARDED_ROUTES = (Route("$connect", "connect", responds=False, authorizer="authorize"), *ROUTES[1:])


def service(*routes: Route) -> Service:
    return Service(
        name="chat",
        stage="dev",
        region="eu-central-1",
        functions={},
        routes={route.key: route for route in routes},
        tables={},
        queues={},
        stream_mappings=(),
    )


def failure(function: str, message: str = "boom") -> FunctionError:
    return FunctionError(function, "Exception", message)


class Functions:
    """An invoker with functions of a test: a value to return, an exception to raise, or a callable."""

    def __init__(self, **functions: Any) -> None:
        self.functions = functions
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._changed = asyncio.Condition()

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        # Events pass through JSON, as over a pipe.
        seen = json.loads(json.dumps(event))
        async with self._changed:
            self.calls.append((function, seen))
            self._changed.notify_all()
        answer = self.functions.get(function, OK)
        if callable(answer):
            answer = answer(seen)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def events(self, function: str) -> list[dict[str, Any]]:
        return [event for name, event in self.calls if name == function]

    async def called(self, function: str, times: int = 1) -> dict[str, Any]:
        """Wait for a function's call and return that call's event."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.events(function)) >= times)
        return self.events(function)[times - 1]


@contextlib.asynccontextmanager
async def serving(
    functions: Functions,
    *routes: Route,
    limits: GatewayLimits | None = None,
    faults: Faults | None = None,
) -> AsyncIterator[Gateway]:
    async with Gateway(service(*(routes or ROUTES)), functions, limits, faults) as gateway:
        yield gateway


def dial(gateway: Gateway, path: str = "/dev", **options: Any) -> connect:
    return connect(f"ws://127.0.0.1:{gateway.port}{path}", proxy=None, **options)


@contextlib.asynccontextmanager
async def joined(
    gateway: Gateway, functions: Functions, **options: Any
) -> AsyncIterator[tuple[ClientConnection, str]]:
    """Connect a client; yield it and its connection id."""
    before = len(functions.events("connect"))
    async with dial(gateway, **options) as client:
        event = await functions.called("connect", before + 1)
        yield client, event["requestContext"]["connectionId"]


@dataclass(frozen=True)
class HttpResponse:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> tuple[int, str | None, Any]:
        """Status, error type and message of a refusal."""
        message = json.loads(self.body)["message"] if self.body else None
        return self.status, self.headers.get("x-amzn-errortype"), message


@dataclass
class HttpClient:
    """One kept-alive HTTP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: int = field(default=0)

    def send(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] = SIGNED) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def receive(self) -> HttpResponse:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return HttpResponse(int(head[0].split(" ")[1]), headers, body)

    async def request(
        self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] = SIGNED
    ) -> HttpResponse:
        self.send(method, path, body=body, headers=headers)
        return await self.receive()


@contextlib.asynccontextmanager
async def http(gateway: Gateway) -> AsyncIterator[HttpClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        yield HttpClient(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def at(connection_id: str, stage: str = "/dev") -> str:
    """The path of a connection."""
    return f"{stage}/@connections/{quote(connection_id, safe='')}"


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


async def handshake(
    gateway: Gateway, path: str = "/dev", headers: Mapping[str, str] = HANDSHAKE
) -> HttpResponse:
    """Ask for a WebSocket and return the raw answer."""
    async with http(gateway) as client:
        client.writer.write(
            "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost"]).encode()
            + b"\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
            + b"\r\n"
        )
        return await client.receive()


def shape(value: Any) -> Any:
    """Replace every leaf by its type's name."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def counter() -> Callable[[Any], dict[str, Any]]:
    """A function that answers `{"n": 1}`, `{"n": 2}` and so on."""
    calls = iter(range(1, 1_000_000))
    return lambda _event: {"statusCode": 200, "body": json.dumps({"n": next(calls)})}
