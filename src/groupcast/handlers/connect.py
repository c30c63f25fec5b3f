"""$connect: registers the connection and its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from groupcast.auth import chosen_subprotocol
from groupcast.errors import ChatError
from groupcast.handlers.routes import OK, Event, lifecycle
from groupcast.model import Member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from groupcast.chat import Chat


async def _connect(chat: Chat, event: Event) -> None:
    context = event["requestContext"]
    await chat.connect(_member(context["connectionId"], context["authorizer"]), context["connectedAt"])


TOO_MANY = {"statusCode": 429}

_run = lifecycle(_connect)


def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Accept the connection; the authorizer has already identified its user.

    429 if the user is at the connection limit or connects too often.
    """
    try:
        _run(event)
    except ChatError as refusal:
        Logger().info("connect refused", extra={"reason": refusal.message})
        with single_metric(name="connects_refused", unit=MetricUnit.Count, value=1):
            pass
        return TOO_MANY
    chosen = chosen_subprotocol(event.get("multiValueHeaders") or {})
    return OK if chosen is None else {**OK, "headers": {"Sec-WebSocket-Protocol": chosen}}


def _member(connection_id: str, authorizer: Mapping[str, str]) -> Member:
    """The member described by the authorizer's context, whose values API Gateway passes as strings."""
    if "authorizedUntil" not in authorizer:
        return Member(connection_id, authorizer["sender"])
    return Member(
        connection_id,
        authorizer["sender"],
        user_id=authorizer["principalId"],
        groups=tuple(orjson.loads(authorizer["groups"])),
        authorized_until_s=int(authorizer["authorizedUntil"]),
    )
