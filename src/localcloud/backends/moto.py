"""SQS and Cognito on this machine: moto's server, with FIFO queues of our own, as a child process."""

from __future__ import annotations

import sys

from localcloud.children import ChildServer
from localcloud.visitors import Visitors


class Moto(ChildServer):
    """An async context manager: moto's server runs on 127.0.0.1 while it is open."""

    what = "moto (SQS, Cognito)"

    def __init__(self, visitors: Visitors | None = None) -> None:
        super().__init__()
        self._visitors = visitors or Visitors()

    def command(self) -> list[str]:
        origins = [f"--allow-origin={origin}" for origin in sorted(self._visitors.allowed_origins)]
        return [sys.executable, "-m", "localcloud.backends.motoserver", str(self.port), *origins]
