"""Health of the harness itself: how late its event loop is, and its share of a core."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.clock import NS_PER_S
from loadtest.errors import LoadTestError
from loadtest.results.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

# Enough samples for the p99 of a run of five seconds.
SAMPLE_EVERY_S = 0.005
# A message that leaves later than this after its due time counts as late.
LATE_SEND_MS = 10.0
# Open files that a process needs besides its connections.
SPARE_FILES = 64
_SAMPLE_EVERY_US = round(SAMPLE_EVERY_S * 1_000_000)
_RECORDS = 20_000


@dataclass(slots=True)
class SecondHealth:
    """One second: users online at its end, the event loop's largest lag, the process's share of a core."""

    users: int = 0
    lag_us_max: int = 0
    cpu: float = 0.0


class HealthMonitor:
    """Samples this process. `seconds` counts from the instant given to begin(); -1 is all before it."""

    def __init__(self, users: Callable[[], int]) -> None:
        self.lag = Histogram()
        self.seconds: dict[int, SecondHealth] = {}
        self._origin_ns: int | None = None
        self._recent_us = 0
        self._users = users

    def begin(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns

    def second(self) -> int:
        """The current second since begin(); -1 before it."""
        return -1 if self._origin_ns is None else (time.monotonic_ns() - self._origin_ns) // NS_PER_S

    def take_lag_ms(self) -> float:
        """The event loop's largest lag since the last call."""
        lag_us, self._recent_us = self._recent_us, 0
        return lag_us / 1000

    async def run(self) -> None:
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
        sample = self._of(second)
        self._recent_us = max(self._recent_us, lag_us)
        sample.users = self._users()
        sample.lag_us_max = max(sample.lag_us_max, lag_us)
        # A loop that was late missed samples in between: each would have been late by one interval less.
        while second >= 0 and lag_us >= 0:
            self.lag.record(lag_us)
            lag_us -= _SAMPLE_EVERY_US

    def _of(self, second: int) -> SecondHealth:
        return self.seconds.setdefault(second, SecondHealth())


def record_cost_ns() -> int:
    """The average cost of recording one latency in this process."""
    histogram = Histogram()
    # CPU time, so that other work of the machine does not count.
    started_ns = time.thread_time_ns()
    for value_us in range(_RECORDS):
        histogram.record(value_us)
    return (time.thread_time_ns() - started_ns) // _RECORDS


def allow_files(connections: int) -> None:
    """Raise this process's limit of open files. Raises LoadTestError if the system forbids it."""
    needed = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY, -1) and hard < needed:
        raise LoadTestError(
            f"{connections} connections need {needed} open files, and this system allows {hard} a process: "
            "raise the hard limit (ulimit -Hn) or use more --processes"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
