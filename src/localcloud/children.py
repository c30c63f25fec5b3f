"""Child processes that end when localcloud ends, even if it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
import tempfile
from typing import IO, Self

from localcloud.errors import StartError

STOP_GRACE_S = 3.0
START_TIMEOUT_S = 30.0
# Below the ephemeral ports of Linux (from 32768) and other systems (from 49152).
PORTS = range(20_000, 32_000)
PORTS_TRIED = 100
_PR_SET_PDEATHSIG = 1
_CONNECT_EVERY_S = 0.02
_OUTPUT_TAIL_BYTES = 400


class ChildServer:
    """An async context manager: a child process that serves 127.0.0.1 on a free port.

    A subclass defines `what` (its name in errors) and `command` (which uses `self.port`). If the child does
    not start, StartError has the end of its output.
    """

    what: str

    def __init__(self) -> None:
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._output: IO[bytes] | None = None

    def command(self) -> list[str]:
        """The command line; StartError if a required program or file is missing."""
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self.port = free_port()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __aexit__
        try:
            self._process = await spawn(*self.command(), output=self._output)
            await wait_until_listening(self._process, self.port, self.what)
        except BaseException as error:
            tail = self._tail()
            await self.__aexit__()
            if isinstance(error, StartError) and tail:
                raise StartError(f"{error}: {tail}") from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await stop(self._process)
        if self._output is not None:
            self._output.close()

    async def died(self) -> None:
        """Wait until the process ends by itself."""
        assert self._process is not None
        await self._process.wait()

    def _tail(self) -> str:
        assert self._output is not None
        self._output.seek(0)
        return self._output.read()[-_OUTPUT_TAIL_BYTES:].decode(errors="replace").strip().replace("\n", " | ")


async def spawn(
    *argv: str, output: IO[bytes] | int, env: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a child in its own session: Ctrl-C reaches only localcloud, which stops its children in order."""
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
    """Ask the kernel to kill this process when its parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Terminate a child; kill it if it does not end within STOP_GRACE_S."""
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
    """Wait until 127.0.0.1:port accepts; StartError if the child ends first or takes START_TIMEOUT_S."""
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
    """A TCP port of 127.0.0.1 that was free a moment ago. StartError if all tried ports are taken.

    The child binds the port about a second later. An ephemeral port could be given to another connection in
    that second, even to the one that checks whether the child listens.
    """
    for port in random.sample(PORTS, PORTS_TRIED):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise StartError(f"no port is free among {PORTS_TRIED} tried from {PORTS.start} to {PORTS.stop - 1}")
