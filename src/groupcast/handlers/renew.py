"""renew: extends the sign-in with a new token."""

from __future__ import annotations

from groupcast.chat import Chat
from groupcast.handlers.routes import route
from groupcast.runtime.renewals import open_renewals

handler = route(Chat.renew, open_renewals)
