"""How an HTTP exchange, or the credentials for it, can fail.

GroupcastError
├── HttpError                  no response to a request
│   ├── ConnectError           no connection: no such name, no route, refused; nothing was sent
│   │   ├── ConnectTimeoutError
│   │   └── TlsError           certificate, host name or handshake
│   ├── PoolTimeoutError       no connection came free in time; nothing was sent
│   ├── PoolClosedError        the pool was closed first
│   ├── ResetError             closed after the request was written, before a byte of the response
│   ├── ResponseTimeoutError   written, but no whole response in time
│   └── ProtocolError          not HTTP/1.1, or not a response to the request
│       ├── TruncatedError     closed in the middle of a response
│       └── TooLargeError      a response over the named limits
├── PoolFullError              more requests wait than the pool's limit: raised, never handed over
├── ServiceError               a service's own error to an operation
└── NoCredentialsError         neither the environment nor botocore's chain has any
"""

from __future__ import annotations

from groupcast.errors import GroupcastError


class HttpError(GroupcastError):
    """No response to a request. Handed to its callback; raised by the awaitable calls."""


class ConnectError(HttpError):
    """No connection could be made: name, route, refused. Nothing was sent."""


class ConnectTimeoutError(ConnectError):
    """No connection, TLS included, within `connect_s`. Nothing was sent."""


class TlsError(ConnectError):
    """The certificate, its host name or the handshake was wrong. Nothing was sent."""


class PoolTimeoutError(HttpError):
    """No connection came free within `total_s`. Nothing was sent."""


class PoolClosedError(HttpError):
    """The pool was closed before the response came."""


class ResetError(HttpError):
    """The connection closed after the request was written and before any byte of the response.

    Nearly always a kept-alive connection that the server gave up at the same moment. Whether the
    request was carried out is not known.
    """


class ResponseTimeoutError(HttpError):
    """The request was written, but no whole response came within `response_s` (or `total_s`)."""


class ProtocolError(HttpError):
    """The response is not HTTP/1.1, or does not belong to the request."""


class TruncatedError(ProtocolError):
    """The connection closed in the middle of a response."""


class TooLargeError(ProtocolError):
    """The response is larger than the connection's limits."""


class PoolFullError(GroupcastError):
    """As many requests as `max_waiting` wait for a connection already."""


class NoCredentialsError(GroupcastError):
    """Neither the environment nor botocore's chain has credentials."""


class ServiceError(GroupcastError):
    """A service's own error. `passing` says that the same call may succeed later."""

    def __init__(self, operation: str, status: int, code: str, message: str, *, passing: bool) -> None:
        super().__init__(f"{operation}: {status} {code}: {message}")
        self.code = code
        self.passing = passing
