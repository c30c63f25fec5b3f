"""A pool of kept-alive HTTP/1.1 connections to one origin, driven by callbacks.

A request costs no task, no future and no timer: to keep a window of W requests, start W of them with `send`,
and the next one from each callback. `request` is the same, awaitable. Nothing is retried here: a
failed request is reported once, with an error that says whether it was sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from groupcast.aws.errors import (
    ConnectError,
    ConnectTimeoutError,
    HttpError,
    PoolClosedError,
    PoolFullError,
    PoolTimeoutError,
    ResponseTimeoutError,
    TlsError,
)
from groupcast.aws.http1 import Connection, Response
from groupcast.aws.origin import Addresses
from groupcast.aws.tls import tls_context

if TYPE_CHECKING:
    from groupcast.aws.http1 import OnDone
    from groupcast.aws.origin import Origin

# One timer for all requests, so a timeout is noticed up to twice this much late.
SWEEP_INTERVAL_S = 0.1
CLOSE_TIMEOUT_S = 2.0
MAX_WAITING = 1024
# A TLS handshake takes about a millisecond of CPU: of 64 at once nearly all end together, last. Of
# fewer, the first end soon, and post while others follow. These keep a CPU busy where one takes up to 16 ms
# (`python -m loadtest.bench.cold_pool`).
CONNECTS_AT_ONCE = 16
MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The limit of every wait.

    `connect_s`: until a connection can be used, TLS included. `response_s`: from writing a request to the
    end of its response. `total_s`: that and the wait for a connection. `idle_s`: an older idle connection
    isn't used again; less than the minute after which servers commonly close them.
    """

    connect_s: float = 3.0
    response_s: float = 10.0
    total_s: float = 15.0
    idle_s: float = 45.0


class _Waiter(NamedTuple):
    request: bytes
    on_done: OnDone
    deadline: float


