"""fanoutRetry: delivers fanoutMessage's leftovers from RetryQueue."""

from __future__ import annotations

from typing import Any

from groupcast.handlers.outcome import conclude
from groupcast.runtime.environment import Environment
from groupcast.runtime.fanout import open_retries

_environment = Environment(open_retries)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Process a batch; `batchItemFailures` lists the queue messages to deliver again."""
    remaining_s = context.get_remaining_time_in_millis() / 1000
    return conclude(lambda: _environment.run(lambda retries: retries.deliver(event["Records"], remaining_s)))
