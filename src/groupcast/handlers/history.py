"""history: returns messages from the group's log."""

from __future__ import annotations

from groupcast.chat import Chat
from groupcast.handlers.routes import route

handler = route(Chat.history)
