"""Delays events and posts by the difference between a local hop and one on AWS."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.hops.profile import Hop, HopProfile
    from localcloud.invoking import Invoker

_MS_IN_S = 1000
_FIFO = ".fifo"


class HopDelays:
    """Random delays of one profile. Each hop has its own generator, so that its draws can be repeated."""

    def __init__(self, profile: HopProfile, seed: int = 0) -> None:
        self.stream_s = _draws(profile.stream, f"{seed} stream")
        self.queue_s = _draws(profile.queue, f"{seed} queue")
        self.fifo_queue_s = _draws(profile.fifo_queue, f"{seed} fifo queue")
        self.route_s = _draws(profile.route, f"{seed} route")
        self.post_s = _draws(profile.post, f"{seed} post")

    def routes(self, inner: Invoker) -> Invoker:
        """An Invoker that delays the gateway's events and passes on all others at once."""
        return _RouteDelay(inner, self)

    def queues(self, inner: Invoker) -> Invoker:
        """An Invoker that delays the events of queue mappings.

        The drawn delay counts from the SentTimestamp of a batch's oldest message; if that is over, the batch
        starts at once. The order within a group stays, since a mapping runs one batch per group at a time. A
        delayed batch counts as one of the mapping's concurrent batches.
        """
        return _QueueDelay(inner, self)


class _RouteDelay:
    def __init__(self, inner: Invoker, delays: HopDelays) -> None:
        self._inner = inner
        self._delays = delays

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """See Invoker."""
        if "requestContext" in event:
            await asyncio.sleep(self._delays.route_s())
        return await self._inner.invoke(function, event)


class _QueueDelay:
    def __init__(self, inner: Invoker, delays: HopDelays) -> None:
        self._inner = inner
        self._delays = delays

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """See Invoker."""
        records = event["Records"]
        sent_ms = min(int(record["attributes"]["SentTimestamp"]) for record in records)
        is_fifo = records[0]["eventSourceARN"].endswith(_FIFO)
        drawn_s = self._delays.fifo_queue_s() if is_fifo else self._delays.queue_s()
        await asyncio.sleep(max(sent_ms / _MS_IN_S + drawn_s - time.time(), 0.0))
        return await self._inner.invoke(function, event)


def _draws(hop: Hop, seed: str) -> Callable[[], float]:
    # Repeatable draws, not a secret.
    dice = random.Random(seed)  # noqa: S311
    return lambda: hop.at_deviation(dice.gauss(0.0, 1.0)) / _MS_IN_S
