"""The protocol between the runner and its workers: one JSON object a line."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from loadtest.plan.scenario import Scenario  # noqa: TC001 - msgspec resolves the annotations
from loadtest.results.tally import Arrivals, Tally, WorkerProgress  # noqa: TC001

# A run's last line holds a row for each message.
MAX_LINE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Order:
    """One worker's part of a run; `settle_s` as in Session."""

    run: str
    process: int
    url: str
    scenario: Scenario
    token: str | None = field(default=None, repr=False)
    settle_s: float | None = None


class Command(msgspec.Struct, omit_defaults=True):
    """A line to a worker: first `order`, later `go_ns` with the start's instant, or `stop`."""

    order: Order | None = None
    go_ns: int | None = None
    stop: bool = False


class Report(msgspec.Struct, omit_defaults=True):
    """A line of a worker: `ready`, `progress` every second, and at last `done`, or `failed` with a reason."""

    ready: Arrivals | None = None
    progress: WorkerProgress | None = None
    done: Tally | None = None
    failed: str | None = None


def line(message: Command | Report) -> bytes:
    return msgspec.json.encode(message) + b"\n"
