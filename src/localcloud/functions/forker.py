"""The parent's end of the zygote: starts it, restarts it if it dies, and asks it for forks and kills."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import sys
from typing import IO, TYPE_CHECKING

import orjson

from localcloud.errors import StartError
from localcloud.functions.frames import ANSWER, frame

if TYPE_CHECKING:
    from localcloud.functions.description import Description

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
# The second attempt follows a restart of a dead zygote.
FORK_ATTEMPTS = 2
# Variables that the interpreter itself needs; functions get their own after the fork.
_INTERPRETER_ENV = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


class Forker:
    """One zygote process. Functions write to `output`; None: to this process's stdout and stderr."""

    def __init__(self, output: IO[bytes] | None) -> None:
        self._output = output
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        # One request at a time, so that answers need no ids.
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Return once the zygote has imported its libraries; StartError if it does not start."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._control = ours
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "localcloud.functions.zygote",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env={name: os.environ[name] for name in _INTERPRETER_ENV if name in os.environ},
                pass_fds=(theirs.fileno(),),
                # Ctrl-C in a terminal reaches only this process, which stops the others in order.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._answer(ours)
        except (OSError, EOFError, TimeoutError) as error:
            await self.close()
            raise StartError(f"the process that runs the functions did not start: {error!r}") from error

    async def fork(self, description: Description) -> tuple[socket.socket, int]:
        """Fork an environment; return this end of its socket and its pid. StartError if that fails."""
        async with self._turn:
            for _ in range(FORK_ATTEMPTS):
                try:
                    return await self._fork(description)
                except (OSError, EOFError):
                    # The zygote died, and its environments with it.
                    await self.close()
                    await self.start()
        raise StartError("the process that runs the functions keeps dying")

    async def kill(self, pid: int) -> None:
        """SIGKILL an environment. Only the zygote knows that the pid still belongs to its child."""
        async with self._turn:
            if self._control is not None:
                with contextlib.suppress(OSError):
                    await self._send(self._control, {"kill": pid})

    async def close(self) -> None:
        """End the zygote and all of its environments."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
            self._process = None

    async def _fork(self, description: Description) -> tuple[socket.socket, int]:
        if self._control is None:
            raise EOFError
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self._send(self._control, {"fork": dataclasses.asdict(description)}, theirs.fileno())
                pid = await self._answer(self._control)
        except BaseException:
            ours.close()
            raise
        if pid < 0:
            ours.close()
            raise StartError(f"cannot start an environment: {os.strerror(-pid)}")
        return ours, pid

    async def _send(self, control: socket.socket, request: object, *descriptors: int) -> None:
        # A byte of its own carries the descriptor. The socket buffer has room: each fork waits for its
        # answer.
        socket.send_fds(control, [b"\0"], list(descriptors))
        await asyncio.get_running_loop().sock_sendall(control, frame(orjson.dumps(request)))

    async def _answer(self, control: socket.socket) -> int:
        answer = b""
        while len(answer) < ANSWER.size:
            received = await asyncio.get_running_loop().sock_recv(control, ANSWER.size - len(answer))
            if not received:
                raise EOFError("it ended")
            answer += received
        return int(ANSWER.unpack(answer)[0])
