"""The client's values: messages and replies, the endpoint, and limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from datetime import datetime

SUBPROTOCOL = "groupcast.v1"
# The most groups of a connection, and of one joinGroup frame.
MAX_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a group's log; `seq` counts 1, 2, 3 … within the group and identifies the message there.

    `user_id` is the sender's id if the sender signed in, None for a guest. Two users may use the same
    `message_id`.
    """

    message_id: str
    group_id: str
    seq: int
    sender: str
    text: str
    created_at: datetime
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Void:
    """A number in a group's log that will never have a message."""

    seq: int


@dataclass(frozen=True, slots=True)
class Ack:
    """The service has stored the message; repeating its `message_id` returns the same ack."""

    message_id: str
    group_id: str
    seq: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Part of a group's log, oldest first; `complete` if the log does not continue beyond it.

    `entries` contains messages and voids. The next page starts after the last entry, or before the first.
    """

    group_id: str
    entries: tuple[Message | Void, ...]
    complete: bool

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Message))


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of the client. The defaults suit a service behind API Gateway."""

    # For the handshake and for each request; without an answer the connection counts as dead.
    reply_timeout_s: float = 15.0
    # For one call of `Client`, including reconnects.
    call_timeout_s: float = 60.0
    # API Gateway closes a connection after ten idle minutes. Pings are spread evenly (pings.py): a million
    # quiet connections send a steady 1,961 a second.
    ping_interval_s: float = 510.0
    # Lambda polls each stream shard four times a second, so messages are reordered within about a second.
    # Each log waits between one and two times this long, so that members do not all ask at once.
    gap_wait_s: float = 1.0
    # Ten seconds for sendMessage and two for the index: a message that is missing by then was never written.
    # A void from the service ends the wait. Each log waits up to a quarter longer, to spread requests.
    hole_timeout_s: float = 12.0
    # The most history requests for one gap before that time.
    gap_requests: int = 2
    # Messages of a group waiting for their reader; those of `Client.messages()` share one queue. At this
    # number the group's pushes are ignored. When there is room again, their messages are requested.
    incoming: int = 10_000
    # Messages held back behind a gap; more are dropped and requested again later.
    pending: int = 10_000
    # A provider's token is renewed between one and two times this long before it expires, so that clients
    # that signed in together do not renew together.
    renew_margin_s: float = 60.0
    # The wait after a failed renewal, or a token no fresher than the current one; up to twice this long.
    renew_retry_s: float = 5.0
    # Calls waiting for their replies; further calls queue.
    unanswered: int = 1_000
    # The service's maximum.
    history_page: int = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The service's URL and the user: `name` in stages without sign-in, `token` (a JWT) in those with it."""

    # Its query may contain a token; `shown_url` never does.
    url: str = field(repr=False)
    name: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def connect_url(self) -> str:
        if self.name is None:
            return self.url
        parts = urlsplit(self.url)
        query = f"{parts.query}&" if parts.query else ""
        return urlunsplit(parts._replace(query=f"{query}name={quote(self.name, safe='')}"))

    @property
    def shown_url(self) -> str:
        """The URL for logs and errors, without user, password, query and fragment."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def subprotocols(self) -> list[str] | None:
        """The token as a subprotocol: browsers can set no other header, so all clients send it this way."""
        return None if self.token is None else [SUBPROTOCOL, f"bearer.{self.token}"]
