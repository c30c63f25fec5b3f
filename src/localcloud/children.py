"""Child processes that never outlive localcloud, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from typing import IO

from localcloud.errors import StartError

STOP_GRACE_S = 3.0
START_TIMEOUT_S = 30.0
_PR_SET_PDEATHSIG = 1
_CONNECT_EVERY_S = 0.02


async def spawn(
    *argv: str, output: IO[bytes] | int, env: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a child in a session of its own: Ctrl-C reaches only localcloud, which stops it in order."""
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=env,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; elsewhere than on Linux, nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Terminate a child, and kill it where it does not end within STOP_GRACE_S."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_GRACE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def wait_until_listening(process: asyncio.subprocess.Process, port: int, what: str) -> None:
    """Return once 127.0.0.1:port accepts; StartError where the child ends first or takes START_TIMEOUT_S."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(_CONNECT_EVERY_S)
                else:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
                    return
    except TimeoutError:
        raise StartError(f"{what} did not answer on port {port} within {START_TIMEOUT_S:.0f} s") from None
    raise StartError(f"{what} ended at start with exit code {process.returncode}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
