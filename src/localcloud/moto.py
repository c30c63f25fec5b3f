"""SQS and Cognito on this machine: moto's server, with FIFO queues of our own, as a child process."""

from __future__ import annotations

import sys

from localcloud.children import ChildServer


class Moto(ChildServer):
    """An async context manager: moto's server runs on 127.0.0.1 while it is open."""

    what = "moto (SQS, Cognito)"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "localcloud.motoserver", str(self.port)]
