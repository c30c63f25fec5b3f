"""Turns an upgrade request into a connection."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from localcloud.gateway.connection import Connection
from localcloud.gateway.events import Client, ConnectRequest
from localcloud.gateway.ids import new_id
from localcloud.gateway.lifecycle import RefusedError, forwarded_headers
from localcloud.gateway.responses import closing, message_body, response

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from localcloud.gateway.background import Background
    from localcloud.gateway.lifecycle import Admission, Lifecycle
    from localcloud.gateway.limits import GatewayLimits
    from localcloud.gateway.management import Management
    from localcloud.gateway.refusals import RefusalLog
    from localcloud.origins import OriginPolicy

# websockets logs every opened and closed connection; the gateway logs the relevant ones itself.
_frames_log = logging.getLogger("localcloud.gateway.frames")
_frames_log.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Posts:
    """Hooks for posts: an observer of their bodies, and a delay (s) of each.

    `observe` is called with every body on arrival, `delay_s` for every post. None: no hook.
    """

    observe: Callable[[bytes], None] | None = None
    delay_s: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """State shared by a gateway's TCP connections. `roots` are its base paths."""

    roots: frozenset[str]
    port: int
    limits: GatewayLimits
    lifecycle: Lifecycle
    management: Management
    background: Background
    connections: dict[str, Connection]
    posts: Posts
    origins: OriginPolicy
    refusals: RefusalLog


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """The HTTP request for a WebSocket."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]


async def shake_hands(
    shared: Shared, transport: asyncio.Transport, request: UpgradeRequest
) -> Connection | None:
    """Let the functions decide and answer the request. Return the connection, None if refused.

    As on AWS, the answer waits for the functions; until then nobody can post to the connection.
    """
    # Open from the start: httptools has parsed the request, so only frames follow.
    limits = shared.limits
    frames = ServerProtocol(
        state=State.OPEN, max_size=(limits.message_bytes, limits.frame_bytes), logger=_frames_log
    )
    answer = frames.accept(Request(request.target, Headers(request.headers), request.method))
    path, _, query = request.target.partition("?")
    client = _client(transport, request)
    if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        _send(transport, answer.serialize())
        return None
    if path.rstrip("/") not in shared.roots:
        _refuse(transport, HTTPStatus.FORBIDDEN, message_body("Forbidden"))
        return None
    headers = request.headers + forwarded_headers(client.source_ip, shared.port)
    try:
        admission = await shared.lifecycle.admit(client, ConnectRequest(headers, query))
    except RefusedError as refusal:
        _refuse(transport, refusal.status, refusal.body)
        return None
    if admission.subprotocol is not None:
        answer.headers["Sec-WebSocket-Protocol"] = admission.subprotocol
    _send(transport, answer.serialize())
    session = _Session(shared, client, admission)
    connection = Connection(client, session, frames, transport, shared.background, limits)
    shared.connections[client.connection_id] = connection
    return connection


@dataclass(frozen=True, slots=True)
class _Session:
    shared: Shared
    client: Client
    admission: Admission

    async def answer(self, body: str) -> bytes | None:
        return await self.shared.lifecycle.answer(self.client, self.admission.authorizer, body)

    def ended(self, code: int, reason: str) -> None:
        del self.shared.connections[self.client.connection_id]
        leave = self.shared.lifecycle.leave(self.client, self.admission.authorizer, code, reason)
        self.shared.background.spawn(leave)


def _client(transport: asyncio.Transport, request: UpgradeRequest) -> Client:
    agents = [value for name, value in request.headers if name.lower() == "user-agent"]
    return Client(
        connection_id=new_id(),
        connected_at_ms=time.time_ns() // 1_000_000,
        source_ip=transport.get_extra_info("peername")[0],
        user_agent=agents[-1] if agents else None,
    )


def _refuse(transport: asyncio.Transport, status: int, body: bytes) -> None:
    _send(transport, closing(response(status, new_id().encode(), body=body)))


def _send(transport: asyncio.Transport, answer: bytes) -> None:
    # The client may have left while the functions ran.
    if not transport.is_closing():
        transport.write(answer)
