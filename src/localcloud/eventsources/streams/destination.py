"""Sends discarded records to the failure destination."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import TYPE_CHECKING

from localcloud.eventsources.streams.batching import backoff_s
from localcloud.eventsources.streams.discards import invocation_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from localcloud.eventsources.streams.discards import Discard
    from localcloud.eventsources.streams.settings import StreamSettings
    from localcloud.service.model import StreamMapping

    # Sends a message: the queue's logical id, the body.
    Send = Callable[[str, str], Awaitable[None]]


class Destination:
    """One mapping's failure destination. Attempts are limited, so that it never blocks a shard."""

    def __init__(
        self, mapping: StreamMapping, send: Send, settings: StreamSettings, *, region: str, stream_arn: str
    ) -> None:
        self._mapping = mapping
        self._send = send
        self._settings = settings
        self._region = region
        self._stream_arn = stream_arn

    async def give_up(self, shard_id: str, discard: Discard) -> None:
        """Send the invocation record, or report lost records on stderr. Does not raise."""
        document = invocation_record(
            discard,
            function=self._mapping.function,
            region=self._region,
            stream_arn=self._stream_arn,
            shard_id=shard_id,
            now_s=time.time(),
        )
        what = (
            f"{len(discard.batch.records)} stream records for {self._mapping.function}: {discard.condition}"
        )
        if self._mapping.on_failure_queue is None:
            sys.stderr.write(f"{what}; discarded\n")
            return
        error = await self._try_to_send(self._mapping.on_failure_queue, json.dumps(document))
        if error is not None:
            sys.stderr.write(f"{what}; {self._mapping.on_failure_queue} refuses them: {error!r}\n")

    async def _try_to_send(self, queue: str, body: str) -> Exception | None:
        settings = self._settings
        for attempt in range(settings.destination_attempts):
            try:
                await self._send(queue, body)
            except Exception as error:  # noqa: BLE001 - whatever it is, the shard must go on
                failure = error
            else:
                return None
            if attempt + 1 < settings.destination_attempts:
                chance = random.random()  # noqa: S311 - jitter, not a secret
                await asyncio.sleep(
                    backoff_s(attempt, min_s=settings.retry_min_s, max_s=settings.retry_max_s, chance=chance)
                )
        return failure
