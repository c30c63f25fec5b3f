"""fanoutMessage: offers the stream's messages to lanes, and delivers lanes' messages to all members."""

from __future__ import annotations

from typing import Any

from groupcast.handlers.outcome import conclude
from groupcast.runtime.environment import Environment
from groupcast.runtime.fanout import open_fanout

_environment = Environment(open_fanout)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Process a batch of either source; `batchItemFailures` lists the items to deliver again."""
    remaining_s = context.get_remaining_time_in_millis() / 1000
    return conclude(lambda: _environment.run(lambda fanout: fanout.deliver(event["Records"], remaining_s)))
