"""PageServer over real HTTP: the page, its settings, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

from localcloud.backends.userpool import OpenUserPool
from localcloud.errors import StartError
from localcloud.pageserver import PageServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GATEWAY_URL = "ws://127.0.0.1:3001"


@pytest.fixture
async def page() -> AsyncIterator[PageServer]:
    server = PageServer(GATEWAY_URL)
    await server.start("127.0.0.1", 0)
    yield server
    await server.close()


@pytest.fixture
async def http(page: PageServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{page.port}") as session:
        yield session


async def test_the_page_is_served_at_the_root(http: aiohttp.ClientSession) -> None:
    """As HTML in UTF-8."""
    async with http.get("/") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<title>groupcast</title>" in await response.text()


async def test_every_file_the_page_refers_to_is_served(http: aiohttp.ClientSession) -> None:
    """With its type."""
    types = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    wanted, seen = {"/index.html"}, set[str]()
    while wanted:
        path = wanted.pop()
        seen.add(path)
        async with http.get(path) as response:
            assert response.status == 200, path
            assert response.content_type == types[path.rpartition(".")[2]]
            named = re.findall(r'(?:href=|src=|from )"([^"]+)"', await response.text())
            wanted |= {response.url.join(URL(name)).path for name in named} - seen
    assert seen >= {"/app.js", "/client/client.js", "/client/log.js", "/style.css"}


async def test_the_settings_name_the_gateway(http: aiohttp.ClientSession) -> None:
    """config.json has the gateway, and whether to sign in."""
    async with http.get("/config.json") as response:
        assert await response.json() == {"gatewayUrl": GATEWAY_URL, "auth": "none"}


async def test_the_settings_name_the_user_pool() -> None:
    """With sign-in, and the policy allows calls to that origin and no other."""
    server = PageServer(GATEWAY_URL, OpenUserPool("http://127.0.0.1:3100", "pool", "client", (), {}))
    await server.start("127.0.0.1", 0)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/config.json") as response,
    ):
        assert await response.json() == {
            "gatewayUrl": GATEWAY_URL,
            "auth": "cognito",
            "cognitoUrl": "http://127.0.0.1:3100",
            "clientId": "client",
        }
        policy = response.headers["Content-Security-Policy"]
        assert "connect-src 'self' ws: wss: http://127.0.0.1:3100;" in policy
    await server.close()


@pytest.mark.parametrize(
    "path", ["/nothing.js", "/page/app.js", "/..%2fpageserver.py", "/%2e%2e/pageserver.py"]
)
async def test_nothing_else_is_served(http: aiohttp.ClientSession, path: str) -> None:
    """However the path is spelt."""
    async with http.get(path) as response:
        assert response.status == 404


async def test_only_reading_is_allowed(http: aiohttp.ClientSession) -> None:
    """Other methods are refused."""
    async with http.post("/", data=b"x") as response:
        assert response.status == 405


@pytest.mark.parametrize("path", ["/", "/config.json", "/nothing"])
async def test_every_response_has_the_security_policy(http: aiohttp.ClientSession, path: str) -> None:
    """Only own scripts and styles, and sockets to any gateway."""
    async with http.get(path) as response:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "connect-src 'self' ws: wss:;" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
async def test_foreign_hosts_and_origins_are_refused(
    http: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """A rebound name, and another site's page."""
    async with http.get("/config.json", headers=headers) as response:
        assert response.status == 403
        assert "gatewayUrl" not in await response.text()


async def test_a_taken_port_is_an_error_in_one_line(page: PageServer) -> None:
    """With the address and the reason."""
    second = PageServer(GATEWAY_URL)
    with pytest.raises(StartError, match=rf"^the page cannot listen on 127\.0\.0\.1:{page.port}: [^\n]+$"):
        await second.start("127.0.0.1", page.port)
    await second.close()


async def test_closing_frees_the_port_though_a_browser_stays_connected() -> None:
    """A kept-alive connection does not delay closing."""
    server = PageServer(GATEWAY_URL)
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{server.port}/") as response:
            await response.read()
        await server.close()
        again = PageServer(GATEWAY_URL)
        await again.start("127.0.0.1", server.port)
        await again.close()
