"""What the contract suite talks to: URLs alone, so that it also runs against a deployed stage.

GROUPCAST_URL (wss://…/stage) and GROUPCAST_MANAGEMENT_URL (https://…/stage) name one, with AWS credentials
as boto3 finds them; without them it is the local stack.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from tests.contract.peer import Peer


@dataclass(frozen=True)
class Target:
    """The API under test."""

    url: str
    management_url: str
    boto: dict[str, Any]

    def management(self) -> Any:
        """A plain boto3 client for @connections."""
        return boto3.client("apigatewaymanagementapi", endpoint_url=self.management_url, **self.boto)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The deployed stage that the environment names, or the local stack."""
    if "GROUPCAST_URL" in os.environ:
        return Target(os.environ["GROUPCAST_URL"], os.environ["GROUPCAST_MANAGEMENT_URL"], {})
    stack = request.getfixturevalue("stack")
    boto = stack.aws(stack.management_url)
    del boto["endpoint_url"]
    return Target(stack.gateway_url, stack.management_url, boto)


@pytest.fixture
async def connect(target: Target) -> AsyncIterator[Callable[..., Any]]:
    """Opens connections that are closed when the test ends."""
    async with AsyncExitStack() as open_peers:

        async def connect_one(name: str = "", **options: Any) -> Peer:
            query = f"?name={name}" if name else ""
            return await open_peers.enter_async_context(Peer.connect(f"{target.url}{query}", **options))

        yield connect_one
