"""How well the harness itself keeps up: how late its event loop is, and how much of a core it takes."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.errors import LoadTestError
from loadtest.results.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

# Often enough for a p99 of a run of five seconds.
SAMPLE_EVERY_S = 0.005
# A message that leaves later than this after it was due counts as late.
LATE_SEND_MS = 10.0
# Descriptors a process needs beside its connections.
SPARE_FILES = 64
_SAMPLE_EVERY_US = round(SAMPLE_EVERY_S * 1_000_000)
_RECORDS = 20_000
_SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Vitals:
    """One second: the users online at its end, how late the loop was, the process's share of a core."""

    users: int = 0
    lag_us_max: int = 0
    cpu: float = 0.0


class Pulse:
    """Samples this process; `seconds` counts from `begin`'s instant, what came before is forgotten."""

    def __init__(self, users: Callable[[], int]) -> None:
        self.lag = Histogram()
        self.seconds: dict[int, Vitals] = {}
        self._origin_ns: int | None = None
        self._recent_us = 0
        self._users = users

    def begin(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns

    def second(self) -> int:
        """Which second it is, from the origin; before begin(): -1."""
        return -1 if self._origin_ns is None else (time.monotonic_ns() - self._origin_ns) // _SECOND_NS

    def take_lag_ms(self) -> float:
        """The latest the loop was since this was last asked."""
        lag_us, self._recent_us = self._recent_us, 0
        return lag_us / 1000

    async def beat(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        second, cpu_s, second_at = -1, time.process_time(), loop.time()
        while True:
            due = loop.time() + SAMPLE_EVERY_S
            await asyncio.sleep(SAMPLE_EVERY_S)
            now = loop.time()
            now_second = self.second()
            if now_second != second:
                share = (time.process_time() - cpu_s) / max(now - second_at, SAMPLE_EVERY_S)
                self._of(second).cpu = share
                second, cpu_s, second_at = now_second, time.process_time(), now
            self._sample(second, max(round((now - due) * 1_000_000), 0))

    def _sample(self, second: int, lag_us: int) -> None:
        vitals = self._of(second)
        self._recent_us = max(self._recent_us, lag_us)
        vitals.users = self._users()
        vitals.lag_us_max = max(vitals.lag_us_max, lag_us)
        # A loop that was a second late missed the samples in between, each of them later than the next.
        while second >= 0 and lag_us >= 0:
            self.lag.record(lag_us)
            lag_us -= _SAMPLE_EVERY_US

    def _of(self, second: int) -> Vitals:
        return self.seconds.setdefault(second, Vitals())


def record_cost_ns() -> int:
    """What recording one latency costs in this process, on average."""
    histogram = Histogram()
    # CPU time: what else the machine does is no cost of recording.
    started_ns = time.thread_time_ns()
    for value_us in range(_RECORDS):
        histogram.record(value_us)
    return (time.thread_time_ns() - started_ns) // _RECORDS


def allow_files(connections: int) -> None:
    """Let this process have so many connections open. Raises LoadTestError where the system forbids it."""
    needed = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY, -1) and hard < needed:
        raise LoadTestError(
            f"{connections} connections need {needed} open files, and this system allows {hard} a process: "
            "raise the hard limit (ulimit -Hn) or use more --processes"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
