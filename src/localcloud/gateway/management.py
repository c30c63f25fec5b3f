"""`@connections`: posting to, inspecting and closing connections over HTTP.

Contract: the API Gateway Management API (`PostToConnection`, `GetConnection`, `DeleteConnection`). Takes a
request's parts and returns a response's bytes; other modules have the sockets.

For tests and benchmarks, `GET /_localcloud/requests` returns the numbers of requests that the account's quota
accepted and refused (see `Requests.counts`). It is not counted and needs no signature.
"""

from __future__ import annotations

import itertools
import random
import secrets
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson
from websockets.frames import CloseCode

from localcloud.gateway.connection import text_frame
from localcloud.gateway.faults import Fault
from localcloud.gateway.ids import is_id
from localcloud.gateway.quota import TOO_MANY_REQUESTS
from localcloud.gateway.responses import message_body, ok, response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.gateway.connection import Connection
    from localcloud.gateway.faults import Faults
    from localcloud.gateway.quota import Requests

REQUESTS_PATH = "/_localcloud/requests"

_METHODS = frozenset({b"POST", b"GET", b"DELETE"})
# The same exception as for throttling, with a different text. AWS documents one sentence for both causes;
# this is its half about the client.
_BUFFER_FULL = "WebSocket client side buffer is full"


class Management:
    """Answers `@connections` requests under each of `roots`; `connections` are open ones by id."""

    def __init__(
        self,
        connections: Mapping[str, Connection],
        roots: frozenset[str],
        faults: Faults,
        requests: Requests,
        *,
        says_whose_limit: bool,
    ) -> None:
        self._connections = connections
        self._requests = requests
        names = ("@connections", "%40connections")
        self._prefixes = frozenset(f"{root}/{name}".encode() for root in roots for name in names)
        self._says_whose_limit = says_whose_limit
        self._faults = faults if faults.enabled else None
        self._draws = random.Random(faults.seed)  # noqa: S311 -- a repeatable sequence of faults, no secret
        # A UUID's first four groups, then a counter: unique without a system call per request.
        self._request_prefix = f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-4000-8000-".encode()
        self._request_number = itertools.count(1)
        self._last_body: bytes | None = None
        self._last_frame = b""

    def answer(self, method: bytes, target: bytes, *, authorized: bool, body: bytes | None) -> bytes | None:
        """Return the response to a request; None means to reset the connection.

        `target` is the path and query as sent, `authorized` is True if a signature is present, and `body` is
        None if it was over the limit.
        """
        request_id = self._request_prefix + b"%012x" % next(self._request_number)
        head, _, last = target.partition(b"?")[0].rpartition(b"/")
        if head not in self._prefixes or not last or method not in _METHODS:
            return self._answer_other_path(request_id, method, target)
        if not authorized:
            error_type, message = "MissingAuthenticationTokenException", "Missing Authentication Token"
            return _error(request_id, HTTPStatus.FORBIDDEN, error_type, message)
        return self._authorized(request_id, method, last, body)

    def _authorized(self, request_id: bytes, method: bytes, last: bytes, body: bytes | None) -> bytes | None:
        gate = self._requests.posts if method == b"POST" else self._requests.other_calls
        if not gate.admit():
            return self._limit_exceeded(request_id, TOO_MANY_REQUESTS)
        connection_id = unquote(last.decode("latin-1"))
        connection = self._connections.get(connection_id)
        if connection is None:
            return _answer_not_connected(request_id, connection_id)
        if method == b"POST":
            return self._post(request_id, connection, body)
        if method == b"GET":
            return response(HTTPStatus.OK, request_id, body=_description(connection))
        connection.close(CloseCode.NORMAL_CLOSURE)
        return response(HTTPStatus.NO_CONTENT, request_id)

    def _answer_other_path(self, request_id: bytes, method: bytes, target: bytes) -> bytes:
        if method == b"GET" and target == REQUESTS_PATH.encode():
            return response(HTTPStatus.OK, request_id, body=orjson.dumps(self._requests.counts()))
        # A response to HEAD must have no body, or the client would take it for the next response.
        body = b"" if method == b"HEAD" else message_body("Not Found")
        return response(HTTPStatus.NOT_FOUND, request_id, body=body)

    def _post(self, request_id: bytes, connection: Connection, body: bytes | None) -> bytes | None:
        if body is None:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return _error(request_id, status, "PayloadTooLargeException", "Message too long")
        if self._faults is not None:
            fault = self._faults.decide(self._draws.random())
            if fault is not None:
                return self._faulty(request_id, fault)
        # A fan-out posts one body to thousands of connections in a row: check and frame it once.
        if body != self._last_body:
            try:
                body.decode()
            except UnicodeDecodeError:
                return _bad_request(request_id, "Data is not UTF-8 text")
            self._last_body, self._last_frame = body, text_frame(body)
        if connection.post(self._last_frame):
            return ok(request_id)
        return self._limit_exceeded(request_id, _BUFFER_FULL)

    def _faulty(self, request_id: bytes, fault: Fault) -> bytes | None:
        if fault is Fault.RESET:
            return None
        if fault is Fault.THROTTLE:
            return self._limit_exceeded(request_id, "Rate exceeded")
        if fault is Fault.GONE:
            return _gone(request_id)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return _error(request_id, status, "InternalServerErrorException", "Internal server error")

    def _limit_exceeded(self, request_id: bytes, message: str) -> bytes:
        text = message if self._says_whose_limit else None
        return _error(request_id, HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", text)


def _answer_not_connected(request_id: bytes, connection_id: str) -> bytes:
    if is_id(connection_id):
        return _gone(request_id)
    return _bad_request(request_id, f"Invalid connectionId: {connection_id}")


def _gone(request_id: bytes) -> bytes:
    return response(HTTPStatus.GONE, request_id, error_type="GoneException")


def _bad_request(request_id: bytes, message: str) -> bytes:
    return _error(request_id, HTTPStatus.BAD_REQUEST, "BadRequestException", message)


def _error(request_id: bytes, status: int, error_type: str, message: str | None) -> bytes:
    return response(status, request_id, error_type=error_type, body=message_body(message))


def _description(connection: Connection) -> bytes:
    client = connection.client
    return orjson.dumps(
        {
            "connectedAt": _iso(client.connected_at_ms),
            "identity": {"sourceIp": client.source_ip, "userAgent": client.user_agent or ""},
            "lastActiveAt": _iso(connection.last_active_ms),
        }
    )


def _iso(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
