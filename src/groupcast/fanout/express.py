"""Express: the sender offers its message to the lanes itself, without waiting for the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast.fanout import offers

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast.fanout.queue import Queue
    from groupcast.tables.items import StoredMessage

# The sender's acknowledgement waits for no more than this.
OFFER_TIMEOUT_S = 1.0
# After a failure messages are left to the stream for so long: an outage of SQS costs one sender in a while.
PAUSE_S = 5.0
# A message is rarely offered later than this after its sender began to number it: the next one, of another
# sender, waits for so long, or it would often go first.
TURN_MS = 30


class Express:
    """Offers messages. `on_failure` is told of a message that was not taken: the stream offers it again."""

    def __init__(
        self, delivery: Queue, *, loop_time: Callable[[], float], on_failure: Callable[[str], None]
    ) -> None:
        self._delivery = delivery
        self._loop_time = loop_time
        self._on_failure = on_failure
        self._paused_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether offers are worth a try."""
        return self._loop_time() >= self._paused_until

    @staticmethod
    def turn_s(moved_at_ms: int, now_ms: int) -> float:
        """How long to hold an offer back (s), so that the message before it goes first. Pure.

        That one's sender began to number it at `moved_at_ms`, by a clock that may be ahead of ours.
        """
        return min(max(moved_at_ms + TURN_MS - now_ms, 0), TURN_MS) / 1000

    async def offer(self, stored: StoredMessage) -> None:
        """Offer a stored message to all lanes of its group. Never raises."""
        made = offers.outgoing([stored.message], stored.audience)
        if not all(await self._delivery.send(made, self._loop_time() + OFFER_TIMEOUT_S)):
            self._paused_until = self._loop_time() + PAUSE_S
            self._on_failure(stored.message.key)
