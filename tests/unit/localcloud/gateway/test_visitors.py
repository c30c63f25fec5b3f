"""Host and Origin of requests to the gateway are checked before anything else."""

from __future__ import annotations

import pytest

from localcloud.gateway import Gateway
from localcloud.gateway.refusals import MAX_LOGGED
from localcloud.origins import OriginPolicy
from tests.unit.localcloud.gateway.support import (
    HANDSHAKE,
    ROUTES,
    Functions,
    handshake,
    http,
    service,
    serving,
)

CHAT = "https://chat.example.com"
REQUESTS = "GET /_localcloud/requests HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "hosts",
    [
        "",
        "Host:\r\n",
        "Host: evil.example:3001\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "host: localhost.evil.example\r\n",
    ],
)
async def test_other_hosts_are_refused(hosts: str) -> None:
    """So are a missing and a repeated Host, which another server might read differently."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        sender.writer.write(f"{REQUESTS}{hosts}\r\n".encode())
        response = await sender.receive()
        status, error_type, complaint = response.error
        assert (status, error_type) == (403, None)
        assert "it must be one of 127.0.0.1, localhost, [::1]" in str(complaint)
        assert await sender.reader.read() == b""


async def test_every_request_of_a_connection_is_checked() -> None:
    """A valid first request does not admit a second one."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        for _ in range(2):
            sender.writer.write(f"{REQUESTS}Host: localhost\r\n\r\n".encode())
            assert (await sender.receive()).status == 200
        sender.writer.write(f"{REQUESTS}Host: evil.example\r\n\r\n".encode())
        assert (await sender.receive()).status == 403


async def test_a_refused_page_runs_no_function() -> None:
    """Neither by a WebSocket nor by a post."""
    functions = Functions()
    async with serving(functions) as gateway:
        for origin in (CHAT, "null"):
            refused = await handshake(gateway, headers={**HANDSHAKE, "Origin": origin})
            assert refused.status == 403
            async with http(gateway) as sender:
                assert (await sender.request("POST", "/", headers={"Origin": origin})).status == 403
        assert functions.calls == []


async def test_pages_of_this_machine_and_allowed_ones_connect() -> None:
    """The latter with `--allow-origin`."""
    async with Gateway(service(*ROUTES), Functions(), origins=OriginPolicy(frozenset({CHAT}))) as gateway:
        for origin, status in ((CHAT, 101), ("http://localhost:5173", 101), ("https://evil.example", 403)):
            assert (await handshake(gateway, headers={**HANDSHAKE, "Origin": origin})).status == status


async def test_refused_pages_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each origin and host once, in limited number; origins that no browser sends are not named."""
    async with serving(Functions()) as gateway:
        for origin in ("null", "https://a b", "https://0.example", "null"):
            assert (await handshake(gateway, headers={**HANDSHAKE, "Origin": origin})).status == 403
        assert (await handshake(gateway, headers={**HANDSHAKE, "Host": "evil.example"})).status == 403
        for number in range(MAX_LOGGED + 1):
            origin = f"https://{number}.example"
            assert (await handshake(gateway, headers={**HANDSHAKE, "Origin": origin})).status == 403
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == MAX_LOGGED
    assert told[0].startswith("gateway: refused a request. Pages of the origin 'null' are not allowed")
    assert "'https://0.example'" in told[1]
    assert "--allow-origin" in told[1]
    assert told[2].startswith("gateway: refused a request. Host is ''; it must be one of")
