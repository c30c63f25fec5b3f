"""A connection's life cycle: admission, answers to its messages, disconnect.

Deals with functions and events, not with sockets.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from localcloud.errors import FunctionError
from localcloud.gateway.answers import MalformedError, parse_answer
from localcloud.gateway.events import (
    Stamp,
    authorizer_event,
    connect_event,
    disconnect_event,
    message_event,
)
from localcloud.gateway.ids import new_id
from localcloud.gateway.policy import evaluate_policy
from localcloud.gateway.quota import TOO_MANY_REQUESTS
from localcloud.gateway.responses import reason_phrase
from localcloud.gateway.routing import CONNECT, DISCONNECT, select_route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.gateway.events import Api, Client, ConnectRequest
    from localcloud.gateway.limits import GatewayLimits
    from localcloud.gateway.quota import Requests
    from localcloud.invoking import Invoker
    from localcloud.service.model import Route

log = logging.getLogger(__name__)

_INTERNAL_ERROR = "Internal server error"
_TIMED_OUT = "Endpoint request timed out"


class RefusedError(Exception):
    """A connection was refused. `body` is API Gateway's response to the client."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Admission:
    """An admitted connection: the function's subprotocol and the authorizer's context."""

    subprotocol: str | None
    authorizer: Mapping[str, str] | None


class Lifecycle:
    """Runs the functions of `routes` for connections. Function failures become responses or log lines."""

    def __init__(
        self,
        api: Api,
        routes: Mapping[str, Route],
        selection: tuple[str, ...],
        invoker: Invoker,
        limits: GatewayLimits,
        requests: Requests,
    ) -> None:
        self._api = api
        self._routes = routes
        self._selection = selection
        self._invoker = invoker
        self._limits = limits
        self._requests = requests

    async def admit(self, client: Client, request: ConnectRequest) -> Admission:
        """Ask the authorizer and the `$connect` function.

        Raises RefusedError if one of them refuses or the account's quota is used up.
        """
        stamp = _stamp()
        if not self._requests.connects.admit():
            raise _refused(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY_REQUESTS, client, stamp)
        route = self._routes.get(CONNECT)
        if route is None:
            return Admission(None, None)
        authorizer: Mapping[str, str] | None = None
        if route.authorizer is not None:
            authorizer = await self._authorize(route.authorizer, client, stamp, request)
        event = connect_event(self._api, client, stamp, request, authorizer)
        try:
            answer = parse_answer(await self._invoke(route.function, event))
        except TimeoutError:
            raise _refused(HTTPStatus.GATEWAY_TIMEOUT, _TIMED_OUT, client, stamp) from None
        except (FunctionError, MalformedError) as error:
            log.warning("$connect failed: %s", error)
            raise _refused(HTTPStatus.BAD_GATEWAY, _INTERNAL_ERROR, client, stamp) from error
        if answer.status is None:
            log.warning("$connect failed: %s returned no statusCode", route.function)
            raise _refused(HTTPStatus.BAD_GATEWAY, _INTERNAL_ERROR, client, stamp)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _refused(answer.status, reason_phrase(answer.status), client, stamp)
        return Admission(answer.subprotocol, authorizer)

    async def answer(self, client: Client, authorizer: Mapping[str, str] | None, body: str) -> bytes | None:
        """Run a message's function; return the text for the client, if any."""
        stamp = _stamp()
        if not self._requests.frames.admit():
            return _complaint(TOO_MANY_REQUESTS, client, stamp)
        route = select_route(body, self._routes, self._selection)
        if route is None:
            return _complaint("Forbidden", client, stamp)
        return await self._reply(route, client, stamp, authorizer, body)

    async def leave(
        self, client: Client, authorizer: Mapping[str, str] | None, code: int, reason: str
    ) -> None:
        """Run the `$disconnect` function. A failure is only logged: the client is gone."""
        route = self._routes.get(DISCONNECT)
        if route is None:
            return
        event = disconnect_event(self._api, client, _stamp(), code=code, reason=reason, authorizer=authorizer)
        try:
            await self._invoke(route.function, event)
        except TimeoutError:
            log.warning("$disconnect failed: %s took too long", route.function)
        except FunctionError as error:
            log.warning("$disconnect failed: %s", error)

    async def _reply(
        self,
        route: Route,
        client: Client,
        stamp: Stamp,
        authorizer: Mapping[str, str] | None,
        body: str,
    ) -> bytes | None:
        event = message_event(
            self._api,
            client,
            stamp,
            route_key=route.key,
            message_id=new_id(),
            body=body,
            authorizer=authorizer,
        )
        try:
            answer = parse_answer(await self._invoke(route.function, event))
        except TimeoutError:
            return _complaint(_TIMED_OUT, client, stamp)
        except (FunctionError, MalformedError) as error:
            log.warning("%s failed: %s", route.key, error)
            return _complaint(_INTERNAL_ERROR, client, stamp)
        if not route.responds:
            return None
        if answer.body is not None and len(answer.body) > self._limits.message_bytes:
            log.warning("%s failed: %d bytes are too many for a message", route.key, len(answer.body))
            return _complaint(_INTERNAL_ERROR, client, stamp)
        return answer.body

    async def _authorize(
        self, function: str, client: Client, stamp: Stamp, request: ConnectRequest
    ) -> Mapping[str, str]:
        event = authorizer_event(self._api, client, stamp, request)
        try:
            authorizer = evaluate_policy(await self._invoke(function, event), self._api.connect_arn)
        except FunctionError as error:
            # The only text with which an authorizer can answer 401.
            if error.message == "Unauthorized":
                raise _refused(HTTPStatus.UNAUTHORIZED, "Unauthorized", client, stamp) from error
            log.warning("authorizer failed: %s", error)
            raise _refused(HTTPStatus.INTERNAL_SERVER_ERROR, _INTERNAL_ERROR, client, stamp) from error
        except (TimeoutError, MalformedError) as error:
            log.warning("authorizer failed: %s: %s", function, error)
            raise _refused(HTTPStatus.INTERNAL_SERVER_ERROR, _INTERNAL_ERROR, client, stamp) from error
        if authorizer is None:
            raise _refused(HTTPStatus.FORBIDDEN, "Forbidden", client, stamp)
        return authorizer

    async def _invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        async with asyncio.timeout(self._limits.integration_timeout_s):
            return await self._invoker.invoke(function, event)


def forwarded_headers(source_ip: str, port: int) -> tuple[tuple[str, str], ...]:
    """Return the headers that API Gateway adds to the client's."""
    trace_id = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return (
        ("X-Amzn-Trace-Id", trace_id),
        ("X-Forwarded-For", source_ip),
        ("X-Forwarded-Port", str(port)),
        ("X-Forwarded-Proto", "http"),
    )


def _stamp() -> Stamp:
    return Stamp(new_id(), time.time_ns() // 1_000_000)


def _refused(status: int, message: str, client: Client, stamp: Stamp) -> RefusedError:
    return RefusedError(status, _complaint(message, client, stamp))


def _complaint(message: str, client: Client, stamp: Stamp) -> bytes:
    return orjson.dumps(
        {"message": message, "connectionId": client.connection_id, "requestId": stamp.request_id}
    )
