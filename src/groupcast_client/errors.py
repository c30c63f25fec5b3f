"""The exceptions of the client.

GroupcastError        base; raised itself for a wrong use of the client (sending before joining)
├── ServerError       the service answered with an error frame
│   └── TooLarge      a message or its frame is over a limit; retrying does not help
├── ConnectionLost    no answer in the time allowed, which includes reconnecting
│   └── NoToken       the token provider failed, so the client could not connect
└── Refused           the handshake was answered with an HTTP status instead of a WebSocket
"""

from __future__ import annotations


class GroupcastError(Exception):
    """Base of all exceptions of this package."""


class ServerError(GroupcastError):
    """An error frame; `code` is `BadRequest`, `RateLimited` … (README, "The wire").

    `retry_after_ms` comes with `RateLimited`: the same request can succeed after that time.
    """

    def __init__(
        self, code: str, message: str, request_id: str | None = None, *, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(f"{code}: {message}" + (f" (request {request_id})" if request_id else ""))
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after_ms = retry_after_ms


class TooLarge(ServerError):  # noqa: N818 - as below
    """A message is over the service's limit, or its frame over the gateway's.

    The client also raises it before sending such a frame, or after the gateway closed because of one.
    """

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__("TooLarge", message, request_id)


class ConnectionLost(GroupcastError):  # noqa: N818 - describes a state rather than an error
    """The service could not be reached, or did not answer in time."""


class NoToken(ConnectionLost):
    """The token provider raised an error or took too long; the cause is chained."""


class Refused(GroupcastError):  # noqa: N818 - as above
    """The handshake was refused; `status` is the HTTP status (401 or 403: a bad token)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the gateway refused the connection with HTTP status {status}")
        self.status = status
