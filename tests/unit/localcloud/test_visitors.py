"""Host and Origin of requests to local servers."""

from __future__ import annotations

import pytest

from localcloud.origins import OriginPolicy

HOST = "127.0.0.1:3001"


@pytest.mark.parametrize("host", ["127.0.0.1:3001", "localhost", "LOCALHOST:1", "[::1]", "[::1]:65535"])
def test_local_host_names_are_accepted(host: str) -> None:
    """With any port or none."""
    assert OriginPolicy().refusal(host, None) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:3001",
        "localhost.evil.example",
        "127.0.0.1.evil.example:3001",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "127a0b0c1",
        "::1",
        "localhost:",
        "localhost:x",
        "localhost, evil.example",
        "localhost\n",
        "0.0.0.0:3001",
        "169.254.169.254",
    ],
)
def test_other_host_names_are_refused(host: str | None) -> None:
    """An attacker's DNS may point them at this machine."""
    refusal = OriginPolicy().refusal(host, None)
    assert str(refusal).endswith("it must be one of 127.0.0.1, localhost, [::1]")


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:3000", "http://localhost:5173", "https://localhost", "http://[::1]:8080"]
)
def test_local_pages_are_accepted(origin: str) -> None:
    """On any port, such as a developer's own server."""
    assert OriginPolicy().refusal(HOST, origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost:3000.evil.example",
        "http://evil.example:3000",
        "http://localhost:3000/",
        "file://localhost",
        "localhost:3000",
    ],
)
def test_other_pages_are_refused_unless_allowed(origin: str) -> None:
    """By exactly their origin."""
    assert "--allow-origin" in str(OriginPolicy().refusal(HOST, origin))
    assert OriginPolicy(frozenset({origin})).refusal(HOST, origin) is None
    assert OriginPolicy(frozenset({origin})).refusal("evil.example", origin) is not None
