"""The worker processes of a run, as the runner sees them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import orjson

from loadtest.control.children import ROOT
from loadtest.errors import LoadTestError, WorkerError
from loadtest.generate.protocol import MAX_LINE_BYTES, MessageType, Order
from loadtest.results.jsonvalue import decode
from loadtest.results.tally import Arrivals, Tally, WorkerProgress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_EXIT_GRACE_S = 5.0


class Remote:
    """One worker process; `ready` and `tally` are done when it has said them, or has failed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        self.progress: WorkerProgress | None = None
        self.ready: asyncio.Future[Arrivals] = loop.create_future()
        self.tally: asyncio.Future[Tally] = loop.create_future()
        self._process = process
        self._listening = loop.create_task(self._listen())

    def say(self, word: MessageType, value: object = None) -> None:
        assert self._process.stdin is not None
        # One that has ended has said why, or its silence is noticed in _listen.
        with suppress(ConnectionError):
            self._process.stdin.write(word.line(value))

    async def close(self) -> None:
        """End it: a worker whose input ends has nothing left to do."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _EXIT_GRACE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        for said in (self.ready, self.tally):
            if not said.cancel() and not said.cancelled():
                # What nobody waits for any more is no unhandled error.
                said.exception()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            ((word, value),) = orjson.loads(line).items()
            if word == MessageType.PROGRESS:
                self.progress = decode(WorkerProgress, value)
            elif word == MessageType.FAILED:
                self._fail(LoadTestError(value))
            elif word == MessageType.READY:
                self.ready.set_result(decode(Arrivals, value))
            elif word == MessageType.DONE:
                tally = decode(Tally, value)
                # One that was stopped while its users connected never was ready.
                if not self.ready.done():
                    self.ready.set_result(tally.arrivals)
                self.tally.set_result(tally)
        self._fail(WorkerError("a worker process ended by itself"))

    def _fail(self, error: LoadTestError) -> None:
        for said in (self.ready, self.tally):
            if not said.done():
                said.set_exception(error)


@asynccontextmanager
async def fleet(orders: Sequence[Order]) -> AsyncIterator[list[Remote]]:
    """Workers that have their orders; ended on the way out."""
    remotes: list[Remote] = []
    try:
        for order in orders:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "loadtest.generate.worker"),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_LINE_BYTES,
                start_new_session=True,
            )
            remote = Remote(process)
            remotes.append(remote)
            remote.say(MessageType.ORDER, order)
        yield remotes
    finally:
        await asyncio.gather(*(remote.close() for remote in remotes))
