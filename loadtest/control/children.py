"""Child processes that serve a load test; their first line of output is their address."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from loadtest.errors import LoadTestError

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@asynccontextmanager
async def child(*command: str, stop_by: signal.Signals, errors: Path) -> AsyncIterator[str]:
    """Start a child, yield its first line, and stop it with a signal; `errors` gets its stderr.

    Raises LoadTestError if it does not start. It runs in its own session, so that Ctrl-C ends the load before
    the server.
    """
    with _opened(errors) as file:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=file, start_new_session=True
        )
    assert process.stdout is not None
    try:
        line = b""
        with suppress(TimeoutError):
            line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        if not line:
            raise LoadTestError(f"{' '.join(command)} did not start: {_last_line(errors)}")
        yield line.decode()
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(stop_by)
        try:
            await asyncio.wait_for(process.communicate(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _opened(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def _last_line(path: Path) -> str:
    return (path.read_text(errors="replace").splitlines() or ["no output"])[-1]
