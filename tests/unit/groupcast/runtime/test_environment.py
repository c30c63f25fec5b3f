"""Environment: what a function opens while it loads, and keeps."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest

from groupcast.errors import SettingsError
from groupcast.runtime.environment import Environment
from groupcast.settings import Settings

Opener: TypeAlias = Callable[[Settings], AbstractAsyncContextManager[str]]


class Openings:
    """Opens texts; the first `failures` openings fail. `log` has what happened, and on which loop."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.log: list[tuple[str, asyncio.AbstractEventLoop]] = []
        self.collecting: list[bool] = []

    @asynccontextmanager
    async def open(self, settings: Settings) -> AsyncIterator[str]:
        self.log.append(("open", asyncio.get_running_loop()))
        self.collecting.append(gc.isenabled())
        if self.failures:
            self.failures -= 1
            raise OSError("not now")
        yield settings.region
        self.log.append(("close", asyncio.get_running_loop()))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.log]


@pytest.fixture
def environment(environ: dict[str, str]) -> Iterator[Callable[[Openings], Environment[str]]]:
    made: list[Environment[str]] = []

    def make(openings: Openings) -> Environment[str]:
        made.append(Environment(openings.open))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def loop_of(_opened: str) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def itself(opened: str) -> str:
    return opened


def test_it_opens_once_and_at_once(environment: Callable[[Openings], Environment[str]]) -> None:
    """Before the first invocation, without the collector, and on the loop of all invocations."""
    openings = Openings()
    made = environment(openings)
    assert openings.events == ["open"]
    assert openings.collecting == [False]
    assert gc.isenabled()
    assert [made.run(itself) for _ in range(2)] == ["us-east-1"] * 2
    assert {made.run(loop_of) for _ in range(2)} == {openings.log[0][1]}
    assert openings.events == ["open"]


def test_an_opening_that_fails_is_tried_again(environment: Callable[[Openings], Environment[str]]) -> None:
    """Each invocation raises the reason until one succeeds, on the same loop."""
    openings = Openings(failures=2)
    made = environment(openings)
    with pytest.raises(OSError, match="not now"):
        made.run(itself)
    assert made.run(itself) == "us-east-1"
    assert openings.events == ["open"] * 3
    assert len({loop for _, loop in openings.log}) == 1


def test_settings_are_read_again(
    environment: Callable[[Openings], Environment[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is opened without them."""
    monkeypatch.delenv("AWS_REGION")
    openings = Openings()
    made = environment(openings)
    for _ in range(2):
        with pytest.raises(SettingsError, match="AWS_REGION"):
            made.run(itself)
    assert openings.events == []
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert made.run(itself) == "eu-west-1"


def test_an_invocation_that_raises_leaves_it_open(
    environment: Callable[[Openings], Environment[str]],
) -> None:
    """The next one goes on with the same clients."""
    openings = Openings()
    made = environment(openings)

    async def broken(_opened: str) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        made.run(broken)
    assert made.run(itself) == "us-east-1"
    assert openings.events == ["open"]


def test_closing(environment: Callable[[Openings], Environment[str]]) -> None:
    """It closes clients and loop, once; an invocation opens new ones."""
    openings = Openings()
    made = environment(openings)
    made.close()
    assert openings.events == ["open", "close"]
    loop = openings.log[0][1]
    assert openings.log[1][1] is loop
    assert loop.is_closed()
    made.close()
    assert openings.events == ["open", "close"]
    assert made.run(itself) == "us-east-1"
    assert made.run(loop_of) is not loop


def test_a_platform_without_uvloop(
    environment: Callable[[Openings], Environment[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has asyncio's own loop."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = environment(Openings()).run(loop_of)
    assert type(loop).__module__.startswith("asyncio.")
