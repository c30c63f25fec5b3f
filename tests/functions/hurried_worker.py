"""fanoutMessage and fanoutRetry scaled down from 20 seconds to a few.

It stops posting one second before its timeout instead of ten, treats every group as a large one, and calls a
group busy after ten log messages instead of forty. In the group DOOMED it dies in the middle of its first
pass, if the directory for its log line exists.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import patch

from groupcast.fanout import catchup, deadlines, engine, group, lanes
from groupcast.fanout.posting import Posting
from groupcast.handlers import fanout_message, fanout_retry
from tests.functions.words import DOOMED, POSTS_BEFORE_DEATH, WORKER_DEATH_FILE

if TYPE_CHECKING:
    from groupcast.aws.management import PostResult
    from groupcast.fanout.group import Delivery

STOP_MARGIN_S = 1.0
GIVE_UP_MARGIN_S = 0.3
BUSY_TAKEN = 10

handler = fanout_message.handler
retry_handler = fanout_retry.handler

_on_result = Posting.on_result


def _on_result_or_die(self: Posting, delivery: Delivery, posted: PostResult) -> None:
    _on_result(self, delivery, posted)
    report = delivery.group.report
    if report.group_id == DOOMED and report.posts == POSTS_BEFORE_DEATH and not WORKER_DEATH_FILE.exists():
        WORKER_DEATH_FILE.touch()
        os._exit(1)


patch.object(Posting, "on_result", _on_result_or_die).start()
patch.object(deadlines, "STOP_MARGIN_S", STOP_MARGIN_S).start()
patch.object(catchup, "BUSY_TAKEN", BUSY_TAKEN).start()
patch.object(deadlines, "GIVE_UP_MARGIN_S", GIVE_UP_MARGIN_S).start()
for module in (catchup, engine, group, lanes):
    patch.object(module, "SMALL_MEMBERS", 0).start()
