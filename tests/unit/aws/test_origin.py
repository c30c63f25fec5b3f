"""Origins and their addresses."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from groupcast.aws.origin import Addresses, Origin


@pytest.mark.parametrize(
    ("url", "origin", "host_header"),
    [
        ("https://a.example.com/dev", Origin("https", "a.example.com", 443), "a.example.com"),
        ("https://A.example.com:443", Origin("https", "a.example.com", 443), "a.example.com"),
        ("http://127.0.0.1:3001/", Origin("http", "127.0.0.1", 3001), "127.0.0.1:3001"),
        ("http://[::1]:3001", Origin("http", "::1", 3001), "[::1]:3001"),
        ("https://h:80", Origin("https", "h", 80), "h:80"),
    ],
)
def test_an_urls_origin(url: str, origin: Origin, host_header: str) -> None:
    """The host is in lower case; the Host header omits the scheme's default port."""
    assert Origin.of(url) == origin
    assert origin.host_header == host_header
    assert origin.tls is url.startswith("https")


@pytest.mark.parametrize("url", ["", "example.com", "ws://h", "http://", "http://u:p@h", "http://h:x"])
def test_other_urls_are_value_errors(url: str) -> None:
    """Not http(s), without a host, or with a password."""
    with pytest.raises(ValueError, match=r"URL|Port"):
        Origin.of(url)


async def test_addresses_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is resolved once for many connections, whose first addresses rotate."""
    calls = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        calls.append((host, port))
        await asyncio.sleep(0)
        return [(socket.AF_INET, 0, 0, "", (f"10.0.0.{n}", port)) for n in (1, 2, 2)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
    addresses = Addresses(Origin("https", "h", 443))
    found = await asyncio.gather(*(addresses.in_turn() for _ in range(3)))
    assert found == [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"], ["10.0.0.1", "10.0.0.2"]]
    assert calls == [("h", 443)]

    addresses.forget()
    await addresses.in_turn()
    assert len(calls) == 2
