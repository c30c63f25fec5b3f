"""Invokes a function with one sequence of records, in order, until each is delivered or discarded."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.errors import FunctionError
from localcloud.eventsources.outages import OutageLog
from localcloud.eventsources.streams import batching
from localcloud.eventsources.streams.batching import Batch
from localcloud.eventsources.streams.discards import AGE_EXCEEDED, RETRIES_EXHAUSTED, Discard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from localcloud.eventsources.streams.records import StreamRecord
    from localcloud.eventsources.streams.settings import StreamSettings
    from localcloud.invoking import Invoker
    from localcloud.service.model import StreamMapping

# The function was not reached. AWS retries such calls while the records live and does not count them.
NOT_INVOKED = frozenset({"TooManyRequestsException", "ServiceException"})


class Lane:
    """The records of some items of a shard.

    `give_up` sends a discard to the failure destination and must not raise. `done` is called with delivered
    and discarded records.
    """

    def __init__(
        self,
        mapping: StreamMapping,
        invoker: Invoker,
        settings: StreamSettings,
        *,
        give_up: Callable[[Discard], Awaitable[None]],
        done: Callable[[Sequence[StreamRecord]], None],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._mapping = mapping
        self._invoker = invoker
        self._settings = settings
        self._give_up = give_up
        self._done = done
        self._now_s = now_s
        self._outage = OutageLog(f"cannot invoke {mapping.function} for its stream")
        self._waiting: deque[StreamRecord] = deque()
        self._first_at_s = 0.0
        self._ended = False
        self._news = asyncio.Event()
        self._stopped = asyncio.Event()

    def add(self, record: StreamRecord) -> None:
        """Append a record."""
        if not self._waiting:
            self._first_at_s = asyncio.get_running_loop().time()
        self._waiting.append(record)
        self._news.set()

    def end(self) -> None:
        """No more records will come: run() returns after the last."""
        self._ended = True
        self._news.set()

    def stop(self) -> None:
        """Make run() return after the running invocation, leaving the rest."""
        self._stopped.set()
        self._news.set()

    async def run(self) -> None:
        while records := await self._next_records():
            await self._deliver(Batch(records))

    async def _next_records(self) -> tuple[StreamRecord, ...]:
        """The next batch's records; empty at the end."""
        while not self._stopped.is_set() and (self._waiting or not self._ended):
            self._news.clear()
            now_s = asyncio.get_running_loop().time()
            waited_s = now_s - self._first_at_s
            count = batching.take(self._waiting, self._mapping, waited_s=waited_s, ended=self._ended)
            if count:
                self._first_at_s = now_s
                return tuple(self._waiting.popleft() for _ in range(count))
            due_s = self._mapping.window_s - waited_s if self._waiting else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), due_s)
        return ()

    async def _deliver(self, batch: Batch) -> None:
        # A stack: the parts of a split batch come before later batches.
        todo, function_error, refusals = [batch], False, 0
        while todo and not self._stopped.is_set():
            expired, alive = batching.split_expired(todo.pop(), self._mapping, now_s=self._now_s())
            if expired is not None:
                await self._discard(Discard(expired, AGE_EXCEEDED, function_error))
            if alive is None:
                continue
            outcome = await self._invoke(alive)
            if outcome is None:
                todo.append(alive)
                await self._pause(refusals)
                refusals += 1
                continue
            refusals, function_error = 0, outcome.function_error
            self._done(alive.records[: outcome.delivered])
            if outcome.delivered < len(alive.records):
                todo.extend(reversed(await self._after_failure(alive, outcome)))

    async def _invoke(self, batch: Batch) -> _Outcome | None:
        """Invoke the function; None if it was not reached, which is not the records' fault."""
        event = {"Records": [record.event for record in batch.records]}
        try:
            response = await self._invoker.invoke(self._mapping.function, event)
        except FunctionError as error:
            if error.error_type not in NOT_INVOKED:
                self._outage.recovered()
                return _Outcome(delivered=0, function_error=True)
            self._outage.report(error)
            return None
        except Exception as error:  # noqa: BLE001 - an invoker's bug must not cost a record
            self._outage.report(error)
            return None
        self._outage.recovered()
        return _Outcome(batching.count_delivered(batch, self._mapping, response), function_error=False)

    async def _after_failure(self, batch: Batch, outcome: _Outcome) -> tuple[Batch, ...]:
        following = batching.after_failure(batch, self._mapping, outcome.delivered)
        if following.given_up is not None:
            await self._discard(Discard(following.given_up, RETRIES_EXHAUSTED, outcome.function_error))
        if following.todo:
            await self._pause(max(0, following.todo[0].retries - 1))
        return following.todo

    async def _discard(self, discard: Discard) -> None:
        await self._give_up(discard)
        self._done(discard.batch.records)

    async def _pause(self, retry: int) -> None:
        settings = self._settings
        # Jitter needs no secure randomness.
        chance = random.random()  # noqa: S311
        wait_s = batching.backoff_s(
            retry, min_s=settings.retry_min_s, max_s=settings.retry_max_s, chance=chance
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), wait_s)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The number of records an invocation delivered; `function_error`: the function raised or died."""

    delivered: int
    function_error: bool
