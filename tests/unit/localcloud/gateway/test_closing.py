"""The ends of connections, and their `$disconnect` events."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from localcloud.gateway import GatewayLimits
from localcloud.gateway.background import Background
from localcloud.gateway.connection import Connection
from localcloud.gateway.events import Client
from tests.unit.localcloud.gateway.support import (
    Functions,
    at,
    dial,
    failure,
    http,
    joined,
    serving,
    shape,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

EVENTS = Path(__file__).parents[3] / "events"


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Wait for the gateway to close; return its code and reason."""
    await client.wait_closed()
    close = client.protocol.close_rcvd
    assert close is not None
    return int(close.code), close.reason


def told(event: dict[str, Any]) -> tuple[int, str]:
    context = event["requestContext"]
    return context["disconnectStatusCode"], context["disconnectReason"]


async def test_disconnect_function_gets_the_recorded_shape() -> None:
    """The DISCONNECT event has the recorded event's fields and types."""
    functions = Functions()
    async with serving(functions) as gateway:
        async with joined(gateway, functions) as (_, id_):
            pass
        event = await functions.called("disconnect")
        host = f"127.0.0.1:{gateway.port}"
    recorded = json.loads((EVENTS / "disconnect.json").read_text())
    # There is no authorizer on this route.
    del recorded["requestContext"]["authorizer"]
    assert shape(event) == shape(recorded)
    assert event["headers"] == {"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    assert event["requestContext"]["connectionId"] == id_


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1000, "", (1000, "Connection Closed Normally")),
        (1001, "", (1001, "Going away")),
        (1000, "bye", (1000, "bye")),
        (4001, "", (4001, "")),
        (4001, "own", (4001, "own")),
    ],
)
async def test_disconnect_gets_the_clients_code_and_reason(
    code: int, reason: str, expected: tuple[int, str]
) -> None:
    """Or the code's usual reason."""
    functions = Functions()
    async with serving(functions) as gateway:
        async with dial(gateway) as client:
            await client.close(code, reason)
        assert told(await functions.called("disconnect")) == expected


async def test_a_close_without_status_is_1005() -> None:
    """With API Gateway's reason."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway) as client:
        client.transport.write(Frame(Opcode.CLOSE, b"").serialize(mask=True))
        event = await functions.called("disconnect")
        await client.wait_closed()
    assert told(event) == (1005, "Client-side close frame status not set")


@pytest.mark.parametrize("way", ["abort", "eof"])
async def test_a_lost_connection_is_1006(way: str) -> None:
    """A TCP connection that ends without a close frame."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway) as client:
        if way == "abort":
            client.transport.abort()
        else:
            client.transport.write_eof()
        event = await functions.called("disconnect")
    assert told(event) == (1006, "Connection closed abnormally")


@pytest.mark.parametrize("size", [32 * 1024 + 1, 128 * 1024, 1024 * 1024])
async def test_a_frame_over_32_kb_closes_with_1009(size: int) -> None:
    """Even one that is far from complete."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway) as client:
        await client.send("x" * size)
        code, _ = await closed(client)
        assert code == 1009
        assert told(await functions.called("disconnect"))[0] == 1009
    assert functions.events("default") == []


async def test_a_frame_of_32_kb_and_a_message_of_128_kb_pass() -> None:
    """The limits themselves: one frame of 32 KB, a message of four."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway) as client:
        await client.send("x" * 32 * 1024)
        await client.send(["é" * 16 * 1024] * 4)
        await functions.called("default", 2)
    assert [len(event["body"].encode()) for event in functions.events("default")] == [32 * 1024, 128 * 1024]


