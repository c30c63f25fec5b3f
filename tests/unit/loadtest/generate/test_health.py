"""The harness's measurements of itself."""

from __future__ import annotations

import asyncio
import resource
import time

import pytest

from loadtest.errors import LoadTestError
from loadtest.generate.health import HealthMonitor, allow_files, record_cost_ns


async def test_a_blocked_loop_shows_as_lag() -> None:
    """Any block of 200 ms appears in its second, with the users online."""
    pulse = HealthMonitor(lambda: 7)
    beating = asyncio.create_task(pulse.run())
    pulse.begin(time.monotonic_ns())
    await asyncio.sleep(0.05)
    # Busy, not asleep: the watchdog forbids blocking calls, and CPU is measured, too.
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    await asyncio.sleep(0.05)
    beating.cancel()
    assert pulse.lag.max_ms is not None
    assert pulse.lag.max_ms > 150
    assert pulse.take_lag_ms() > 150
    assert pulse.take_lag_ms() == 0
    assert pulse.seconds[0].lag_us_max > 150_000
    assert pulse.seconds[0].users == 7


async def test_lag_before_the_run_does_not_count() -> None:
    """Connecting is hard work, but not measured."""
    pulse = HealthMonitor(lambda: 0)
    beating = asyncio.create_task(pulse.run())
    await asyncio.sleep(0.05)
    beating.cancel()
    assert pulse.second() == -1
    assert pulse.lag.count == 0


async def test_cpu_is_a_share_of_a_core() -> None:
    """A second of hard work is the share of a core that the system granted."""
    pulse = HealthMonitor(lambda: 0)
    beating = asyncio.create_task(pulse.run())
    pulse.begin(time.monotonic_ns())
    spent_s, started_s = time.process_time(), time.monotonic()
    # Spend CPU while the loop keeps running.
    while pulse.second() < 1:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0)
    share = (time.process_time() - spent_s) / (time.monotonic() - started_s)
    await asyncio.sleep(0.05)
    beating.cancel()
    # A busy machine gives this process less than a second of CPU per second.
    assert pulse.seconds[0].cpu == pytest.approx(share, rel=0.2)


def test_too_many_connections_are_refused_with_a_remedy() -> None:
    """Above the system's hard limit the error names it; below, the limit is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_files(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
    if hard != resource.RLIM_INFINITY:
        with pytest.raises(LoadTestError, match=f"this system allows {hard} a process"):
            allow_files(hard)


def test_the_cost_of_recording_is_measured() -> None:
    """On the machine of the run."""
    assert record_cost_ns() > 0
