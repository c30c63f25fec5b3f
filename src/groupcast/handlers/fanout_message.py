"""fanoutMessage: from the Messages table's stream to lanes, and from lanes to every member of a group."""

from __future__ import annotations

from typing import Any

from groupcast.handlers.outcome import conclude
from groupcast.runtime.environment import Environment
from groupcast.runtime.fanout import open_fanout

_environment = Environment(open_fanout)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deliver a batch of either source; `batchItemFailures` names what has to come again."""
    remaining_s = context.get_remaining_time_in_millis() / 1000
    return conclude(lambda: _environment.run(lambda fanout: fanout.deliver(event["Records"], remaining_s)))
