"""The stacks under attack, with all of their output kept for searching."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attack.mint import Mint
from tests.conftest import Stack, running_stack
from tests.contract.peer import Peer

# An authorizer's way to answer 401; Lambda's runtime logs it like any other exception.
UNAUTHORIZED = "[ERROR] Exception: Unauthorized"


@dataclass(frozen=True)
class AttackedStack:
    """A stack that accepts only access tokens, with high limits for frames and connections."""

    stack: Stack
    mint: Mint
    stderr: Path

    def written(self) -> str:
        """All output of its functions, and its own output after the first line."""
        assert self.stack.process.stdout is not None
        pipe = self.stack.process.stdout.fileno()
        os.set_blocking(pipe, False)
        # Empty: the stack's only output is its first line.
        with suppress(BlockingIOError):
            assert not os.read(pipe, 1 << 16)
        return self.stack.log.read_text() + self.stderr.read_text()

    def assert_nothing_broke(self) -> None:
        """No function raised, except the authorizer's own 401, and none logged an error."""
        log = self.stack.log.read_text()
        assert log.count("Traceback") == log.count(UNAUTHORIZED)
        assert '"level":"ERROR"' not in log
        # An odd request may have a browser's Origin; the gateway logs such refusals.
        said = self.stderr.read_text().splitlines()
        assert [line for line in said if not line.startswith("gateway: refused a request.")] == []


@pytest.fixture(scope="session")
def attacked_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedStack]:
    """One stack for all tests of this directory that need non-default settings."""
    path = tmp_path_factory.mktemp("attacked_stack")
    params = (
        *("tokenUse=access", "messagesPerSecond=1000", "messageBurst=10000"),
        *("groupMessagesPerSecond=10000", "groupBytesPerSecond=100000000", "connectionsPerUser=100"),
    )
    options = [word for param in params for word in ("--param", param)]
    with (
        _stderr_to(path / "stderr.log"),
        running_stack(path / "functions.log", "--auth", "cognito", *options) as stack,
    ):
        yield AttackedStack(stack, Mint(stack), path / "stderr.log")


@pytest.fixture(scope="session")
def mint(cognito_stack: Stack) -> Mint:
    """Makes tokens of the pool of a stack with default settings."""
    return Mint(cognito_stack)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Connects with a token in the subprotocol; closes at the end of the test."""
    async with AsyncExitStack() as open_peers:

        async def connect_one(stack: Stack, token: str, query: str = "") -> Peer:
            offered = ["groupcast.v1", f"bearer.{token}"]
            # With a full queue, nobody would read the answer to the closing handshake.
            peer = Peer.connect(f"{stack.gateway_url}{query}", subprotocols=offered, max_queue=None)
            return await open_peers.enter_async_context(peer)

        yield connect_one


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Redirect the stderr of processes started meanwhile to a file."""
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
