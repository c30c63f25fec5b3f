"""Assigns invocations to environments and starts environments when needed."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, Self

import orjson

from localcloud.errors import FunctionError, StartError
from localcloud.functions import capacity, handling
from localcloud.functions.capacity import Limits, Pool, PoolStatus
from localcloud.functions.description import describe
from localcloud.functions.environment import Environment, EnvironmentLost
from localcloud.functions.forker import Forker
from localcloud.functions.log import Log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from localcloud.service.model import Function

# Lambda allows 10 s; here several environments may share two cores while they import.
INIT_TIMEOUT_S = 30.0
LIMIT_PER_FUNCTION = 4
# Invocations of one function that may wait: at the end of a load test all members may leave at once.
QUEUE_LIMIT = 10_000


class Environments:
    """An Invoker that runs functions in processes of their own, one event at a time each.

    An async context manager. `extra_env` is set in every function and overrides its own environment. `log` is
    the functions' log file; None: this process's stdout and stderr.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        *,
        region: str,
        extra_env: Mapping[str, str] | None = None,
        limit_per_function: int = LIMIT_PER_FUNCTION,
        queue_limit: int = QUEUE_LIMIT,
        log: Path | None = None,
    ) -> None:
        self._pools = {name: Pool(function) for name, function in functions.items()}
        self._limits = Limits(limit_per_function, queue_limit)
        self._region = region
        self._extra_env = dict(extra_env or {})
        self._log = Log(log)
        # None: not open.
        self._forker: Forker | None = None
        self._starts: set[asyncio.Task[None]] = set()
        self._runs: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """StartError if functions cannot be run."""
        self._log.open()
        forker = Forker(self._log.output)
        try:
            await forker.start()
        except BaseException:
            self._log.close()
            raise
        self._forker = forker
        return self

    async def __aexit__(self, *_: object) -> None:
        forker, self._forker = self._forker, None
        for pool in self._pools.values():
            for environment in (*pool.idle, *pool.busy):
                environment.close()
            while pool.waiting:
                pool.answer_next(_stopped(pool.function.name))
        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, *self._runs, return_exceptions=True)
        if forker is not None:
            await forker.close()
        self._log.close()

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """See Invoker. FunctionError TooManyRequestsException if too many invocations wait."""
        pool = self._pools.get(function)
        if pool is None:
            raise FunctionError(function, "ResourceNotFoundException", "there is no such function")
        payload = handling.encode_event(function, event)
        environment = await self._acquire(pool)
        # In a task of its own, so that a cancelled caller does not cancel the invocation.
        run = asyncio.create_task(self._run(pool, environment, payload))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return await asyncio.shield(run)

    async def warm(self, names: Iterable[str]) -> None:
        """Start an environment for each function that has none; FunctionError if one does not load."""
        cold = [pool for name in names if not (pool := self._pools[name]).size]
        starts = [self._start(pool) for pool in cold]
        outcomes = await asyncio.gather(*map(asyncio.shield, starts), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def snapshot(self) -> dict[str, PoolStatus]:
        """The current state of every function's environments."""
        return {name: pool.status() for name, pool in self._pools.items()}

    async def _acquire(self, pool: Pool) -> Environment:
        name = pool.function.name
        if self._forker is None:
            raise _stopped(name)
        if pool.idle:
            # The one used last has the warmest caches.
            environment = pool.idle.pop()
            pool.busy.add(environment)
            return environment
        if len(pool.waiting) >= self._limits.queue:
            message = f"Rate Exceeded: {len(pool.waiting)} invocations wait for {pool.size} environments"
            raise FunctionError(name, "TooManyRequestsException", message)
        waiter: asyncio.Future[Environment] = asyncio.get_running_loop().create_future()
        pool.waiting.append(waiter)
        self._grow()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in pool.waiting:
                pool.waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                # Cancelled after it was given an environment and before it took it.
                self._release(pool, waiter.result())
            raise

    async def _run(self, pool: Pool, environment: Environment, payload: bytes) -> Any:
        function, request_id = pool.function, str(uuid.uuid4())
        deadline_ms = int((time.time() + function.timeout_s) * 1000)
        fields = {"requestId": request_id, "event": orjson.Fragment(payload), "deadlineMs": deadline_ms}
        try:
            async with asyncio.timeout(function.timeout_s):
                reply = await environment.ask(orjson.dumps(fields))
        except TimeoutError:
            await self._retire(pool, environment)
            what = f"Task timed out after {function.timeout_s:.2f} seconds"
            raise self._failed(function.name, request_id, "Sandbox.Timedout", what) from None
        except EnvironmentLost:
            what = "Runtime exited without providing a reason"
            raise self._failed(function.name, request_id, "Runtime.ExitError", what) from None
        self._release(pool, environment)
        if (log_error := handling.log_error_of(reply)) is not None:
            self._log.lost(log_error)
        return handling.result_of(function.name, reply)

    def _start(self, pool: Pool) -> asyncio.Task[None]:
        """Start an environment for a waiting invocation. The task fails if the function does not load."""
        pool.starting += 1
        start = asyncio.create_task(self._start_one(pool))
        self._starts.add(start)
        start.add_done_callback(self._started)
        return start

    def _started(self, start: asyncio.Task[None]) -> None:
        self._starts.discard(start)
        # The waiting invocation already has the error; mark it as retrieved.
        if not start.cancelled():
            start.exception()

    async def _start_one(self, pool: Pool) -> None:
        try:
            environment = await self._cold_start(pool.function)
        except FunctionError as error:
            pool.starting -= 1
            # The longest-waiting invocation gets the error; the others get starts of their own.
            pool.answer_next(error)
            self._grow()
            raise
        except BaseException:
            pool.starting -= 1
            raise
        pool.starting -= 1
        pool.cold_starts += 1
        # Not _release: this environment has not served yet, and its invocation may still be waiting.
        self._offer(pool, environment)

    async def _cold_start(self, function: Function) -> Environment:
        if self._forker is None:
            raise _stopped(function.name)
        description = describe(function, region=self._region, extra_env=self._extra_env)
        try:
            sock, pid = await self._forker.fork(description)
        except StartError as error:
            raise FunctionError(function.name, "ServiceException", str(error)) from error
        environment = await Environment.connect(sock, pid, self._lost)
        try:
            async with asyncio.timeout(INIT_TIMEOUT_S):
                handling.result_of(function.name, await environment.reply())
        except TimeoutError:
            await self._forker.kill(pid)
            message = f"Init timed out after {INIT_TIMEOUT_S:.2f} seconds"
            raise FunctionError(function.name, "Sandbox.Timedout", message) from None
        except EnvironmentLost:
            raise FunctionError(function.name, "Runtime.ExitError", "Runtime exited during init") from None
        except BaseException:
            environment.close()
            raise
        return environment

    async def _retire(self, pool: Pool, environment: Environment) -> None:
        environment.close()
        pool.forget(environment)
        if self._forker is not None:
            await self._forker.kill(environment.pid)
        self._grow()

    def _lost(self, environment: Environment) -> None:
        for pool in self._pools.values():
            pool.forget(environment)
        self._grow()

    def _release(self, pool: Pool, environment: Environment) -> None:
        pool.busy.discard(environment)
        self._offer(pool, environment)

    def _offer(self, pool: Pool, environment: Environment) -> None:
        if self._forker is None:
            environment.close()
        elif not environment.lost and not pool.answer_next(environment):
            pool.idle.append(environment)
        self._grow()

    def _grow(self) -> None:
        """Start environments for waiting invocations, within the limits."""
        pools = self._pools.values()
        while self._forker is not None and (pool := capacity.next_to_grow(pools, self._limits)) is not None:
            self._start(pool)

    def _failed(self, name: str, request_id: str, error_type: str, what: str) -> FunctionError:
        if self._forker is not None:
            # Lambda, too, writes this to the function's log.
            self._log.write(f"{name}: {request_id} {what}\n")
        return FunctionError(name, error_type, f"RequestId: {request_id} Error: {what}")


def _stopped(name: str) -> FunctionError:
    return FunctionError(name, "ServiceException", "the functions are not running")
