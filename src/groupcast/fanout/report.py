"""The outcomes of an invocation: counts that must add up, for metrics, the log and Lambda. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from groupcast.aws.management import PostResult
    from groupcast.fanout.leftover import Leftover
    from groupcast.slots import SlotRange

# CloudWatch takes at most 100 values of one metric in one record.
MAX_DELIVERY_SAMPLES = 100


@dataclass(slots=True)
class GroupReport:
    """One group. Each of `messages` to each of `members` is delivered, gone, refused or handed off.

    `slots` is the lane, None where connections were listed. `leftovers` name the connections that were handed
    off. `unread` are members that the pass did not come to; `error` is the reason, empty where time ran out.
    `cut_short` says that it ran out, for either. Posts that were turned away count as `throttled`, or as
    `full` where the answer named the client's buffer. `slow_closed` are connections closed because they read
    too slowly; their messages are among the gone. `gone_false` are connections that took a post after they
    had been called gone.
    """

    group_id: str
    messages: int
    item_identifiers: tuple[str, ...]
    slots: SlotRange | None = None
    members: int = 0
    pages: int = 0
    posts: int = 0
    delivered: int = 0
    gone: int = 0
    gone_false: int = 0
    refused: int = 0
    handed_off: int = 0
    throttled: int = 0
    full: int = 0
    retried: int = 0
    slow_closed: int = 0
    booked: int = 0
    budget_wait_ms: float = 0.0
    error: str = ""
    cut_short: bool = False
    refusals: dict[str, int] = field(default_factory=dict)
    leftovers: tuple[Leftover, ...] = ()
    unread: tuple[Leftover, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether anybody was served, so that fewer are left than before."""
        return self.delivered + self.gone + self.refused > 0

    @property
    def lanes(self) -> int:
        return int(self.slots is not None)

    @property
    def ranges(self) -> int:
        """Slot ranges among the unread."""
        return sum(1 for leftover in self.unread if leftover.slots is not None)

    def note_refusal(self, result: PostResult) -> None:
        self.refusals[result.reason] = self.refusals.get(result.reason, 0) + 1


@dataclass(slots=True)
class Closed:
    """The connections that were closed, and how often a close failed for which reason."""

    connection_ids: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.connection_ids)


@dataclass(slots=True)
class Report:
    """A whole batch. `delivery_ms` are samples, spread evenly, from creation to accepted post.

    `slow` are connections that were given up, each with the group that met it, `expired` those whose sign-in
    is over (they count as members of no group here); how many of both were closed, and why others were not,
    is in `closed`.
    """

    groups: list[GroupReport] = field(default_factory=list)
    delivery_ms: list[float] = field(default_factory=list)
    delivery_ms_max: float = 0.0
    window: int = 0
    slow: dict[str, GroupReport] = field(default_factory=dict)
    expired: dict[str, str] = field(default_factory=dict)
    closed: Closed = field(default_factory=Closed)
    _deliveries: int = 0
    _stride: int = 1

    def note_delivery(self, delivery_ms: float) -> None:
        """Keep every n-th; n doubles when the samples would become too many."""
        # Not max(), which costs 1,250 instructions more, for every post.
        if delivery_ms > self.delivery_ms_max:  # noqa: PLR1730
            self.delivery_ms_max = delivery_ms
        if self._deliveries % self._stride == 0:
            self.delivery_ms.append(delivery_ms)
            if len(self.delivery_ms) == MAX_DELIVERY_SAMPLES:
                del self.delivery_ms[1::2]
                self._stride *= 2
        self._deliveries += 1

    def total(self, name: str) -> Any:
        """The sum of one count over all groups."""
        return sum(getattr(group, name) for group in self.groups)

    def check(self) -> None:
        """AssertionError where a connection of a message ended in no outcome, or in two, or got lost."""
        for group in self.groups:
            ended = group.delivered + group.gone + group.refused + group.handed_off
            assert ended == group.members * group.messages, group
            assert group.handed_off == sum(leftover.owed for leftover in group.leftovers), group


@dataclass(frozen=True, slots=True)
class Rejected:
    """An item that went to the failures queue, and the reason."""

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
