"""The gateway's public interface."""

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
from localcloud.gateway.refusals import RefusalLog
from localcloud.gateway.routing import parse_selection_expression
from localcloud.origins import OriginPolicy
from localcloud.service.model import API_ID

if TYPE_CHECKING:
    from types import TracebackType

    from localcloud.gateway.connection import Connection
    from localcloud.invoking import Invoker
    from localcloud.service.model import Service


# Thousands of clients may connect in the same instant.
_BACKLOG = 4096
# How long the event loop may take to drop an aborted connection.
_ABORT_TIMEOUT_S = 1.0

log = logging.getLogger(__name__)


class Gateway:
    """API Gateway for one WebSocket API: `ws://` and `@connections` on one port of the loopback interface.

    Use it as `async with Gateway(...) as gateway`, which takes a free port, or with `start` and `close`.
    """

    def __init__(
        self,
        service: Service,
        invoker: Invoker,
        limits: GatewayLimits | None = None,
        faults: Faults | None = None,
        posts: Posts | None = None,
        origins: OriginPolicy | None = None,
        base_path: str = "",
    ) -> None:
        """`base_path` (such as `team`) also leads here, like that of a custom domain.

        Raises ServiceError unless the route selection expression is `$request.body.NAME`.
        """
        self._service = service
        self._invoker = invoker
        self._limits = limits or GatewayLimits()
        self._faults = faults or Faults()
        self._posts = posts or Posts()
        self._origins = origins or OriginPolicy()
        self._roots = frozenset({"", f"/{service.stage}", f"/{base_path}".rstrip("/")})
        self._selection = parse_selection_expression(service.route_selection_expression)
        self._background = Background()
        self._peers: set[GatewayProtocol] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises StartError, for example if the port is taken."""
        if not _is_loopback(host):
            raise StartError(f"gateway: {host} is not a loopback address such as 127.0.0.1")
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
        """The port, once started."""
        return self._port

    async def close(self) -> None:
        """Close all connections with 1001, run the `$disconnect` functions, and stop.

        Takes at most `shutdown_timeout_s` plus `close_timeout_s`, then abandons running functions.
        """
        if self._server is None:
            return
        self._server.close()
        for peer in list(self._peers):
            peer.go_away()
        left = await self._background.finish(self._limits.shutdown_timeout_s)
        if left:
            log.warning("gateway: %d functions were still running", left)
        await self._close_peers()
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
            origins=self._origins,
            refusals=RefusalLog(),
        )

    async def _close_peers(self) -> None:
        for timeout_s in (self._limits.close_timeout_s, _ABORT_TIMEOUT_S):
            if self._peers:
                await asyncio.wait([peer.gone for peer in self._peers], timeout=timeout_s)
            for peer in self._peers:
                peer.abort()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A host name: the machine decides what it resolves to.
        return False
