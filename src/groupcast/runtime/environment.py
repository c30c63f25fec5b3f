"""One event loop and one set of clients per Lambda environment, made while the function's module loads.

Lambda gives a loading module a whole vCPU, and an invocation the function's share of one. An environment is
frozen between invocations: what `asyncio.run` made would be closed when it thaws, so loop and clients stay.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from groupcast.loading import collector_paused
from groupcast.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from groupcast.settings import Settings

T = TypeVar("T")
R = TypeVar("R")


class Environment(Generic[T]):
    """What a function keeps from one invocation to the next: a loop, and what `opener` opens on it.

    Where `opener` uses the network, it must go on without an answer: a service that is down would hold up
    the start.
    """

    def __init__(self, opener: Callable[[Settings], AbstractAsyncContextManager[T]]) -> None:
        self._opener = opener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()
        self._opened: T | None = None
        # Where that fails, each invocation tries again and raises the reason, with its request id in the log.
        # Raised here, it would have Lambda load the module anew for each of them, and say it without one.
        with suppress(Exception), collector_paused():
            self._open()

    def run(self, use: Callable[[T], Awaitable[R]]) -> R:
        """Run `use` to its end on the loop. SettingsError where a setting is missing or wrong."""
        loop, opened = self._open()
        return loop.run_until_complete(use(opened))

    def close(self) -> None:
        """Close the clients and the loop; Lambda never does, tests do."""
        if self._loop is not None:
            self._loop.run_until_complete(self._stack.aclose())
            self._loop.close()
            self._loop, self._opened = None, None

    def _open(self) -> tuple[asyncio.AbstractEventLoop, T]:
        if self._loop is None or self._opened is None:
            settings = read_settings(os.environ)
            self._loop = self._loop or _new_loop()
            opening = self._stack.enter_async_context(self._opener(settings))
            self._opened = self._loop.run_until_complete(opening)
        return self._loop, self._opened


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
