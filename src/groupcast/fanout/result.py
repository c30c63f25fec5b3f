"""What an invocation comes to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groupcast.fanout.report import Report


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that went to the failures queue, and why."""

    item_identifier: str
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """`again` are the item identifiers that Lambda is to deliver again."""

    report: Report
    rejected: tuple[Rejected, ...]
    again: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """When an invocation stops, as loop times in seconds.

    After `stop_at` no new post is sent, after `give_up_at` no queue is waited for any more. In between, what
    is under way ends (POST_TOTAL_S of the runtime, FLUSH_S of the engine) and the rest is put into queues;
    after it there is the report.
    """

    stop_at: float
    give_up_at: float


STOP_MARGIN_S = 10.0
GIVE_UP_MARGIN_S = 1.0


def times(now: float, remaining_s: float) -> Times:
    """For an invocation that has `remaining_s` from the loop time `now` on."""
    return Times(
        stop_at=now + max(remaining_s - STOP_MARGIN_S, 0.0),
        give_up_at=now + max(remaining_s - GIVE_UP_MARGIN_S, 0.0),
    )
