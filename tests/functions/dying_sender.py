"""sendMessage that dies where its message says so: after the put, before the offer.

`groupcast up --handler sendMessage=tests.functions.dying_sender.handler` runs it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import patch

from groupcast.fanout.express import Express
from groupcast.handlers.send_message import handler
from tests.functions.words import SENDERS_LAST_WORDS

if TYPE_CHECKING:
    from groupcast.tables.items import StoredMessage

__all__ = ["handler"]

_offer = Express.offer


async def _offer_or_die(self: Express, stored: StoredMessage) -> None:
    if stored.message.text == SENDERS_LAST_WORDS:
        os._exit(1)
    await _offer(self, stored)


patch.object(Express, "offer", _offer_or_die).start()
