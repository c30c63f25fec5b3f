"""The gateway as the rest of localcloud sees it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from typing import TYPE_CHECKING, Self

from localcloud.errors import StartError
from localcloud.gateway.background import Background
from localcloud.gateway.events import Api
from localcloud.gateway.faults import Faults
from localcloud.gateway.handshake import Posts, Shared
from localcloud.gateway.lifecycle import Lifecycle
from localcloud.gateway.limits import GatewayLimits
from localcloud.gateway.management import Management
from localcloud.gateway.protocol import GatewayProtocol
from localcloud.gateway.quota import Requests
from localcloud.gateway.routing import parse_selection_expression
from localcloud.gateway.strangers import Strangers
from localcloud.service.model import API_ID
from localcloud.visitors import Visitors

if TYPE_CHECKING:
    from types import TracebackType

    from localcloud.gateway.connection import Connection
    from localcloud.invoking import Invoker
    from localcloud.service.model import Service


# Thousands of clients may knock in the same instant.
_BACKLOG = 4096
# For the event loop to drop a connection it was told to drop.
_ABORT_TIMEOUT_S = 1.0

log = logging.getLogger(__name__)


class Gateway:
    """API Gateway for one WebSocket API: `ws://` and `@connections` on one port of the loopback interface.

    Used as `async with Gateway(...) as gateway`, which takes a free port, or by `start` and `close`.
    """

    def __init__(
        self,
        service: Service,
        invoker: Invoker,
        limits: GatewayLimits | None = None,
        faults: Faults | None = None,
        posts: Posts | None = None,
        visitors: Visitors | None = None,
        base_path: str = "",
    ) -> None:
        """`base_path` leads here, too, as that of a custom domain does, such as `team`.

        Raises ServiceError for a route selection expression other than `$request.body.NAME`.
        """
        self._service = service
        self._invoker = invoker
        self._limits = limits or GatewayLimits()
        self._faults = faults or Faults()
        self._posts = posts or Posts()
        self._visitors = visitors or Visitors()
        self._roots = frozenset({"", f"/{service.stage}", f"/{base_path}".rstrip("/")})
        self._selection = parse_selection_expression(service.route_selection_expression)
        self._background = Background()
        self._peers: set[GatewayProtocol] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises StartError, where the port is taken for one."""
        if not _is_loopback(host):
            raise StartError(f"gateway: {host} is no loopback address such as 127.0.0.1")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StartError(f"gateway: cannot listen on {host}:{port}: {reason}") from error
        self._port = listener.getsockname()[1]
        shared = self._share(host)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: GatewayProtocol(shared, self._peers), sock=listener, backlog=_BACKLOG
        )

    @property
    def port(self) -> int:
        """The port that `start` took."""
        return self._port

    async def close(self) -> None:
        """Close all connections with 1001, let the `$disconnect` functions run, and stop.

        Takes `shutdown_timeout_s` and `close_timeout_s` at most; functions still running then are left.
        """
        if self._server is None:
            return
        self._server.close()
        for peer in list(self._peers):
            peer.go_away()
        left = await self._background.finish(self._limits.shutdown_timeout_s)
        if left:
            log.warning("gateway: %d functions were still running", left)
        await self._see_peers_off()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _share(self, host: str) -> Shared:
        service = self._service
        api = Api(API_ID, service.stage, service.region, f"{host}:{self._port}")
        connections: dict[str, Connection] = {}
        requests = Requests(self._limits.account_quota)
        return Shared(
            roots=self._roots,
            port=self._port,
            limits=self._limits,
            lifecycle=Lifecycle(api, service.routes, self._selection, self._invoker, self._limits, requests),
            management=Management(
                connections,
                self._roots,
                self._faults,
                requests,
                says_whose_limit=self._limits.says_whose_limit,
            ),
            background=self._background,
            connections=connections,
            posts=self._posts,
            visitors=self._visitors,
            strangers=Strangers(),
        )

    async def _see_peers_off(self) -> None:
        for timeout_s in (self._limits.close_timeout_s, _ABORT_TIMEOUT_S):
            if self._peers:
                await asyncio.wait([peer.gone for peer in self._peers], timeout=timeout_s)
            for peer in self._peers:
                peer.abort()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name: what it stands for is up to the machine.
        return False
