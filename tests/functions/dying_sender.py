"""sendMessage that dies on command: before the put, or between the put and the offer.

Run it with `groupcast up --handler sendMessage=tests.functions.dying_sender.handler`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import patch

from groupcast.fanout.express import Express
from groupcast.handlers.send_message import handler
from groupcast.tables.messages import Messages
from tests.functions.words import DIE_AFTER_PUT_TEXT, DIE_BEFORE_PUT_TEXT

if TYPE_CHECKING:
    from groupcast.tables.items import StoredMessage

__all__ = ["handler"]

_offer = Express.offer
_put = Messages.put


async def _offer_or_die(self: Express, stored: StoredMessage) -> None:
    if stored.message.text == DIE_AFTER_PUT_TEXT:
        os._exit(1)
    await _offer(self, stored)


async def _put_or_die(self: Messages, stored: StoredMessage, expires_at_s: int | None) -> None:
    if stored.message.text == DIE_BEFORE_PUT_TEXT:
        os._exit(1)
    await _put(self, stored, expires_at_s)


patch.object(Messages, "put", _put_or_die).start()
patch.object(Express, "offer", _offer_or_die).start()
