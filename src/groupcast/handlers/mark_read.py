"""markRead: notes how far the user has read a group."""

from __future__ import annotations

from groupcast.chat import Chat
from groupcast.handlers.routes import route

handler = route(Chat.mark_read)
