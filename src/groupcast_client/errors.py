"""What a client of the chat can run into.

GroupcastError        base; raised as is for a call that makes no sense (sending before joining)
├── ServerError       the service answered with an error frame
│   └── TooLarge      a message or its frame is over a limit: sending it again does not help
├── ConnectionLost    no answer in the time allowed, reconnecting included
│   └── NoToken       the token provider failed, so there was no connecting
└── Refused           the handshake was answered with an HTTP status instead of a WebSocket
"""

from __future__ import annotations


class GroupcastError(Exception):
    """Base of everything this package raises."""


class ServerError(GroupcastError):
    """An error frame; `code` is one of the wire contract's (`BadRequest`, `RateLimited` …).

    `retry_after_ms` comes with `RateLimited`: the same request can pass after that time.
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

    The client raises it as well, before it sends the frame or after the gateway closed because of it.
    """

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__("TooLarge", message, request_id)


class ConnectionLost(GroupcastError):  # noqa: N818 - says what happened; every caller reads it as a state
    """The service could not be reached, or did not answer in time."""


class NoToken(ConnectionLost):
    """The token provider raised something, or took too long; the cause is chained."""


class Refused(GroupcastError):  # noqa: N818 - as above
    """The handshake was refused; `status` is the HTTP status (401 and 403: the token is not good)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the gateway refused the connection with HTTP status {status}")
        self.status = status
