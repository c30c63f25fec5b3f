"""What a gateway allows, each with AWS's quota where AWS publishes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.gateway.quota import AccountQuota


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Limits of one gateway; tests shorten the clock with them.

    The first six are API Gateway's quotas for WebSocket APIs (developer guide, "Quotas for configuring
    and running a WebSocket API"); the rest bound what AWS bounds without saying how far.
    """

    idle_timeout_s: float = 600
    lifetime_s: float = 7200
    frame_bytes: int = 32 * 1024
    message_bytes: int = 128 * 1024
    integration_timeout_s: float = 29
    url_bytes: int = 4096

    # Requests of the whole account; None: no quota.
    account_quota: AccountQuota | None = None

    # Messages of one connection whose functions run at the same time; beyond it the socket is not read.
    pending_messages: int = 32
    # Unsent bytes of one client from which on posting to it answers 429 and its socket is not read.
    write_buffer_bytes: int = 512 * 1024
    # Whether a 429 of `@connections` says whose limit it was. AWS documents that it may mean the account or
    # the client's buffer, and no text: a sender must do without.
    says_whose_limit: bool = True
    # How long a client may take to finish a close before its TCP connection is dropped.
    close_timeout_s: float = 5
    # How long shutting down waits for running functions, $disconnect ones among them.
    shutdown_timeout_s: float = 10
    # Silence after which a kept-alive HTTP connection is closed.
    http_idle_timeout_s: float = 120
    # Request line and headers of one HTTP request, with the sizes and trailers of a chunked body.
    header_bytes: int = 32 * 1024
    # A body over `message_bytes` is read to its end, to answer 413 on a connection that stays usable;
    # beyond this many bytes the connection is closed instead.
    discarded_bytes: int = 10 * 1024 * 1024
