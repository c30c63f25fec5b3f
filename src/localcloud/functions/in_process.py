"""Runs functions in threads of this process, so that breakpoints and pdb work in them."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson

from localcloud.errors import FunctionError, StartError
from localcloud.functions import handling
from localcloud.functions.description import describe, shared_environ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from localcloud.functions.description import Description
    from localcloud.service.model import Function

# Invocations of one function, the running one included.
QUEUE_LIMIT = 1000
# How long closing waits for running handlers.
CLOSE_TIMEOUT_S = 5.0


class InProcess:
    """An Invoker that runs each function in a thread of its own.

    A function keeps its thread because the handler's event loop is bound to it. All functions share one
    os.environ, so variables that differ between them (such as AWS_LAMBDA_FUNCTION_NAME) are not set. Timeouts
    are not enforced, so that a breakpoint may take any time. `extra_env` is as in Environments.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        *,
        region: str,
        extra_env: Mapping[str, str] | None = None,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._functions = dict(functions)
        self._region = region
        self._extra_env = dict(extra_env or {})
        self._queue_limit = queue_limit
        self._environ_before: dict[str, str] = {}
        self._threads: dict[str, _Thread] = {}
        self._running: set[asyncio.Future[bytes]] = set()

    async def __aenter__(self) -> Self:
        """StartError if two functions need different values of one variable."""
        environ = shared_environ(self._region) | _merged(self._functions.values()) | self._extra_env
        self._environ_before = dict(os.environ)
        os.environ.update(environ)
        time.tzset()
        self._threads = {
            name: _thread(function, describe(function, region=self._region, extra_env={}))
            for name, function in self._functions.items()
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        threads, self._threads = self._threads, {}
        for thread in threads.values():
            thread.executor.shutdown(wait=False, cancel_futures=True)
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_TIMEOUT_S)
        os.environ.clear()
        os.environ.update(self._environ_before)
        time.tzset()

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """See Invoker. FunctionError TooManyRequestsException if too many invocations wait."""
        thread = self._threads.get(function)
        if thread is None:
            raise FunctionError(function, "ResourceNotFoundException", "there is no such function")
        if thread.calls >= self._queue_limit:
            raise FunctionError(function, "TooManyRequestsException", f"Rate Exceeded: {thread.calls} wait")
        payload = handling.encode_event(function, event)
        call = asyncio.get_running_loop().run_in_executor(thread.executor, thread.call, payload)
        self._running.add(call)
        call.add_done_callback(self._running.discard)
        thread.calls += 1
        try:
            return handling.result_of(function, await call)
        finally:
            thread.calls -= 1

    async def warm(self, names: Iterable[str]) -> None:
        """Import the functions' modules; FunctionError if one does not load."""
        loop = asyncio.get_running_loop()
        for name in names:
            thread = self._threads[name]
            handling.result_of(name, await loop.run_in_executor(thread.executor, thread.load))


@dataclass(slots=True)
class _Thread:
    """A function and its thread; `calls` counts running and waiting invocations."""

    timeout_s: int
    description: Description
    executor: ThreadPoolExecutor
    handler: Callable[[Any, handling.Context], Any] | None = None
    calls: int = 0

    def load(self) -> bytes:
        try:
            self.handler = self.handler or handling.load(self.description.handler)
        except handling.LoadError as error:
            return error.reply
        return handling.READY

    def call(self, payload: bytes) -> bytes:
        loaded = self.load()
        if self.handler is None:
            return loaded
        deadline_ms = int((time.time() + self.timeout_s) * 1000)
        context = handling.context_of(self.description, str(uuid.uuid4()), deadline_ms)
        try:
            return handling.call(self.handler, orjson.loads(payload), context)
        except SystemExit as error:
            return handling.error_reply("Runtime.ExitError", f"Runtime exited: exit status {error.code}")


def _thread(function: Function, description: Description) -> _Thread:
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=function.name)
    return _Thread(timeout_s=function.timeout_s, description=description, executor=executor)


def _merged(functions: Iterable[Function]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for function in functions:
        for name, value in function.environment.items():
            if merged.setdefault(name, value) != value:
                raise StartError(
                    f"{name} differs between functions; --in-process has one environment for all"
                )
    return merged
