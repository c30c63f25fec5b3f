"""A whole run: starts the workers, lets them begin together, shows progress and combines their tallies."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from time import monotonic_ns
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loadtest.clock import NS_PER_S
from loadtest.control.fleet import fleet
from loadtest.control.live import EVERY_S, Snapshot
from loadtest.errors import ConnectError, WorkerError
from loadtest.generate.protocol import Command, Order
from loadtest.generate.users import JOIN_SETTLE_S
from loadtest.plan import schedule
from loadtest.results import merge
from loadtest.results.deliverypath import paths_of, read_timeline
from loadtest.results.result import Machine, Result, Target
from loadtest.results.thresholds import evaluate
from loadtest.results.verdict import Incidents, judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.control.fleet import WorkerProcess
    from loadtest.control.live import View
    from loadtest.plan.scenario import Scenario
    from loadtest.results.result import DeliveryPath, Floor
    from loadtest.results.tally import Arrivals, Tally
    from loadtest.results.thresholds import Threshold

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
# Between GO and the start: every worker has received GO by then.
_START_AFTER_S = 0.2
# A worker may take so much longer than its schedule to send its tally.
_OVERTIME_S = 60.0
_CHECK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Session:
    """The server, conditions and extras of a run.

    `timeline` is the file of `groupcast up --timeline`, `floor` comes from calibrate(). Setting `stop` ends
    the run early; its result covers the part before. With `settle_s` the drain ends as soon as all messages
    have arrived and nothing more has come for so long.
    """

    url: str
    label: str = "groupcast"
    token: str | None = field(default=None, repr=False)
    thresholds: Sequence[Threshold] = ()
    abort_on: Sequence[Threshold] = ()
    floor: Floor | None = None
    timeline: Path | None = None
    command: Sequence[str] = ()
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    settle_s: float | None = None


async def run(scenario: Scenario, session: Session, *, live: View | None = None) -> Result:
    """Put the load on a server. Raises LoadTestError if that fails."""
    started_at = datetime.now(UTC)
    run_id = secrets.token_hex(schedule.RUN_DIGITS // 2)
    orders = [
        Order(run_id, process, session.url, scenario, session.token, session.settle_s)
        for process in range(scenario.processes)
    ]
    async with fleet(orders) as workers:
        try:
            finished = await _ActiveRun(scenario, session, workers, live).run()
        finally:
            if live is not None:
                live.close()
    return _result(scenario, session, run_id, started_at, finished)


def without_query(url: str) -> str:
    """Remove query and fragment, which may hold a token."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


@dataclass(frozen=True, slots=True)
class _FinishedRun:
    """`elapsed_s` counts from `start_ns`: None if the run stopped before all users were connected."""

    start_ns: int | None
    elapsed_s: float
    tallies: Sequence[Tally]
    aborted: str | None


