"""Functions as they are deployed: for guests, for users of a pool, and without lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.groupcast.cloud import running_cloud
from tests.unit.groupcast.functions import Functions, Output
from tests.unit.groupcast.handlers.clients import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.groupcast.cloud import Cloud


@pytest.fixture(scope="session")
def session_cloud() -> Iterator[Cloud]:
    with running_cloud() as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def cloud(session_cloud: Cloud) -> Cloud:
    session_cloud.reset()
    return session_cloud


@pytest.fixture(scope="session")
def guests(session_cloud: Cloud) -> Iterator[Functions]:
    """Everyone connects."""
    functions = Functions(session_cloud, auth="none")
    yield functions
    functions.close()


@pytest.fixture(scope="session")
def members(session_cloud: Cloud) -> Iterator[Functions]:
    """Users of the pool connect; each has two connections at most, and messages last a day."""
    functions = Functions(session_cloud, connectionsPerUser="2", retentionDays="1")
    yield functions
    functions.close()


@pytest.fixture(scope="session")
def streamed(session_cloud: Cloud) -> Iterator[Functions]:
    """Messages reach the fan-out through the stream alone, and nothing limits posts."""
    names = ("connect", "joinGroup", "sendMessage", "fanoutMessage", "fanoutRetry")
    functions = Functions(session_cloud, *names, auth="none", delivery="stream", postsPerSecond="0")
    yield functions
    functions.close()


@pytest.fixture(scope="module")
def offering(session_cloud: Cloud) -> Iterator[Functions]:
    """Like `guests`, with a sender that no failed offer has made pause yet."""
    functions = Functions(session_cloud, "connect", "joinGroup", "sendMessage", auth="none")
    yield functions
    functions.close()


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


@pytest.fixture
def guest(cloud: Cloud, guests: Functions, output: Output) -> Client:
    """Nobody in particular, connected."""
    client = Client(guests, output)
    client.connect()
    return client


@pytest.fixture
def user(cloud: Cloud, members: Functions, output: Output) -> Client:
    """A user of the pool, connected."""
    client = Client(members, output, user="ann")
    client.connect()
    return client


@pytest.fixture
def another(output: Output) -> Callable[[Client], Client]:
    """One more connection of the same user or, for a guest, of another."""

    def connect(client: Client) -> Client:
        more = Client(client.functions, output, user=client.user)
        more.connect()
        return more

    return connect
