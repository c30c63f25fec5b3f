"""The floor under a measurement: the same load on a null server, which only broadcasts."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from loadtest.control.children import child
from loadtest.control.live import PhaseView, expected_s
from loadtest.control.runner import Session, run
from loadtest.plan.scenario import Scenario, Stage
from loadtest.results.result import Floor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from groupcast_cli.terminal import Steps
    from loadtest.results.result import Result

# The null server is a single process.
MAX_USERS = 10_000
CONNECT_RATE = 2000.0
_WARMUP_S = 0.5
_DRAIN_S = 1.0


async def calibrate(
    scenario: Scenario, duration_s: float, stop: asyncio.Event | None = None, steps: Steps | None = None
) -> Result:
    """Put the largest stage of `scenario` on a null server for `duration_s`. Raises LoadTestError.

    It is one of the `steps`, if given.
    """
    users = min(scenario.users, MAX_USERS)
    flat = replace(
        scenario,
        stages=(Stage(duration_s, users),),
        connect_rate=CONNECT_RATE,
        groups=min(scenario.groups, users),
        warmup_s=_WARMUP_S,
        drain_s=_DRAIN_S,
    )
    live = None
    if steps is not None:
        label = f"calibrating with {users:,} users on a null server"
        steps.step(f"{label}, about {expected_s(flat):.0f} s")
        live = PhaseView(flat, steps, label)
    async with null_server(users) as url:
        return await run(flat, Session(url, label="null server", stop=stop or asyncio.Event()), live=live)


async def calibrated_floor(
    scenario: Scenario, duration_s: float, stop: asyncio.Event | None = None, steps: Steps | None = None
) -> Floor | None:
    """Calibrate and return the floor; None if `duration_s` is 0. Raises LoadTestError."""
    return floor_of(await calibrate(scenario, duration_s, stop, steps)) if duration_s else None


def floor_of(result: Result) -> Floor:
    """The floor in the result of a calibration."""
    delivery = result.metrics.delivery_ms
    return Floor(delivery.p50, delivery.p99, sum(group.messages for group in result.groups))


@asynccontextmanager
async def null_server(connections: int) -> AsyncIterator[str]:
    """Start a null server in its own process, and yield its URL."""
    command = (sys.executable, "-m", "loadtest.servers.nullserver", str(connections))
    with TemporaryDirectory() as directory:
        errors = Path(directory) / "nullserver.err"
        async with child(*command, stop_by=signal.SIGTERM, errors=errors) as port:
            yield f"ws://127.0.0.1:{port.strip()}"
