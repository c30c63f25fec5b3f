"""API Gateway for WebSocket APIs on one machine."""

from localcloud.gateway.faults import Faults
from localcloud.gateway.limits import GatewayLimits
from localcloud.gateway.server import Gateway

__all__ = ["Faults", "Gateway", "GatewayLimits"]
