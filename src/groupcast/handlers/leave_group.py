"""leaveGroup: leaves the group."""

from __future__ import annotations

from groupcast.chat import Chat
from groupcast.handlers.routes import route

handler = route(Chat.leave)
