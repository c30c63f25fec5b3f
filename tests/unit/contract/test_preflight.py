"""`make contract` explains an unusable URL or token in one sentence."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import jwt
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from localcloud.children import free_port
from tests.contract.preflight import PreflightError, boto_options, connect_once, require_usable

URL = "wss://abc.execute-api.eu-west-1.amazonaws.com/dev"


def token(expires_in_s: float) -> str:
    return jwt.encode({"exp": time.time() + expires_in_s}, "k" * 32)


@asynccontextmanager
async def gateway(status: int | None = None) -> AsyncIterator[str]:
    """The URL of a server that answers with a status, or accepts all connections."""

    def answer(socket: ServerConnection, request: Request) -> Response | None:
        return socket.respond(HTTPStatus(status), "") if status else None

    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0, process_request=answer) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "given", "said"),
    [
        ("", "", "the stage's URL is missing: make contract URL=wss://"),
        (
            "https://abc.example.com/dev",
            "",
            "URL=https://abc.example.com/dev is not the URL of a WebSocket API",
        ),
        ("wss:///dev", "", "is not the URL of a WebSocket API"),
        ("ws://[::1/dev", "", "is not the URL of a WebSocket API"),
        (f"{URL}?token=x", "", "give the token as TOKEN, not in the URL"),
        (URL, "nonsense", "TOKEN is not a JSON Web Token: `groupcast token NAME --stage STAGE`"),
    ],
)
def test_invalid_values_are_reported_without_a_request(url: str, given: str, said: str) -> None:
    """The token is not repeated."""
    with pytest.raises(PreflightError) as caught:
        require_usable(url, given)
    assert said in str(caught.value)
    assert not given or given not in str(caught.value)


def test_an_expired_token_is_reported_without_a_request() -> None:
    """With its age; the token is not repeated."""
    given = token(-600)
    with pytest.raises(PreflightError) as caught:
        require_usable(URL, given)
    assert "the token expired 10 minutes ago: `groupcast token NAME --stage STAGE`" in str(caught.value)
    assert given not in str(caught.value)


@pytest.mark.parametrize("has_token", [False, True])
async def test_a_stage_that_accepts_the_connection_is_usable(has_token: bool) -> None:
    """With and without a token."""
    # Created here: at import it would age while other tests run.
    given = token(60) if has_token else ""
    async with gateway() as url:
        require_usable(url, given)
        await connect_once(url, given)


@pytest.mark.parametrize(
    ("status", "given", "said"),
    [
        (401, "", "refuses a connection without a token (401): where users sign in, give TOKEN="),
        (403, "", "refuses a connection without a token (403)"),
        (500, "", "refuses a connection without a token (500)"),
        (401, "t", "refuses the token (401): "),
        (429, "t", "too many connections (429)"),
        (404, "", "no WebSocket API answers at ws://127.0.0.1:"),
        (200, "", "no WebSocket API answers at ws://127.0.0.1:"),
    ],
)
async def test_a_refusal_is_explained(status: int, given: str, said: str) -> None:
    """By its status, and by whether there was a token."""
    async with gateway(status) as url:
        with pytest.raises(PreflightError) as caught:
            await connect_once(url, given)
    assert said in str(caught.value)


async def test_a_closed_port_is_reported() -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    with pytest.raises(PreflightError, match=f"nobody listens at {url}"):
        await connect_once(url, "")


async def test_a_server_without_tls_is_reported() -> None:
    """Such as wss:// for the gateway of `make up`."""
    async with gateway() as url:
        with pytest.raises(PreflightError, match=r"at wss://.*; a server without TLS has ws://"):
            await connect_once(url.replace("ws", "wss", 1), "")


def test_an_api_of_aws_names_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """For other APIs the environment names the region, and an emulator needs no credentials."""
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    assert boto_options(URL.replace("wss", "https")) == {"region_name": "eu-west-1"}
    assert boto_options("http://127.0.0.1:1/dev") == {
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert boto_options("https://chat.example.com/dev") == {"region_name": "eu-central-1"}