async def test_a_message_over_128_kb_closes_with_1009() -> None:
    """Even in frames that are small enough."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway) as client:
        await client.send(["x" * 32 * 1024] * 4 + ["x"])
        assert (await closed(client))[0] == 1009
    assert functions.events("default") == []


async def test_binary_closes_with_1003() -> None:
    """Nothing after a binary message is handled."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway) as client:
        client.transport.write(
            Frame(Opcode.BINARY, b"x").serialize(mask=True) + Frame(Opcode.TEXT, b"x").serialize(mask=True)
        )
        assert (await closed(client))[0] == 1003
        assert told(await functions.called("disconnect"))[0] == 1003
    assert functions.events("default") == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b"\xed\xa0\x80").serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b"x").serialize(mask=False), 1002),
        (b"\xff\x80\x00\x00\x00\x00", 1002),
        (Frame(Opcode.CONT, b"x").serialize(mask=True), 1002),
    ],
    ids=["not UTF-8", "surrogate", "unmasked", "reserved bits", "nothing to continue"],
)
async def test_broken_frames_close_with_the_protocols_code(frame: bytes, code: int) -> None:
    """Bad UTF-8 is 1007, a protocol violation 1002; functions see neither."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway) as client:
        client.transport.write(frame)
        assert (await closed(client))[0] == code
        assert told(await functions.called("disconnect"))[0] == code
    assert functions.events("default") == []


async def test_utf8_may_be_cut_between_frames() -> None:
    """Only the whole message must be UTF-8; a control frame may come in between."""
    functions = Functions()
    first, second = "é".encode()[:1], "é".encode()[1:]
    async with serving(functions) as gateway, dial(gateway) as client:
        client.transport.write(
            Frame(Opcode.TEXT, first, fin=False).serialize(mask=True)
            + Frame(Opcode.CONT, b"", fin=False).serialize(mask=True)
            + Frame(Opcode.PING, b"p").serialize(mask=True)
            + Frame(Opcode.CONT, second).serialize(mask=True)
        )
        event = await functions.called("default")
    assert event["body"] == "é"


async def test_idle_closes_with_1001_and_any_traffic_prevents_it() -> None:
    """Of four clients the silent one is closed; messages either way and pings keep the others."""
    functions = Functions()
    limits = GatewayLimits(idle_timeout_s=0.5)
    async with (
        serving(functions, limits=limits) as gateway,
        dial(gateway) as silent,
        dial(gateway) as pinging,
        dial(gateway) as sending,
        joined(gateway, functions, max_queue=None) as (receiving, id_),
        http(gateway) as sender,
    ):
        ending = asyncio.ensure_future(closed(silent))
        while not ending.done():
            await pinging.ping()
            await sending.send("x")
            await sender.request("POST", at(id_), body=b"x")
            await asyncio.wait([ending], timeout=0.02)
        assert await ending == (1001, "Going away")
        for client in (pinging, sending, receiving):
            await (await client.ping())
        assert told(await functions.called("disconnect")) == (1001, "Going away")
        assert len(functions.events("disconnect")) == 1


async def test_lifetime_closes_a_busy_connection_with_1001() -> None:
    functions = Functions()
    limits = GatewayLimits(lifetime_s=0.3)
    async with serving(functions, limits=limits) as gateway, dial(gateway) as client:
        ending = asyncio.ensure_future(closed(client))
        while not ending.done():
            await client.ping()
            await asyncio.wait([ending], timeout=0.02)
        assert await ending == (1001, "Going away")
        assert told(await functions.called("disconnect")) == (1001, "Going away")


async def test_delete_closes_with_1000() -> None:
    """Posts fail at once, and `$disconnect` runs once."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        sender.send("DELETE", at(id_))
        sender.send("POST", at(id_), body=b"x")
        deleted, posted = await sender.receive(), await sender.receive()
        assert (deleted.status, deleted.body) == (204, b"")
        assert posted.error == (410, "GoneException", None)
        assert (await sender.request("DELETE", at(id_))).status == 410
        assert await closed(client) == (1000, "Connection Closed Normally")
        assert told(await functions.called("disconnect")) == (1000, "Connection Closed Normally")
    assert len(functions.events("disconnect")) == 1


async def test_a_client_that_does_not_finish_closing_is_dropped() -> None:
    """After the close timeout."""
    functions = Functions()
    limits = GatewayLimits(close_timeout_s=0.1)
    async with serving(functions, limits=limits) as gateway, http(gateway) as raw, http(gateway) as sender:
        raw.writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await raw.receive()
        event = await functions.called("connect")
        await sender.request("DELETE", at(event["requestContext"]["connectionId"]))
        # The close frame and then the end, without an answer.
        assert (await raw.reader.read(-1))[:4] == b"\x88\x1c\x03\xe8"
    assert len(functions.events("disconnect")) == 1


async def test_failures_of_disconnect_are_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    functions = Functions(disconnect=failure("disconnect", "table is gone"))
    async with serving(functions) as gateway:
        async with dial(gateway):
            pass
        await functions.called("disconnect")
    assert "table is gone" in caplog.text


class ResetTransport:
    """A transport whose client has reset the connection, as only half-closing reveals."""

    def __init__(self) -> None:
        self.aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        pass

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    def abort(self) -> None:
        self.aborted = True


class Recorder:
    """A session that records its end."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, str]] = []

    async def answer(self, body: str) -> bytes | None:
        raise AssertionError(body)

    def ended(self, code: int, reason: str) -> None:
        self.ends.append((code, reason))


async def test_a_reset_found_while_closing_ends_the_connection_once() -> None:
    """If the client resets just as the gateway closes, the end is reported once and nothing is raised."""
    transport, session = ResetTransport(), Recorder()
    connection = Connection(
        Client("id", 0, "127.0.0.1", None),
        session,
        ServerProtocol(state=State.OPEN),
        cast("asyncio.Transport", transport),
        Background(),
        GatewayLimits(),
    )
    connection.receive(Frame(Opcode.BINARY, b"x").serialize(mask=True))
    assert transport.aborted
    connection.lost()
    assert session.ends == [(1003, "binary messages are not supported")]
