"""$connect: remember the connection, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from groupcast.auth import chosen_subprotocol
from groupcast.handlers.routes import OK, Event, lifecycle

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.api_gateway_websocket_event import (
        APIGatewayWebSocketEvent,
    )

    from groupcast.chat import Chat


async def _connect(chat: Chat, event: APIGatewayWebSocketEvent) -> None:
    context = event.request_context
    await chat.connect(context.connection_id, context["authorizer"]["sender"], context.connected_at)


_run = lifecycle(_connect)


def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Accept the connection; the authorizer has already decided who it is."""
    _run(event)
    offered = next((v for k, v in event["headers"].items() if k.lower() == "sec-websocket-protocol"), None)
    chosen = chosen_subprotocol(offered)
    return OK if chosen is None else {**OK, "headers": {"Sec-WebSocket-Protocol": chosen}}
