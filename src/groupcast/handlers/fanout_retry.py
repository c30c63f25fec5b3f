"""fanoutRetry: from the queue of what fanoutMessage left over to the connections that still wait for it."""

from __future__ import annotations

from typing import Any

from groupcast.handlers.outcome import conclude
from groupcast.runtime.environment import Environment
from groupcast.runtime.fanout import open_retries

_environment = Environment(open_retries)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deliver a batch; `batchItemFailures` names the messages that the queue has to deliver again."""
    remaining_s = context.get_remaining_time_in_millis() / 1000
    return conclude(lambda: _environment.run(lambda retries: retries.deliver(event["Records"], remaining_s)))
