"""Messages larger than the gateway's frames, with and without TLS, against a strict server."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection

from groupcast_client import Backoff, Client, ConnectionLost, GroupcastError, Limits, TooLarge
from groupcast_client.connection import Connection
from groupcast_client.frames import FRAGMENT_BYTES, MESSAGE_BYTES, Pong
from groupcast_client.model import Endpoint
from tests.unit.groupcast_client.scripted import Service, eventually, never, scripted_service
from tests.unit.groupcast_client.test_client import SOON, numbers, take

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(gap_wait_s=100, call_timeout_s=20)
# The service's limit: 16 KB of text, which JSON may make two or six times as large.
TEXTS = ['"' * 16_384, "\n" * 16_384, "\x01" * 16_384, "앤" * 5_461, "🙂" * 4_096]
AS_API_GATEWAY = (MESSAGE_BYTES, FRAGMENT_BYTES)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server certificate that this test's clients trust."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return context


def new_client(service: Service, **settings: Any) -> Client:
    defaults: dict[str, Any] = {"limits": LIMITS, "backoff": SOON, "rng": random.Random(1)}
    return Client(service.url, **(defaults | settings))


@pytest.mark.parametrize("is_tls", [False, True], ids=["ws", "wss"])
async def test_any_message_the_service_accepts_arrives(tls: ssl.SSLContext, *, is_tls: bool) -> None:
    """Frames of up to 98,400 bytes are sent in fragments, concurrently, on one connection."""
    async with (
        scripted_service(tls=tls if is_tls else None, max_size=AS_API_GATEWAY) as service,
        new_client(service) as client,
    ):
        await client.join("g")
        await asyncio.gather(*[client.send(text) for text in TEXTS * 4])
        got = await take(client, len(TEXTS) * 4)
    assert sorted(message.text for message in got) == sorted(TEXTS * 4)
    assert len(service.paths) == 1


@pytest.mark.parametrize("is_tls", [False, True], ids=["ws", "wss"])
async def test_a_frame_that_the_gateway_refuses_is_sent_once(tls: ssl.SSLContext, *, is_tls: bool) -> None:
    """A close with 1009 fails the largest message; smaller ones are stored on the next connection."""
    async with scripted_service(tls=tls if is_tls else None, max_size=(8_192, 8_192)) as service:
        service.answers["sendMessage"] = never
        async with new_client(service) as client:
            await client.join("g")
            small = asyncio.create_task(client.send("small"))
            await eventually(lambda: bool(service.asked("sendMessage")))
            del service.answers["sendMessage"]
            with pytest.raises(TooLarge, match=r"of this frame of 20,\d\d\d bytes\. Shorten it"):
                await client.send("x" * 20_000)
            assert (await small).seq == 1
            assert await numbers(client, 1) == [1]
    assert len(service.paths) == 2


async def test_a_message_too_large_for_any_gateway_fails_at_once() -> None:
    """No frame is sent, and nothing waits for a reconnect."""
    async with scripted_service() as service, new_client(service) as client:
        await client.join("g")
        service.refuse = [503] * 1_000
        await service.drop()
        async with asyncio.timeout(1):
            with pytest.raises(TooLarge, match=r"262,\d\d\d bytes"):
                await client.send('"' * 131_072)
    assert service.asked("sendMessage") == []


async def test_too_large_messages_reconnect_with_backoff() -> None:
    """1009 is no progress, so repeated attempts keep the backoff growing."""
    limits = Limits(gap_wait_s=100, call_timeout_s=1)
    backoff = Backoff(base_s=0.05, max_s=10)
    async with (
        scripted_service(max_size=(8_192, 8_192)) as service,
        new_client(service, limits=limits, backoff=backoff) as client,
    ):
        await client.join("g")
        error: GroupcastError = TooLarge("")
        while isinstance(error, TooLarge):
            with pytest.raises((TooLarge, ConnectionLost)) as caught:
                await client.send("x" * 20_000)
            error = caught.value
    # Each would take 0.025 s on average if the delays started over.
    assert len(service.paths) <= 15


async def test_a_send_cancelled_midway_costs_only_the_connection() -> None:
    """Half a message cannot be withdrawn: the next one uses another connection."""
    stalled = asyncio.Event()

    async def stall(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> None:
        socket.transport.pause_reading()
        stalled.set()

    async with scripted_service(max_size=AS_API_GATEWAY) as service:
        service.answers["ping"] = stall
        async with new_client(service, limits=Limits(ping_interval_s=0.05, gap_wait_s=100)) as client:
            await client.join("g")
            await stalled.wait()
            # Nobody reads, so the buffers of both sides fill up.
            sending = [asyncio.create_task(client.send(f"{number}{TEXTS[2]}")) for number in range(100)]
            await asyncio.sleep(0.2)
            for one in sending:
                one.cancel()
            await asyncio.wait(sending)
            del service.answers["ping"]
            assert (await client.send("next")).seq == 1
        await service.drop()
    assert len(service.paths) == 2


async def test_a_send_cancelled_before_its_turn_costs_nothing() -> None:
    """Others continue on the same connection."""
    async with scripted_service(max_size=AS_API_GATEWAY) as service, new_client(service) as client:
        await client.join("g")
        (socket,) = service.sockets
        socket.transport.pause_reading()
        sending = [asyncio.create_task(client.send(f"{number}{TEXTS[2]}")) for number in range(100)]
        await asyncio.sleep(0.2)
        sending[-1].cancel()
        await asyncio.wait(sending[-1:])
        socket.transport.resume_reading()
        assert len(await asyncio.gather(*sending[:-1])) == 99
        assert (await client.send("next")).seq == 100
    assert len(service.paths) == 1


async def test_a_connection_that_accepts_no_frame_is_closed() -> None:
    """A dead link fills the buffers: the call fails within the reply timeout."""
    async with scripted_service() as service:
        connection = await Connection.open(Endpoint(service.url), Limits(reply_timeout_s=0.2))
        await eventually(lambda: bool(service.sockets))
        service.sockets[0].transport.pause_reading()
        connection._socket.transport.write(bytes(32 * 2**20))
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionLost, match=r"took no frame in 0\.2 s"):
                await connection.request(Pong, "ping")
        assert connection.lost
        await service.drop()
