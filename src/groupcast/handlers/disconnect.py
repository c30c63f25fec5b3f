"""$disconnect: removes the connection. AWS does not guarantee the call; fan-out and TTL do the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from groupcast.handlers.routes import OK, Event, caller_of, lifecycle
from groupcast.model import Caller

if TYPE_CHECKING:
    from groupcast.chat import Chat


async def _disconnect(chat: Chat, event: Event) -> None:
    context = event["requestContext"]
    # AWS does not guarantee the authorizer's context in this event.
    known = "authorizer" in context
    await chat.disconnect(caller_of(event) if known else Caller(context["connectionId"], None))


_run = lifecycle(_disconnect)


def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Remove the connection."""
    _run(event)
    return OK
