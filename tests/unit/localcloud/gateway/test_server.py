"""The gateway's start and end."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from localcloud.errors import ServiceError, StartError
from localcloud.gateway import Gateway, GatewayLimits
from tests.unit.localcloud.gateway.support import (
    OK,
    ROUTES,
    Functions,
    dial,
    handshake,
    http,
    joined,
    service,
    serving,
)


async def test_a_taken_port_is_one_clear_line() -> None:
    """It names the port."""
    async with serving(Functions()) as gateway:
        second = Gateway(service(*ROUTES), Functions())
        with pytest.raises(
            StartError, match=rf"^gateway: cannot listen on 127\.0\.0\.1:{gateway.port}: .*in use$"
        ):
            await second.start("127.0.0.1", gateway.port)
        await second.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost"])  # noqa: S104 -- refusing it is the point
async def test_only_loopback_addresses_are_accepted(host: str) -> None:
    """The gateway verifies no signatures, so other machines must not reach it."""
    with pytest.raises(StartError, match="loopback"):
        await Gateway(service(*ROUTES), Functions()).start(host, 0)


async def test_a_given_port_is_used_and_freed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for _ in range(2):
        gateway = Gateway(service(*ROUTES), Functions())
        await gateway.start("127.0.0.1", port)
        assert gateway.port == port
        async with dial(gateway):
            pass
        await gateway.close()


def test_an_unsupported_expression_is_refused_at_once() -> None:
    """Before anything listens."""
    with pytest.raises(ServiceError, match="expression"):
        Gateway(replace(service(*ROUTES), route_selection_expression="$request.header.x"), Functions())


async def test_close_sends_1001_and_waits_for_disconnect() -> None:
    """For every client."""
    returned = 0

    async def disconnect(_event: Any) -> Any:
        nonlocal returned
        await asyncio.sleep(0.05)
        returned += 1
        return OK

    functions = Functions(disconnect=disconnect)
    gateway = Gateway(service(*ROUTES), functions)
    await gateway.start()
    async with (
        joined(gateway, functions) as (first, _),
        joined(gateway, functions) as (second, _),
        http(gateway) as idle,
    ):
        await gateway.close()
        assert returned == 2
        assert {
            event["requestContext"]["disconnectStatusCode"] for event in functions.events("disconnect")
        } == {1001}
        for client in (first, second):
            with pytest.raises(ConnectionClosed) as ending:
                await client.recv()
            assert ending.value.rcvd is not None
            assert ending.value.rcvd.code == 1001
        assert await idle.reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", gateway.port)


async def test_close_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """Hanging functions and silent clients delay it only up to its limits."""
    functions = Functions(disconnect=lambda _event: asyncio.sleep(3600))
    limits = GatewayLimits(shutdown_timeout_s=0.1, close_timeout_s=0.1, integration_timeout_s=3600)
    gateway = Gateway(service(*ROUTES), functions, limits)
    await gateway.start()
    async with http(gateway) as mute:
        mute.writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await mute.receive()
        await gateway.close()
        assert (await mute.reader.read())[:4] == b"\x88\x0c\x03\xe9"
    assert "1 functions were still running" in caplog.text


async def test_close_ends_handshakes_under_way() -> None:
    """A client whose `$connect` still runs is cut off."""
    functions = Functions(connect=lambda _event: asyncio.sleep(3600))
    gateway = Gateway(service(*ROUTES), functions, GatewayLimits(integration_timeout_s=3600))
    await gateway.start()
    connecting = asyncio.ensure_future(handshake(gateway))
    await functions.called("connect")
    await gateway.close()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await connecting


async def test_replies_under_way_are_awaited() -> None:
    """A message's running function may finish."""
    finished = asyncio.Event()

    async def send(_event: Any) -> Any:
        await asyncio.sleep(0.05)
        finished.set()
        return OK

    functions = Functions(send=send)
    gateway = Gateway(service(*ROUTES), functions)
    await gateway.start()
    async with dial(gateway) as client:
        await client.send('{"action": "sendMessage"}')
        await functions.called("send")
        await gateway.close()
    assert finished.is_set()


async def test_close_drops_waiting_messages() -> None:
    """They are not started after the time limit."""
    functions = Functions(default=lambda _event: asyncio.sleep(3600))
    limits = GatewayLimits(pending_messages=2, shutdown_timeout_s=0.05, integration_timeout_s=3600)
    gateway = Gateway(service(*ROUTES), functions, limits)
    await gateway.start()
    async with dial(gateway) as client:
        for _ in range(20):
            await client.send("x")
        await functions.called("default", 2)
        before = asyncio.all_tasks()
        await gateway.close()
        assert asyncio.all_tasks() <= before
    assert len(functions.events("default")) == 2


async def test_closing_twice_or_before_the_start_does_nothing() -> None:
    gateway = Gateway(service(*ROUTES), Functions())
    await gateway.close()
    await gateway.start()
    await gateway.close()
    await gateway.close()
