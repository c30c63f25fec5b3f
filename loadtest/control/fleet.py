"""The worker processes of a run, on the side of the runner."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from loadtest.control.children import ROOT
from loadtest.errors import LoadTestError, WorkerError
from loadtest.generate.protocol import MAX_LINE_BYTES, Command, Order, Report, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadtest.results.tally import Arrivals, Tally, WorkerProgress

_EXIT_GRACE_S = 5.0


class WorkerProcess:
    """One worker process. `ready` and `tally` are done when it has sent them, or has failed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        self.progress: WorkerProgress | None = None
        self.ready: asyncio.Future[Arrivals] = loop.create_future()
        self.tally: asyncio.Future[Tally] = loop.create_future()
        self._process = process
        self._listening = loop.create_task(self._listen())

    def send(self, command: Command) -> None:
        assert self._process.stdin is not None
        # _listen reports a worker that has ended.
        with suppress(ConnectionError):
            self._process.stdin.write(line(command))

    async def close(self) -> None:
        """End the worker by closing its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _EXIT_GRACE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        for answer in (self.ready, self.tally):
            if not answer.cancel() and not answer.cancelled():
                # Retrieve the error, so that asyncio does not log it.
                answer.exception()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for report_line in self._process.stdout:
            report = msgspec.json.decode(report_line, type=Report)
            if report.failed is not None:
                self._fail(LoadTestError(report.failed))
            self.progress = report.progress or self.progress
            if report.ready is not None:
                self.ready.set_result(report.ready)
            if report.done is not None:
                # A worker that was stopped while its users connected never sent `ready`.
                if not self.ready.done():
                    self.ready.set_result(report.done.arrivals)
                self.tally.set_result(report.done)
        self._fail(WorkerError("a worker process ended unexpectedly"))

    def _fail(self, error: LoadTestError) -> None:
        for answer in (self.ready, self.tally):
            if not answer.done():
                answer.set_exception(error)


@asynccontextmanager
async def fleet(orders: Sequence[Order]) -> AsyncIterator[list[WorkerProcess]]:
    """Start a worker for each order, and end them all on exit."""
    workers: list[WorkerProcess] = []
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
            worker = WorkerProcess(process)
            workers.append(worker)
            worker.send(Command(order=order))
        yield workers
    finally:
        await asyncio.gather(*(worker.close() for worker in workers))
