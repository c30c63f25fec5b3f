"""Waiting where the service says how long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from groupcast_client.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")


class Patience:
    """Tries again what was RateLimited, after the time that the service named.

    All that waits stands in one line, first come first served: were everyone to try again at the same
    moment, all but a few would be told to wait once more.
    """

    def __init__(self) -> None:
        self._line = asyncio.Lock()

    async def call(self, attempt: Callable[[], Awaitable[Result]], deadline: float) -> Result:
        """Await `attempt()`, again after each RateLimited. `deadline` is a time of the loop's clock.

        Raises what the attempt raises; RateLimited where the wait would not end before the deadline.
        """
        if not self._line.locked():
            try:
                return await attempt()
            except ServerError as error:
                resume_at = _resume_at(error, deadline)
        else:
            resume_at = 0.0
        async with self._line:
            while True:
                await asyncio.sleep(max(0.0, resume_at - asyncio.get_running_loop().time()))
                try:
                    return await attempt()
                except ServerError as error:
                    resume_at = _resume_at(error, deadline)


def _resume_at(error: ServerError, deadline: float) -> float:
    if error.code != "RateLimited" or error.retry_after_ms is None:
        raise error
    resume_at = asyncio.get_running_loop().time() + error.retry_after_ms / 1_000
    if resume_at >= deadline:
        raise error
    return resume_at
