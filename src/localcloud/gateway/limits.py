"""A gateway's limits, with AWS's quotas where AWS publishes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.gateway.quota import AccountQuota


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Limits of one gateway; tests set shorter times.

    The first six are API Gateway's quotas for WebSocket APIs (developer guide, "Quotas for configuring
    and running a WebSocket API"); AWS does not publish the rest.
    """

    idle_timeout_s: float = 600
    lifetime_s: float = 7200
    frame_bytes: int = 32 * 1024
    message_bytes: int = 128 * 1024
    integration_timeout_s: float = 29
    url_bytes: int = 4096

    # The account's request quota; None: unlimited.
    account_quota: AccountQuota | None = None

    # Concurrently running messages of one connection; at the limit its socket is not read.
    pending_messages: int = 32
    # Unsent bytes of one client at which posts to it get 429 and its socket is not read.
    write_buffer_bytes: int = 512 * 1024
    # Whether a 429 of `@connections` names the limit. AWS documents two causes, the account's quota and the
    # client's buffer, but no text, so senders must not depend on it.
    says_whose_limit: bool = True
    # How long a client may take to complete a close before its TCP connection is dropped.
    close_timeout_s: float = 5
    # How long shutdown waits for running functions, including $disconnect.
    shutdown_timeout_s: float = 10
    # Idle time after which a kept-alive HTTP connection is closed.
    http_idle_timeout_s: float = 120
    # Request line, headers, chunk sizes and trailers of one HTTP request.
    header_bytes: int = 32 * 1024
    # A body over `message_bytes` is read to its end, so that the connection stays usable after the 413;
    # beyond this many bytes the connection is closed instead.
    discarded_bytes: int = 10 * 1024 * 1024
