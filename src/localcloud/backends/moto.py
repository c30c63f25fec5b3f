"""SQS and Cognito on this machine: moto's server with our own FIFO queues, as a child process."""

from __future__ import annotations

import sys

from localcloud.children import ChildServer
from localcloud.origins import OriginPolicy


class Moto(ChildServer):
    """An async context manager that runs moto's server on 127.0.0.1 while it is open."""

    what = "moto (SQS, Cognito)"

    def __init__(self, origins: OriginPolicy | None = None) -> None:
        super().__init__()
        self._origins = origins or OriginPolicy()

    def command(self) -> list[str]:
        origins = [f"--allow-origin={origin}" for origin in sorted(self._origins.allowed_origins)]
        return [sys.executable, "-m", "localcloud.backends.motoserver", str(self.port), *origins]
