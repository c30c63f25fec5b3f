"""The values a client works with: what the service says, where it is, and the limits kept while talking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from datetime import datetime

SUBPROTOCOL = "groupcast.v1"


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
    """A number of a group's log that will never have a message."""

    seq: int


@dataclass(frozen=True, slots=True)
class Ack:
    """The service has stored the message; the same `message_id` again gives the same ack."""

    message_id: str
    group_id: str
    seq: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Part of a group's log, oldest first; `complete` says that nothing lies beyond it.

    `entries` holds the messages and the voids between them: the next page begins after the last entry, or
    before the first.
    """

    group_id: str
    entries: tuple[Message | Void, ...]
    complete: bool

    @property
    def messages(self) -> tuple[Message, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, Message))


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound the client keeps. The defaults suit a service behind API Gateway."""

    # The handshake and each request; no answer in this time means that the connection is dead.
    reply_timeout_s: float = 15.0
    # One call of `Client`, with all the reconnecting it takes.
    call_timeout_s: float = 60.0
    # API Gateway closes after ten idle minutes. Connections ping at times of their own (pings.py), so that
    # a million quiet ones send 1,961 pings a second, always.
    ping_interval_s: float = 510.0
    # The stream is polled four times a second and shard, so messages change places within about a second.
    # Each log waits between one and two times this long, so that a crowd does not ask all at once.
    gap_wait_s: float = 1.0
    # sendMessage's ten seconds, and two for the index: what is missing by then was never written. A void
    # that the service sends ends the wait earlier. Each log waits up to a quarter longer, to spread a crowd.
    hole_timeout_s: float = 12.0
    # How often history is asked about one gap before that time.
    gap_requests: int = 2
    # Messages waiting for `Client.messages()`; above it, reading from the socket pauses.
    incoming: int = 10_000
    # Messages held back behind a gap; above it they are dropped, and asked for again.
    pending: int = 10_000
    # A provider's token is renewed between one and two times this long before it ends, so that a crowd that
    # signed in together does not renew together.
    renew_margin_s: float = 60.0
    # After a renewal that failed, or a token no fresher than the one in use; up to twice as long.
    renew_retry_s: float = 5.0
    # Calls waiting for their reply; above it, calls queue.
    unanswered: int = 1_000
    # The contract's upper bound.
    history_page: int = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, and as whom: `name` counts where sign-in is off, `token` (a JWT) where it is on."""

    # It may carry a token in its query; `shown_url` never does.
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
        """The URL as logs and errors may show it: without user, password, query and fragment."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def subprotocols(self) -> list[str] | None:
        """A browser cannot set headers on a WebSocket, so the token travels as a subprotocol, here too."""
        return None if self.token is None else [SUBPROTOCOL, f"bearer.{self.token}"]
