"""The stacks under attack, with all that they write kept to be searched."""

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

# As an authorizer says 401; Lambda's runtime logs it like any other exception.
UNAUTHORIZED = "[ERROR] Exception: Unauthorized"


@dataclass(frozen=True)
class Besieged:
    """A stack that takes access tokens alone, and as many frames and connections as one can make."""

    stack: Stack
    mint: Mint
    stderr: Path

    def written(self) -> str:
        """All that its functions logged, and that it said itself after its first line."""
        assert self.stack.process.stdout is not None
        pipe = self.stack.process.stdout.fileno()
        os.set_blocking(pipe, False)
        # Nothing is in it: the stack has said all that it has to say in its first line.
        with suppress(BlockingIOError):
            assert not os.read(pipe, 1 << 16)
        return self.stack.log.read_text() + self.stderr.read_text()

    def assert_nothing_broke(self) -> None:
        """No function ended with an exception, but for the authorizer's own; none logged an error."""
        log = self.stack.log.read_text()
        assert log.count("Traceback") == log.count(UNAUTHORIZED)
        assert '"level":"ERROR"' not in log
        # An odd request may have an Origin that browsers send, which a developer is told of.
        said = self.stderr.read_text().splitlines()
        assert [line for line in said if not line.startswith("gateway: refused a request.")] == []


@pytest.fixture(scope="session")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    """One for all tests of this directory that need other settings than the default ones."""
    path = tmp_path_factory.mktemp("besieged")
    params = (
        *("tokenUse=access", "messagesPerSecond=1000", "messageBurst=10000"),
        *("groupMessagesPerSecond=10000", "groupBytesPerSecond=100000000", "connectionsPerUser=100"),
    )
    options = [word for param in params for word in ("--param", param)]
    with (
        _stderr_to(path / "stderr.log"),
        running_stack(path / "functions.log", "--auth", "cognito", *options) as stack,
    ):
        yield Besieged(stack, Mint(stack), path / "stderr.log")


@pytest.fixture(scope="session")
def mint(cognito_stack: Stack) -> Mint:
    """Makes tokens of the pool of a stack as people start it."""
    return Mint(cognito_stack)


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Connects with a token in the subprotocol; closed when the test ends."""
    async with AsyncExitStack() as open_peers:

        async def connect_one(stack: Stack, token: str, query: str = "") -> Peer:
            offered = ["groupcast.v1", f"bearer.{token}"]
            # With a queue that is full, nobody would read the answer to the closing handshake.
            peer = Peer.connect(f"{stack.gateway_url}{query}", subprotocols=offered, max_queue=None)
            return await open_peers.enter_async_context(peer)

        yield connect_one


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """What is started meanwhile writes there."""
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
