"""An emulation of API Gateway for WebSocket APIs."""

from localcloud.gateway.faults import Faults
from localcloud.gateway.handshake import Posts
from localcloud.gateway.limits import GatewayLimits
from localcloud.gateway.quota import AccountQuota
from localcloud.gateway.server import Gateway

__all__ = ["AccountQuota", "Faults", "Gateway", "GatewayLimits", "Posts"]
