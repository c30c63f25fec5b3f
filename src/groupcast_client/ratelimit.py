"""When to try again what the service refused for now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from groupcast_client.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

Result = TypeVar("Result")


def retry_after_s(error: ServerError, limit_s: float) -> float:
    """Return how long the service wants this client to wait, at most `limit_s`; 0 where it does not say."""
    return min((error.retry_after_ms or 0) / 1_000, limit_s)


async def retried(
    attempt: Callable[[], Awaitable[Result]], delays: Iterator[float], deadline: float
) -> Result:
    """Await `attempt()`, again after each RateLimited, as `pause` has it. Raises what the attempt raises."""
    while True:
        try:
            return await attempt()
        except ServerError as error:
            if error.code != "RateLimited":
                raise
            await pause(error, delays, deadline)


async def pause(error: ServerError, delays: Iterator[float], deadline: float) -> None:
    """Wait as long as the error says, or for the next delay where it does not say.

    Raises the error at once where the wait would not end before `deadline`, a time of the loop's clock.
    """
    await asyncio.sleep(_pause_s(error, delays, deadline))


def _pause_s(error: ServerError, delays: Iterator[float], deadline: float) -> float:
    pause_s = next(delays) if error.retry_after_ms is None else error.retry_after_ms / 1_000
    if asyncio.get_running_loop().time() + pause_s >= deadline:
        raise error
    return pause_s


class RateLimitRetry:
    """Tries rate-limited calls again after the time that the service gave.

    The calls that wait stand in one line, first come first served: if all tried again at the same moment,
    the service would refuse all but a few once more.
    """

    def __init__(self) -> None:
        self._line = asyncio.Lock()
        # The last RateLimited that somebody got.
        self._refusal: ServerError | None = None

    async def call(
        self, attempt: Callable[[], Awaitable[Result]], delays: Iterator[float], deadline: float
    ) -> Result:
        """Await `attempt()`, again after each RateLimited. `deadline` is a time of the loop's clock.

        `delays` are the waits where the service gives none. Raises what the attempt raises, which must
        itself end by the deadline; RateLimited where the wait does not end before it.
        """
        if not self._line.locked():
            try:
                return await attempt()
            except ServerError as error:
                resume_at = self._resume_at(error, delays, deadline)
        else:
            resume_at = 0.0
        await self._stand_in_line(deadline)
        try:
            while True:
                await asyncio.sleep(max(0.0, resume_at - asyncio.get_running_loop().time()))
                try:
                    return await attempt()
                except ServerError as error:
                    resume_at = self._resume_at(error, delays, deadline)
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

    def _resume_at(self, error: ServerError, delays: Iterator[float], deadline: float) -> float:
        if error.code != "RateLimited":
            raise error
        self._refusal = error
        return asyncio.get_running_loop().time() + _pause_s(error, delays, deadline)
