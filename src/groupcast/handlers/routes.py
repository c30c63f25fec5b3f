"""Shared by the handlers of all routes: reads the event, replies, logs and counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

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
Lifecycle: TypeAlias = Callable[[Chat, Event], Awaitable[None]]
Opener: TypeAlias = Callable[[Settings], AbstractAsyncContextManager[Chat]]

OK: dict[str, Any] = {"statusCode": 200}
INTERNAL_ERROR = ChatError(Code.INTERNAL_ERROR, "Something went wrong on our side; try again.")


def route(action: Action, opener: Opener = open_chat) -> Handler:
    """A handler that replies to a frame with the result of `action(chat, caller, frame)`."""
    environment = Environment(opener)

    def handler(event: Event, _context: Any) -> dict[str, Any]:
        answer = environment.run(lambda chat: _answer(action, chat, event))
        return {"statusCode": 200, "body": protocol.encode(answer)}

    return handler


def lifecycle(act: Lifecycle) -> Callable[[Event], None]:
    """A function that runs `act` on events of $connect or $disconnect, which carry no frame."""
    environment = Environment(open_chat)

    def run(event: Event) -> None:
        environment.run(lambda chat: act(chat, event))

    return run


def caller_of(event: Event) -> Caller:
    """The event's caller: API Gateway repeats the authorizer's context in every event of a connection."""
    context = event["requestContext"]
    user_id = context["authorizer"]["principalId"]
    return Caller(context["connectionId"], None if user_id == GUEST else user_id)


async def _answer(action: Action, chat: Chat, event: Event) -> Frame:
    context = event["requestContext"]
    frame: Frame = {}
    reply_id = None
    try:
        frame = protocol.parse_frame(event.get("body") or "")
        reply_id = protocol.frame_id(frame)
        return protocol.with_id(await action(chat, caller_of(event), frame), reply_id)
    except ChatError as problem:
        refusal = problem
    except Exception:  # noqa: BLE001 - the client gets an error frame, and the log the reason
        Logger().exception(
            "frame failed", extra={"request_id": context["requestId"], "route": context["routeKey"]}
        )
        refusal = INTERNAL_ERROR
    with single_metric(name="frames_refused", unit=MetricUnit.Count, value=1) as metric:
        metric.add_dimension("code", refusal.code.value)
    return protocol.with_id(protocol.error(refusal, frame.get("action"), context["requestId"]), reply_id)