class Pool:
    """At most `max_connections` to one origin, opened when first needed; all on one running event loop.

    A cold or idle pool opens `connects_at_once` at a time, and no more than it needs: open ones take
    waiting requests meanwhile. `max_waiting` requests wait for a connection; `max_body_bytes` bounds a
    response's body; `cafile` replaces the system's certificate authorities.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        max_connections: int,
        connects_at_once: int = CONNECTS_AT_ONCE,
        timeouts: Timeouts | None = None,
        max_waiting: int = MAX_WAITING,
        max_body_bytes: int = MAX_BODY_BYTES,
        cafile: str | None = None,
    ) -> None:
        self.max_connections = max_connections
        self._connects_at_once = connects_at_once
        self._origin = origin
        self._timeouts = timeouts or Timeouts()
        self._response_s = min(self._timeouts.response_s, self._timeouts.total_s)
        self._max_waiting = max_waiting
        self._max_body_bytes = max_body_bytes
        self._tls = tls_context(cafile) if origin.tls else None
        self._addresses = Addresses(origin)
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        # A stack: connections that a shrunken window no longer needs stay at the bottom and grow old.
        self._idle: list[Connection] = []
        self._opening: set[asyncio.Task[ConnectError | None]] = set()
        self._waiting: deque[_Waiter] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._swept_at = 0.0
        self._closed = False
        self._all_lost = asyncio.Event()

    def send(self, request: bytes, on_done: OnDone) -> None:
        """Send a whole request (head and body); `on_done` gets the Response or an HttpError, once.

        It is never called from inside `send`, must not raise, and may `send` again. Raises PoolFullError
        and PoolClosedError, and then doesn't call it.
        """
        now = self._loop.time()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_INTERVAL_S, self._sweep)
        while self._idle:
            connection = self._idle.pop()
            if connection.closing:
                continue
            if now - connection.used_at > self._timeouts.idle_s:
                connection.drop()
                continue
            connection.send(request, on_done, now, now + self._response_s)
            return
        self._wait(_Waiter(request, on_done, now + self._timeouts.total_s))

    async def request(self, request: bytes) -> Response:
        """Send a whole request and return the response. Raises HttpError and PoolFullError.

        If the wait is cancelled, the exchange still runs to its end, within the timeouts.
        """
        future: asyncio.Future[Response] = self._loop.create_future()

        def on_done(result: Response | HttpError) -> None:
            if future.done():
                return
            if isinstance(result, HttpError):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.send(request, on_done)
        return await future

    async def close(self) -> None:
        """Close all connections. What is under way ends with PoolClosedError."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        error = PoolClosedError("the pool was closed")
        self._fail_waiting(error)
        for connection in list(self._connections):
            connection.fail(error)
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            while self._connections:
                self._all_lost.clear()
                await self._all_lost.wait()

    # Called by connections.

    def connection_free(self, connection: Connection) -> None:
        if not self._waiting:
            self._idle.append(connection)
            return
        waiter = self._waiting.popleft()
        now = self._loop.time()
        deadline = min(now + self._response_s, waiter.deadline)
        connection.send(waiter.request, waiter.on_done, now, deadline)

    def connection_lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._connections:
            self._all_lost.set()
        self._open_more()

    def _wait(self, waiter: _Waiter) -> None:
        if self._closed:
            raise PoolClosedError("the pool was closed")
        if len(self._waiting) >= self._max_waiting:
            raise PoolFullError(f"{self._max_waiting} requests wait for a connection")
        self._waiting.append(waiter)
        self._open_more()

    def _open_more(self) -> None:
        """Open a connection for each request that waits, as far as the limits allow."""
        if self._closed:
            return
        room = self.max_connections - len(self._connections) - len(self._opening)
        missing = len(self._waiting) - len(self._opening)
        for _ in range(min(room, missing, self._connects_at_once - len(self._opening))):
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _open(self) -> ConnectError | None:
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                connection = await self._connect()
        except TimeoutError:
            return ConnectTimeoutError(
                f"no connection to {self._origin.host} in {self._timeouts.connect_s} s"
            )
        except ssl.SSLError as error:
            return TlsError(f"{self._origin.host}: {error}")
        except OSError as error:
            return ConnectError(f"{self._origin.host}: {error}")
        if connection.closing:
            return ConnectError(f"{self._origin.host}: closed as soon as it was made")
        # Only now it counts: an attempt that is cut short before leaves no trace.
        self._connections.add(connection)
        self.connection_free(connection)
        return None

    async def _connect(self) -> Connection:
        failure: OSError | None = None
        for address in await self._addresses.in_turn():
            try:
                _, connection = await self._loop.create_connection(
                    self._new_connection,
                    address,
                    self._origin.port,
                    ssl=self._tls,
                    server_hostname=self._origin.host if self._tls else None,
                )
            except OSError as error:
                failure = error
            else:
                return connection
        self._addresses.forget()
        raise failure or OSError("the name has no address")

    def _new_connection(self) -> Connection:
        return Connection(self, now=self._loop.time(), max_body_bytes=self._max_body_bytes)

    def _opened(self, task: asyncio.Task[ConnectError | None]) -> None:
        self._opening.discard(task)
        if task.cancelled() or self._closed:
            return
        error = task.result()
        if error is None:
            self._open_more()
        elif not self._opening and not self._connections:
            # As long as another connection lives or is on its way, it can serve the requests that wait.
            self._fail_waiting(error)

    def _fail_waiting(self, error: HttpError) -> None:
        # Requests that come while the callbacks run get an attempt of their own.
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            waiter.on_done(error)

    def _sweep(self) -> None:
        # Judged by the time of the last sweep: if the loop stood still meanwhile (a frozen environment),
        # responses may have come that it has not read yet, and it reads them before the next sweep.
        due, self._swept_at = self._swept_at, self._loop.time()
        for connection in [c for c in self._connections if c.busy and c.deadline <= due]:
            connection.fail(ResponseTimeoutError(f"no response from {self._origin.host} in time"))
        while self._waiting and self._waiting[0].deadline <= due:
            self._waiting.popleft().on_done(PoolTimeoutError("no connection came free in time"))
        # After failed attempts: nothing else opens connections for the requests that still wait.
        self._open_more()
        if self._waiting or any(connection.busy for connection in self._connections):
            self._sweeper = self._loop.call_later(SWEEP_INTERVAL_S, self._sweep)
        else:
            self._sweeper = None
