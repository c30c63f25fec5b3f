"""$default: answers frames without a known action with the list of actions."""

from __future__ import annotations

import os
from typing import Any

from groupcast import protocol
from groupcast.errors import ChatError, Code


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return an UnknownAction error; the variable ACTIONS lists the routes of serverless.yml."""
    actions = os.environ["ACTIONS"]
    frame: dict[str, Any] = {}
    reply_id = None
    try:
        frame = protocol.parse_frame(event.get("body") or "")
        reply_id = protocol.frame_id(frame)
        text = f"No such action; use one of {actions}."
    except ChatError as problem:
        text = f"{problem.message} Send an object whose action is one of {actions}."
    refusal = ChatError(Code.UNKNOWN_ACTION, text)
    reply = protocol.error(refusal, frame.get("action"), event["requestContext"]["requestId"])
    return {"statusCode": 200, "body": protocol.encode(protocol.with_id(reply, reply_id))}
