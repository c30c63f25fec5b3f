"""A whole run: starts the workers, lets them begin together, shows how it goes, and says what they found."""

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

from loadtest.clock import NS
from loadtest.control.fleet import fleet
from loadtest.control.live import EVERY_S, Moment
from loadtest.errors import ConnectError, WorkerError
from loadtest.generate.protocol import MessageType, Order
from loadtest.generate.users import JOIN_SETTLE_S
from loadtest.plan import schedule
from loadtest.results import merge
from loadtest.results.result import Machine, Result, Target
from loadtest.results.thresholds import evaluate
from loadtest.results.verdict import Course, judge
from loadtest.results.where import read_timeline, where_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.control.fleet import Remote
    from loadtest.control.live import View
    from loadtest.plan.scenario import Scenario
    from loadtest.results.result import Floor, Way
    from loadtest.results.tally import Arrivals, Tally
    from loadtest.results.thresholds import Threshold

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")
# Between the word to start and the start: every worker has heard it by then.
_START_AFTER_S = 0.2
# A worker has this much longer than its schedule to hand over what it found.
_OVERTIME_S = 60.0
_CHECK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Session:
    """Where a scenario runs, and what is asked of it.

    `timeline` is the file of `groupcast up --timeline`; `floor` is what calibrate() found; setting `stop`
    ends the run early, with a result of what was done. With `settle_s` the drain is over as soon as all
    messages have arrived and nothing more has come for so long.
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
    """Put the load on a server. Raises LoadTestError where that can't be done."""
    started_at = datetime.now(UTC)
    run_id = secrets.token_hex(schedule.RUN_DIGITS // 2)
    orders = [
        Order(run_id, process, session.url, scenario, session.token, session.settle_s)
        for process in range(scenario.processes)
    ]
    async with fleet(orders) as remotes:
        try:
            performed = await _Performance(scenario, session, remotes, live).perform()
        finally:
            if live is not None:
                live.close()
    return _result(scenario, session, run_id, started_at, performed)


def without_query(url: str) -> str:
    """Where, and no more: what else a URL says may be a token."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


@dataclass(frozen=True, slots=True)
class _Performed:
    """`start_ns` is None where the run was stopped while users connected; `elapsed_s` counts from there."""

    start_ns: int | None
    elapsed_s: float
    tallies: Sequence[Tally]
    aborted: str | None


class _Performance:
    """A run under way."""

    def __init__(
        self, scenario: Scenario, session: Session, remotes: Sequence[Remote], live: View | None
    ) -> None:
        self._scenario = scenario
        self._session = session
        self._remotes = remotes
        self._live = live
        self._start_ns: int | None = None
        self._stopped_ns: int | None = None
        self._shown_ns = monotonic_ns()
        self._aborted: str | None = None

    async def perform(self) -> _Performed:
        await self._watch([remote.ready for remote in self._remotes])
        if self._stopped_ns is None:
            _check_joined([remote.ready.result() for remote in self._remotes])
            self._start_ns = monotonic_ns() + round((JOIN_SETTLE_S + _START_AFTER_S) * NS)
            self._tell(MessageType.GO, self._start_ns)
        horizon_s = schedule.horizon_s(self._scenario)
        try:
            async with asyncio.timeout(horizon_s + self._scenario.drain_s + _OVERTIME_S):
                await self._watch([remote.tally for remote in self._remotes])
        except TimeoutError:
            raise WorkerError(f"a worker did not end within {_OVERTIME_S:.0f} s of its time") from None
        tallies = [remote.tally.result() for remote in self._remotes]
        elapsed_s = horizon_s
        if self._stopped_ns is not None:
            elapsed_s = min(self._at_s(self._stopped_ns) or 0.0, horizon_s)
        return _Performed(self._start_ns, elapsed_s, tallies, self._aborted)

    async def _watch(self, said: Sequence[asyncio.Future[Any]]) -> None:
        """Until all workers have `said` it. Raises what a worker failed with."""
        waiting = asyncio.gather(*said)
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=_CHECK_EVERY_S)
            self._look()
        waiting.result()

    def _look(self) -> None:
        if self._session.stop.is_set():
            self._stop()
        now_ns = monotonic_ns()
        if now_ns - self._shown_ns < EVERY_S * NS:
            return
        self._shown_ns = now_ns
        known = [remote.progress for remote in self._remotes if remote.progress is not None]
        ledger = merge.ledger_so_far(known)
        histograms = merge.histograms_so_far(known)
        if self._live is not None:
            users = sum(progress.users for progress in known)
            lag_ms = max((progress.lag_ms_max for progress in known), default=0.0)
            delivery = histograms["delivery_ms"]
            self._live.show(Moment.of(self._at_s(now_ns), users, ledger, delivery, lag_ms))
        for threshold in self._session.abort_on:
            outcome = evaluate(threshold, histograms, ledger)
            if outcome.value is not None and not outcome.held and self._stopped_ns is None:
                self._aborted = threshold.expression
                self._stop()

    def _stop(self) -> None:
        if self._stopped_ns is None:
            self._stopped_ns = monotonic_ns()
            self._tell(MessageType.STOP)

    def _at_s(self, now_ns: int) -> float | None:
        return None if self._start_ns is None else max((now_ns - self._start_ns) / NS, 0.0)

    def _tell(self, word: MessageType, value: object = None) -> None:
        for remote in self._remotes:
            remote.say(word, value)


def _check_joined(arrivals: Sequence[Arrivals]) -> None:
    if not any(part.joined for part in arrivals):
        reasons = [reason for part in arrivals for reason in part.failures]
        raise ConnectError(f"no user could join: {reasons[0]}")


def _result(
    scenario: Scenario, session: Session, run_id: str, started_at: datetime, performed: _Performed
) -> Result:
    tallies = performed.tallies
    messages = merge.messages_of(
        schedule.messages(scenario), performed.start_ns or 0, scenario.warmup_s, tallies
    )
    histograms = merge.histograms_of(messages, tallies)
    metrics = merge.metrics_of(histograms)
    ledger = merge.ledger_of(messages, tallies)
    health = merge.health_of(tallies, session.floor)
    outcomes = [evaluate(threshold, histograms, ledger) for threshold in session.thresholds]
    failures: Counter[str] = Counter()
    for tally in tallies:
        failures.update(tally.arrivals.failures)
    course = Course(
        failures=failures,
        dropped=sum(tally.dropped for tally in tallies),
        unsent=sum(tally.unsent for tally in tallies),
        interrupted=session.stop.is_set(),
        aborted=performed.aborted,
    )
    seconds = max(ceil(performed.elapsed_s - scenario.warmup_s), 0)
    return Result(
        started_at=started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        command=tuple(session.command),
        target=_target(session),
        machine=_machine(),
        scenario=scenario,
        verdict=judge(course, outcomes, metrics.delivery_ms, ledger, health),
        thresholds=tuple(outcomes),
        metrics=metrics,
        where=_where(session, run_id, messages),
        ledger=ledger,
        series=tuple(merge.series_of(messages, tallies, seconds)),
        groups=tuple(merge.groups_of(messages, schedule.group_names(run_id, scenario.groups))),
        health=health,
    )


def _where(session: Session, run_id: str, messages: Sequence[merge.Message]) -> tuple[Way, ...]:
    if session.timeline is None or not session.timeline.exists():
        return ()
    delivered_ns = {
        message.due.number: message.row.last_ns
        for message in messages
        if message.row.last_ns and message.second >= 0
    }
    return where_of(read_timeline(session.timeline, schedule.message_prefix(run_id)), delivered_ns)


def _target(session: Session) -> Target:
    local = urlsplit(session.url).hostname in LOCAL_HOSTS
    return Target(without_query(session.url), "local" if local else "remote", session.label)


def _machine() -> Machine:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, platform.python_version(), platform.system().lower())
