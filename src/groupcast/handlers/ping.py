"""ping: returns the connection's group and its last seq."""

from __future__ import annotations

from groupcast.chat import Chat
from groupcast.handlers.routes import route

handler = route(Chat.ping)
