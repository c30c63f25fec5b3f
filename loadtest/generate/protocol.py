"""The protocol between the runner and its workers: one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import orjson

from loadtest.plan.scenario import Scenario  # noqa: TC001 - msgspec resolves the annotation

# A run's last line holds a row for each message.
MAX_LINE_BYTES = 2**30


class MessageType(StrEnum):
    """The only key of a line. A worker sends READY with its arrivals, PROGRESS every second, and at last DONE
    with its tally, or FAILED with a reason. The runner sends ORDER, GO with the start's instant, and STOP.
    """

    READY = "ready"
    PROGRESS = "progress"
    DONE = "done"
    FAILED = "failed"
    ORDER = "order"
    GO = "go"
    STOP = "stop"

    def line(self, value: object = None) -> bytes:
        return orjson.dumps({self.value: value}, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class Order:
    """One worker's part of a run; `settle_s` as in Session."""

    run: str
    process: int
    url: str
    scenario: Scenario
    token: str | None = field(default=None, repr=False)
    settle_s: float | None = None
