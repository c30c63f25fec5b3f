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
        # The last RateLimited that somebody got.
        self._refusal: ServerError | None = None

    async def call(self, attempt: Callable[[], Awaitable[Result]], deadline: float) -> Result:
        """Await `attempt()`, again after each RateLimited. `deadline` is a time of the loop's clock.

        Raises what the attempt raises, which must itself end by the deadline; RateLimited where the wait
        does not end before it.
        """
        if not self._line.locked():
            try:
                return await attempt()
            except ServerError as error:
                resume_at = self._resume_at(error, deadline)
        else:
            resume_at = 0.0
        await self._stand_in_line(deadline)
        try:
            while True:
                await asyncio.sleep(max(0.0, resume_at - asyncio.get_running_loop().time()))
                try:
                    return await attempt()
                except ServerError as error:
                    resume_at = self._resume_at(error, deadline)
        finally:
            self._line.release()

    async def _stand_in_line(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._line.acquire()
        except TimeoutError:
            last = self._refusal
            # There is only a line behind somebody who was refused.
            assert last is not None
            raise ServerError(
                last.code, last.message, last.request_id, retry_after_ms=last.retry_after_ms
            ) from None

    def _resume_at(self, error: ServerError, deadline: float) -> float:
        if error.code != "RateLimited" or error.retry_after_ms is None:
            raise error
        self._refusal = error
        resume_at = asyncio.get_running_loop().time() + error.retry_after_ms / 1_000
        if resume_at >= deadline:
            raise error
        return resume_at
