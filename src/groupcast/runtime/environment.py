"""One event loop and one set of clients per Lambda environment, created while the function's module loads.

Loading modules get a full vCPU, invocations only the function's share of one. `asyncio.run` would close the
loop at the end of each invocation, and with it every connection; so the loop and the clients are kept.
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
    """A function's state between invocations: an event loop, and the value that `opener` opens on it.

    `opener` must not depend on answers from the network: a service that is down would block the start.
    """

    def __init__(self, opener: Callable[[Settings], AbstractAsyncContextManager[T]]) -> None:
        self._opener = opener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()
        self._opened: T | None = None
        # If this fails, each invocation tries again and raises the error, with its request id in the log. An
        # error here would make Lambda reload the module for each invocation, and log no request id.
        with suppress(Exception), collector_paused():
            self._open()

    def run(self, use: Callable[[T], Awaitable[R]]) -> R:
        """Run `use` on the loop. SettingsError if a setting is missing or invalid."""
        loop, opened = self._open()
        return loop.run_until_complete(use(opened))

    def close(self) -> None:
        """Close the clients and the loop. Only tests call this."""
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
        import uvloop  # noqa: PLC0415 - not available on every platform
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
