"""Serves moto on 127.0.0.1 until a signal arrives, as `python -m moto.server` does.

sqs.py replaces SQS's FIFO queues; guard.py refuses requests from web pages and to moto's own API.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

from localcloud.backends.motoserver.guard import Guard
from localcloud.backends.motoserver.sqs import install
from localcloud.origins import OriginPolicy

HOST = "127.0.0.1"


class Dispatcher(DomainDispatcherApplication):
    """Caches the service of each host: moto searches all of its folders on each call."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._services: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        if host not in self._services:
            self._services[host] = super().get_backend_for_host(host)
        return self._services[host]


class Handler(MotoRequestHandler):
    """Keeps connections alive: a new connection and its thread cost more than the call."""

    protocol_version = "HTTP/1.1"
    # Header and body go out in two writes; Nagle's algorithm would delay the second.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: only errors are useful."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.backends.motoserver")
    parser.add_argument("port", type=int)
    parser.add_argument("--allow-origin", action="append", default=[])
    options = parser.parse_args()
    port = options.port
    # moto builds URLs from it.
    os.environ.setdefault("MOTO_PORT", str(port))
    install()
    guarded = Guard(Dispatcher(), OriginPolicy(frozenset(options.allow_origin)))
    run_simple(HOST, port, guarded, threaded=True, request_handler=Handler)


if __name__ == "__main__":
    main()
