"""Forks environments from a process that has imported the libraries, so that cold starts skip imports.

Run as `python -m localcloud.functions.zygote FD`; FD is its end of a Unix stream socket. A request is a byte
and a frame of JSON. {"fork": Description}, whose byte carries the environment's end of a socket, is answered
by the pid or minus errno; {"kill": pid} is not answered. When ready, the process sends its own pid. When the
socket closes, it kills its children and exits.

It has no threads, because only the forking thread survives a fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, Any

import orjson

from localcloud.functions import runtime
from localcloud.functions.description import Description
from localcloud.functions.frames import ANSWER, read_frame
from localcloud.functions.log import survive_full_disks

if TYPE_CHECKING:
    from collections.abc import Sequence

# Libraries that handlers import and that do not change while a developer edits functions.
PREIMPORTED = ("aioboto3", "aiobotocore", "aws_lambda_powertools", "httptools", "orjson", "uvloop")


def main(argv: Sequence[str]) -> None:
    control = socket.socket(fileno=int(argv[1]))
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    survive_full_disks()
    for name in PREIMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Keep the garbage collector off permanent objects, so that their memory pages stay shared.
    gc.collect()
    gc.freeze()
    control.sendall(ANSWER.pack(os.getpid()))
    _Zygote(control).run()


class _Zygote:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()
        # The end of a child must wake select(); a signal alone does not.
        self._bell, self._ringer = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ringer, False)
        signal.set_wakeup_fd(self._ringer)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        while True:
            readable = select.select([self._control.fileno(), self._bell], [], [])[0]
            if self._bell in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell, 4096)
                self._reap()
            if self._control.fileno() in readable and not self._handle_request():
                break
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        # Wait for all children, so that waiting for this process suffices.
        for pid in self._children:
            os.waitpid(pid, 0)

    def _handle_request(self) -> bool:
        with contextlib.suppress(ConnectionError):
            first, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
            if first:
                request = self._read_rest()
                if request is not None:
                    self._act(request, descriptors)
                    return True
        return False

    def _read_rest(self) -> Any:
        payload = read_frame(self._control)
        return None if payload is None else orjson.loads(payload)

    def _act(self, request: Any, descriptors: list[int]) -> None:
        if "fork" in request:
            self._control.sendall(ANSWER.pack(self._fork(Description(**request["fork"]), descriptors[0])))
        elif request["kill"] in self._children:
            # The pid is still the child's, because only this process can reap it.
            os.kill(request["kill"], signal.SIGKILL)

    def _fork(self, description: Description, descriptor: int) -> int:
        os.set_inheritable(descriptor, False)
        with socket.socket(fileno=descriptor) as channel:
            try:
                pid = os.fork()
            except OSError as error:
                return -(error.errno or 1)
            if not pid:
                self._run_environment(channel, description)
            self._children.add(pid)
            return pid

    def _run_environment(self, channel: socket.socket, description: Description) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._bell)
            os.close(self._ringer)
            self._control.close()
            runtime.serve(channel, description)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except ConnectionError:
            # The pool is gone or no longer needs the answer.
            pass
        except BaseException:  # noqa: BLE001 - the process ends here, and should say why
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # Never return to the zygote's loop.
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            self._children.discard(pid)


if __name__ == "__main__":
    main(sys.argv)