class _ActiveRun:
    """A run in progress."""

    def __init__(
        self, scenario: Scenario, session: Session, workers: Sequence[WorkerProcess], live: View | None
    ) -> None:
        self._scenario = scenario
        self._session = session
        self._workers = workers
        self._live = live
        self._start_ns: int | None = None
        self._stopped_ns: int | None = None
        self._shown_ns = monotonic_ns()
        self._aborted: str | None = None

    async def run(self) -> _FinishedRun:
        await self._watch([worker.ready for worker in self._workers])
        if self._stopped_ns is None:
            _check_joined([worker.ready.result() for worker in self._workers])
            self._start_ns = monotonic_ns() + round((JOIN_SETTLE_S + _START_AFTER_S) * NS_PER_S)
            self._send(Command(go_ns=self._start_ns))
        horizon_s = schedule.horizon_s(self._scenario)
        try:
            async with asyncio.timeout(horizon_s + self._scenario.drain_s + _OVERTIME_S):
                await self._watch([worker.tally for worker in self._workers])
        except TimeoutError:
            raise WorkerError(f"a worker did not end within {_OVERTIME_S:.0f} s of its time") from None
        tallies = [worker.tally.result() for worker in self._workers]
        elapsed_s = horizon_s
        if self._stopped_ns is not None:
            elapsed_s = min(self._at_s(self._stopped_ns) or 0.0, horizon_s)
        return _FinishedRun(self._start_ns, elapsed_s, tallies, self._aborted)

    async def _watch(self, answers: Sequence[asyncio.Future[Any]]) -> None:
        """Wait for an answer of every worker. Raises the error of a failed one."""
        waiting = asyncio.gather(*answers)
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=_CHECK_EVERY_S)
            self._look()
        waiting.result()

    def _look(self) -> None:
        if self._session.stop.is_set():
            self._stop()
        now_ns = monotonic_ns()
        if now_ns - self._shown_ns < EVERY_S * NS_PER_S:
            return
        self._shown_ns = now_ns
        known = [worker.progress for worker in self._workers if worker.progress is not None]
        ledger = merge.ledger_so_far(known)
        histograms = merge.histograms_so_far(known)
        if self._live is not None:
            users = sum(progress.users for progress in known)
            lag_ms = max((progress.lag_ms_max for progress in known), default=0.0)
            delivery = histograms["delivery_ms"]
            self._live.show(Snapshot.of(self._at_s(now_ns), users, ledger, delivery, lag_ms))
        for threshold in self._session.abort_on:
            outcome = evaluate(threshold, histograms, ledger)
            if outcome.value is not None and not outcome.held and self._stopped_ns is None:
                self._aborted = threshold.expression
                self._stop()

    def _stop(self) -> None:
        if self._stopped_ns is None:
            self._stopped_ns = monotonic_ns()
            self._send(Command(stop=True))

    def _at_s(self, now_ns: int) -> float | None:
        return None if self._start_ns is None else max((now_ns - self._start_ns) / NS_PER_S, 0.0)

    def _send(self, command: Command) -> None:
        for worker in self._workers:
            worker.send(command)


def _check_joined(arrivals: Sequence[Arrivals]) -> None:
    if not any(part.joined for part in arrivals):
        reasons = [reason for part in arrivals for reason in part.failures]
        raise ConnectError(f"no user could join: {reasons[0]}")


def _result(
    scenario: Scenario, session: Session, run_id: str, started_at: datetime, finished: _FinishedRun
) -> Result:
    tallies = finished.tallies
    messages = merge.messages_of(
        schedule.messages(scenario), finished.start_ns or 0, scenario.warmup_s, tallies
    )
    histograms = merge.histograms_of(messages, tallies)
    metrics = merge.metrics_of(histograms)
    ledger = merge.ledger_of(messages, tallies)
    health = merge.health_of(tallies, session.floor)
    outcomes = [evaluate(threshold, histograms, ledger) for threshold in session.thresholds]
    failures: Counter[str] = Counter()
    for tally in tallies:
        failures.update(tally.arrivals.failures)
    incidents = Incidents(
        failures=failures,
        dropped=sum(tally.dropped for tally in tallies),
        unsent=sum(tally.unsent for tally in tallies),
        interrupted=session.stop.is_set(),
        aborted=finished.aborted,
    )
    seconds = max(ceil(finished.elapsed_s - scenario.warmup_s), 0)
    return Result(
        started_at=started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        command=tuple(session.command),
        target=_target(session),
        machine=_machine(),
        scenario=scenario,
        verdict=judge(incidents, outcomes, metrics.delivery_ms, ledger, health),
        thresholds=tuple(outcomes),
        metrics=metrics,
        where=_where(session, run_id, messages),
        ledger=ledger,
        series=tuple(merge.series_of(messages, tallies, seconds)),
        groups=tuple(merge.groups_of(messages, schedule.group_names(run_id, scenario.groups))),
        health=health,
    )


def _where(session: Session, run_id: str, messages: Sequence[merge.Message]) -> tuple[DeliveryPath, ...]:
    if session.timeline is None or not session.timeline.exists():
        return ()
    delivered_ns = {
        message.due.number: message.row.last_ns
        for message in messages
        if message.row.last_ns and message.second >= 0
    }
    return paths_of(read_timeline(session.timeline, schedule.message_prefix(run_id)), delivered_ns)


def _target(session: Session) -> Target:
    local = urlsplit(session.url).hostname in LOCAL_HOSTS
    return Target(without_query(session.url), "local" if local else "remote", session.label)


def _machine() -> Machine:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, platform.python_version(), platform.system().lower())
