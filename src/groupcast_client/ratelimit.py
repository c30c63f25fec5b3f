"""Retries rate-limited requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from groupcast_client.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

Result = TypeVar("Result")


def retry_after_s(error: ServerError, limit_s: float) -> float:
    """Return the delay that the service asks for, at most `limit_s`; 0 if it gives none."""
    return min((error.retry_after_ms or 0) / 1_000, limit_s)


async def retried(
    attempt: Callable[[], Awaitable[Result]], delays: Iterator[float], deadline: float
) -> Result:
    """Await `attempt()`, and repeat it after each RateLimited and a `pause`. Raises other errors."""
    while True:
        try:
            return await attempt()
        except ServerError as error:
            if error.code != "RateLimited":
                raise
            await pause(error, delays, deadline)


async def pause(error: ServerError, delays: Iterator[float], deadline: float) -> None:
    """Wait for the delay in the error, or for the next of `delays` if it has none.

    Raises the error immediately if the wait would not end before `deadline`, a loop time.
    """
    await asyncio.sleep(_pause_s(error, delays, deadline))


def _pause_s(error: ServerError, delays: Iterator[float], deadline: float) -> float:
    pause_s = next(delays) if error.retry_after_ms is None else error.retry_after_ms / 1_000
    if asyncio.get_running_loop().time() + pause_s >= deadline:
        raise error
    return pause_s


class RateLimitRetry:
    """Retries rate-limited calls after the given delay.

    Waiting calls form a queue, first come first served: if all retried at the same moment, the service
    would refuse most of them again.
    """

    def __init__(self) -> None:
        self._queue = asyncio.Lock()
        # The last RateLimited error.
        self._refusal: ServerError | None = None

    async def call(
        self, attempt: Callable[[], Awaitable[Result]], delays: Iterator[float], deadline: float
    ) -> Result:
        """Await `attempt()`, and repeat it after each RateLimited until `deadline`, a loop time.

        `delays` are used if the service gives none. `attempt` must itself end by the deadline. Raises its
        errors, and RateLimited if the wait would not end before the deadline.
        """
        if not self._queue.locked():
            try:
                return await attempt()
            except ServerError as error:
                resume_at = self._resume_at(error, delays, deadline)
        else:
            resume_at = 0.0
        await self._wait_in_queue(deadline)
        try:
            while True:
                await asyncio.sleep(max(0.0, resume_at - asyncio.get_running_loop().time()))
                try:
                    return await attempt()
                except ServerError as error:
                    resume_at = self._resume_at(error, delays, deadline)
        finally:
            self._queue.release()

    async def _wait_in_queue(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._queue.acquire()
        except TimeoutError:
            last = self._refusal
            # Calls only queue behind one that was refused.
            assert last is not None
            raise ServerError(
                last.code, last.message, last.request_id, retry_after_ms=last.retry_after_ms
            ) from None

    def _resume_at(self, error: ServerError, delays: Iterator[float], deadline: float) -> float:
        if error.code != "RateLimited":
            raise error
        self._refusal = error
        return asyncio.get_running_loop().time() + _pause_s(error, delays, deadline)
