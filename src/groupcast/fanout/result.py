"""The results of an invocation. Pure."""

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
    """A batch that was posted. `again` are the item identifiers that Lambda is to deliver again.

    `offers` are the queue messages of a batch of DeliveryQueue, and `offer_age_ms` how long ago SQS took the
    oldest of them.
    """

    report: Report
    rejected: tuple[Rejected, ...]
    again: tuple[str, ...]
    offers: int = 0
    offer_age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """A batch of the stream that was offered to lanes; `express` messages were so before, by their senders.

    `offers` are queue messages, `untaken` those that the queue did not take; `again` is as in Result.
    """

    groups: int
    messages: int
    express: int
    offers: int
    untaken: int
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
