"""One load-generating process, `python -m loadtest.generate.worker`, which the runner starts.

It connects its users, reports that it is ready, sends and receives from a given instant, and returns its
tally; see protocol.py. The instant is one of CLOCK_MONOTONIC, the same clock in every process of a machine.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from contextlib import suppress
from math import ceil
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from loadtest.clock import NS_PER_S, until
from loadtest.errors import LoadTestError
from loadtest.generate.health import HealthMonitor, allow_files, record_cost_ns
from loadtest.generate.protocol import MAX_LINE_BYTES, Command, Order, Report, line
from loadtest.generate.sender import Sender
from loadtest.generate.users import VirtualUsers
from loadtest.generate.wire import Dialer
from loadtest.plan import schedule
from loadtest.results.ledger import Ledger
from loadtest.results.tally import Tally, WorkerProgress, WorkerSecond

if TYPE_CHECKING:
    from collections.abc import Coroutine

PROGRESS_EVERY_S = 1.0
SETTLE_CHECK_S = 0.1
# Time for the closing frames to leave.
GOODBYE_S = 0.2


def main() -> int:
    # The runner handles Ctrl-C and sends STOP.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main())


async def _main() -> int:
    commands = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    order = msgspec.json.decode(await commands.readline(), type=Command).order
    assert order is not None
    try:
        worker = await Worker.create(order)
    except LoadTestError as error:
        _send(Report(failed=str(error)))
        return 1
    working = asyncio.create_task(worker.run())
    listening = asyncio.create_task(_obey(commands, worker, working))
    # _obey cancels a worker whose runner is gone.
    with suppress(asyncio.CancelledError):
        await working
    listening.cancel()
    return 1 if working.cancelled() else 0


async def _obey(commands: asyncio.StreamReader, worker: Worker, working: asyncio.Task[None]) -> None:
    async for command_line in commands:
        command = msgspec.json.decode(command_line, type=Command)
        if command.go_ns is not None:
            worker.go(command.go_ns)
        if command.stop:
            worker.stop()
    working.cancel()


class Worker:
    """The users of one process through a run."""

    def __init__(self, order: Order, dialer: Dialer) -> None:
        scenario = order.scenario
        self._scenario = scenario
        self._settle_s = order.settle_s
        prefix = schedule.message_prefix(order.run)
        self._due = schedule.messages(scenario)
        self._mine = [due for due in self._due if schedule.process_of(due.sender, scenario) == order.process]
        self._connections = [
            planned
            for planned in schedule.connections(scenario)
            if schedule.process_of(planned.user, scenario) == order.process
        ]
        self._ledger = Ledger(scenario.groups)
        self._sender = Sender(prefix, scenario.size_bytes)
        groups = schedule.group_names(order.run, scenario.groups)
        self._users = VirtualUsers(groups, dialer, prefix, self._ledger, self._sender.replied)
        self._health = HealthMonitor(lambda: len(self._users.online))
        self._start: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stopped = asyncio.Event()

    @classmethod
    async def create(cls, order: Order) -> Worker:
        """Raises LoadTestError if the URL is wrong or the system allows too few connections."""
        dialer = await Dialer.resolve(order.url, order.token)
        worker = cls(order, dialer)
        allow_files(len(worker._connections))
        return worker

    def go(self, start_ns: int) -> None:
        """Start the schedule at this instant."""
        self._start.set_result(start_ns)

    def stop(self) -> None:
        """Send and connect no more; messages under way may still arrive."""
        self._stopped.set()

    async def run(self) -> None:
        """Connect, wait for go(), run the schedule, drain, and send the tally."""
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._health.run()), tasks.create_task(self._report_progress())]
            initial = [planned for planned in self._connections if planned.initial]
            until_ns = 0
            if await self._unless_stopped(self._users.connect_all(initial, monotonic_ns())):
                _send(Report(ready=self._users.arrivals()))
                if await self._unless_stopped(asyncio.wait_for(self._start, None)):
                    until_ns = await self._load(self._start.result())
            for task in background:
                task.cancel()
        _send(Report(done=self._tally(until_ns)))
        self._users.close()
        await asyncio.sleep(GOODBYE_S)

    async def _load(self, start_ns: int) -> int:
        """Run the schedule, then drain; return the instant at which sending ended."""
        scenario = self._scenario
        self._ledger.begin(self._due, start_ns, round(scenario.warmup_s * NS_PER_S))
        self._health.begin(start_ns + round(scenario.warmup_s * NS_PER_S))
        # A collection would stop everything while it visits every connection.
        gc.collect()
        gc.freeze()
        gc.disable()
        end_ns = start_ns + round(schedule.horizon_s(scenario) * NS_PER_S)
        completed = await self._unless_stopped(self._perform(start_ns, end_ns))
        until_ns = end_ns if completed else monotonic_ns()
        await self._drain()
        return until_ns

    async def _drain(self) -> None:
        """Wait for messages under way, `drain_s` at most; see Session.settle_s."""
        if self._settle_s is None:
            await asyncio.sleep(self._scenario.drain_s)
            return
        loop, ledger = asyncio.get_running_loop(), self._ledger
        now = since = loop.time()
        until_s, seen = now + self._scenario.drain_s, -1
        while now < until_s and now < since + self._settle_s:
            came = ledger.received + ledger.duplicate
            if came != seen or not self._is_settled():
                since, seen = now, came
            await asyncio.sleep(SETTLE_CHECK_S)
            now = loop.time()

    def _is_settled(self) -> bool:
        """Whether the server answered all messages of this process, and all acknowledged ones arrived."""
        sender = self._sender
        answered = len(sender.acknowledged) + sender.refused >= len(sender.sent)
        return answered and self._ledger.is_whole(sender.acknowledged)

    async def _perform(self, start_ns: int, end_ns: int) -> None:
        warmup_s, drain_s = self._scenario.warmup_s, self._scenario.drain_s
        later = [planned for planned in self._connections if not planned.initial]
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._sender.send(self._mine, self._users.online, start_ns, warmup_s)),
                tasks.create_task(self._users.connect_all(later, start_ns)),
                tasks.create_task(self._users.leave_all(self._connections, start_ns, drain_s)),
                tasks.create_task(self._users.keep_alive()),
            ]
            await until(end_ns)
            for task in running:
                task.cancel()

    async def _unless_stopped(self, work: Coroutine[Any, Any, object]) -> bool:
        """Run `work` unless stop() ends it; return whether it was completed."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            return working.done()
        finally:
            for task in (working, stopped):
                task.cancel()

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            _send(Report(progress=self._progress()))

    def _progress(self) -> WorkerProgress:
        overdue_ns = monotonic_ns() - round(self._scenario.drain_s * NS_PER_S)
        settled = self._health.second() - ceil(self._scenario.drain_s)
        ledger, sender = self._ledger, self._sender
        missing = ledger.missing(overdue_ns)
        return WorkerProgress(
            users=len(self._users.online),
            lag_ms_max=self._health.take_lag_ms(),
            ledger={
                "expected": ledger.received + missing,
                "received": ledger.received,
                "lost": missing,
                "duplicate": ledger.duplicate,
                "out_of_order": ledger.out_of_order,
                "sent": len(sender.sent),
                "acknowledged": len(sender.acknowledged),
                "refused": sender.refused,
            },
            histograms={
                "connect_ms": self._users.connect.to_dict(),
                "ack_ms": sender.ack.to_dict(),
                "delivery_ms": ledger.latencies(settled).to_dict(),
            },
        )

    def _tally(self, until_ns: int) -> Tally:
        sender, users = self._sender, self._users
        seconds = [
            WorkerSecond(second, sample.users, sample.lag_us_max, sample.cpu)
            for second, sample in sorted(self._health.seconds.items())
        ]
        return Tally(
            connect=users.connect.to_dict(),
            ack=sender.ack.to_dict(),
            lag=self._health.lag.to_dict(),
            delivery=tuple((second, part.to_dict()) for second, part in self._ledger.seconds.items()),
            rows=tuple(self._ledger.rows(until_ns)),
            sent=tuple(sender.sent),
            acknowledged=tuple(sender.acknowledged),
            refused=sender.refused,
            unsent=sender.unsent,
            seconds=tuple(seconds),
            arrivals=users.arrivals(),
            dropped=users.dropped,
            late_sends=sender.late_sends,
            late_us_max=sender.late_us_max,
            record_ns=record_cost_ns(),
        )


def _send(report: Report) -> None:
    sys.stdout.buffer.write(line(report))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
