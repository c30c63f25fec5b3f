"""Puts the unfinished part of a batch into queues, each group's as soon as its pass has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast.fanout.leftover import outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast.fanout.queue import Outgoing, Queue
    from groupcast.fanout.report import GroupReport

# Members that could not be read may be readable a little later.
UNREADABLE_DELAY_S = 1


class HandOver:
    """Queues leftovers for retry. `again` names the items of groups whose leftovers the queue did not take.

    `give_up_at` is a loop time in seconds.
    """

    def __init__(self, retries: Queue, give_up_at: float) -> None:
        self._retries = retries
        self._give_up_at = give_up_at
        self.again: list[str] = []

    async def take(self, report: GroupReport) -> bool:
        """Queue a group's leftovers; False where the queue did not take all of them. Never raises."""
        delay_s = UNREADABLE_DELAY_S if report.error else 0
        messages = [outgoing(leftover) for leftover in report.leftovers]
        messages += [outgoing(leftover, delay_s) for leftover in report.unread]
        if all(await self._retries.send(messages, self._give_up_at)):
            return True
        self.again += report.item_identifiers
        return False


async def save_failures(
    failures: Queue, messages: Sequence[tuple[str, Outgoing]], give_up_at: float
) -> list[str]:
    """Put messages into the failures queue; return the identifiers of those that it did not take."""
    taken = await failures.send([message for _, message in messages], give_up_at)
    return [one for (one, _), ok in zip(messages, taken, strict=True) if not ok]
