"""What the handlers of all routes share: reading the event, answering, logging, counting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.data_classes.api_gateway_websocket_event import APIGatewayWebSocketEvent

from groupcast import protocol
from groupcast.auth import GUEST
from groupcast.chat import Chat, Frame
from groupcast.errors import ChatError, Code
from groupcast.model import Caller
from groupcast.runtime.chat import open_chat
from groupcast.runtime.environment import Environment
from groupcast.settings import Settings

Event: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Event, Any], dict[str, Any]]
Action: TypeAlias = Callable[[Chat, Caller, Frame], Awaitable[Frame]]
Lifecycle: TypeAlias = Callable[[Chat, APIGatewayWebSocketEvent], Awaitable[None]]
Opener: TypeAlias = Callable[[Settings], AbstractAsyncContextManager[Chat]]

OK: dict[str, Any] = {"statusCode": 200}
INTERNAL_ERROR = ChatError(Code.INTERNAL_ERROR, "Something went wrong on our side; try again.")


def route(action: Action, opener: Opener = open_chat) -> Handler:
    """A handler that answers one frame with what `action(chat, caller, frame)` returns."""
    environment = Environment(opener)

    def handler(raw: Event, _context: Any) -> dict[str, Any]:
        event = APIGatewayWebSocketEvent(raw)
        answer = environment.run(lambda chat: _answer(action, chat, event))
        return {"statusCode": 200, "body": protocol.encode(answer)}

    return handler


def lifecycle(act: Lifecycle) -> Callable[[Event], None]:
    """A function that runs `act` on $connect's and $disconnect's events, which carry no frame."""
    environment = Environment(open_chat)

    def run(raw: Event) -> None:
        environment.run(lambda chat: act(chat, APIGatewayWebSocketEvent(raw)))

    return run


def caller_of(event: APIGatewayWebSocketEvent) -> Caller:
    """Whose event it is: API Gateway hands on what the authorizer said when the connection was made."""
    context = event.request_context
    user_id = context["authorizer"]["principalId"]
    return Caller(context.connection_id, None if user_id == GUEST else user_id)


async def _answer(action: Action, chat: Chat, event: APIGatewayWebSocketEvent) -> Frame:
    context = event.request_context
    frame: Frame = {}
    reply_id = None
    try:
        frame = protocol.parse_frame(event.body or "")
        reply_id = protocol.frame_id(frame)
        return protocol.with_id(await action(chat, caller_of(event), frame), reply_id)
    except ChatError as problem:
        refusal = problem
    except Exception:  # noqa: BLE001 - the client must learn that its frame was not taken; the log learns why
        Logger().exception(
            "frame failed", extra={"request_id": context.request_id, "route": context.route_key}
        )
        refusal = INTERNAL_ERROR
    with single_metric(name="frames_refused", unit=MetricUnit.Count, value=1) as metric:
        metric.add_dimension("code", refusal.code.value)
    return protocol.with_id(protocol.error(refusal, frame.get("action"), context.request_id), reply_id)
