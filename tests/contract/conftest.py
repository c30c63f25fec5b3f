"""What the contract suite talks to: URLs alone, so that it also runs against a deployed stage.

GROUPCAST_URL (wss://…/stage) names one, GROUPCAST_TOKEN a token to connect with where users sign in;
AWS credentials are those that boto3 finds, and an emulator needs none. GROUPCAST_MANAGEMENT_URL
(https://…/stage) is needed where @connections is not at the same place. Without GROUPCAST_URL it is the
local stack.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import boto3
import jwt
import pytest

from tests.contract.peer import Peer
from tests.contract.preflight import boto_options


@dataclass(frozen=True)
class Target:
    """The API under test."""

    url: str
    management_url: str
    boto: dict[str, Any]
    token: str | None = field(default=None, repr=False)

    def connect_url(self, name: str = "") -> str:
        """The URL with the token of the user, or with a guest's name."""
        query = f"token={self.token}" if self.token else f"name={name}" if name else ""
        return f"{self.url}?{query}" if query else self.url

    def sender(self, name: str) -> str:
        """The sender of messages on a connection that asked for this name."""
        claims = self._claims
        return str(claims.get("username") or claims["cognito:username"]) if claims else name

    @property
    def user(self) -> dict[str, str]:
        """The fields of a message that identify its user; none for a guest."""
        return {"userId": self._claims["sub"]} if self._claims else {}

    @property
    def _claims(self) -> dict[str, Any]:
        return jwt.decode(self.token, options={"verify_signature": False}) if self.token else {}

    def management(self) -> Any:
        """A plain boto3 client for @connections."""
        return boto3.client("apigatewaymanagementapi", endpoint_url=self.management_url, **self.boto)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The deployed stage that the environment names, or the local stack."""
    if "GROUPCAST_URL" in os.environ:
        url = os.environ["GROUPCAST_URL"].rstrip("/")
        management_url = os.environ.get("GROUPCAST_MANAGEMENT_URL") or f"http{url.removeprefix('ws')}"
        return Target(
            url, management_url, boto_options(management_url), os.environ.get("GROUPCAST_TOKEN") or None
        )
    stack = request.getfixturevalue("stack")
    boto = stack.aws(stack.management_url)
    del boto["endpoint_url"]
    return Target(stack.gateway_url, stack.management_url, boto)


@pytest.fixture
async def connect(target: Target) -> AsyncIterator[Callable[..., Any]]:
    """Opens connections that close at the end of the test."""
    async with AsyncExitStack() as open_peers:

        async def connect_one(name: str = "", **options: Any) -> Peer:
            return await open_peers.enter_async_context(
                Peer.connect_in_time(target.connect_url(name), **options)
            )

        yield connect_one
