"""A pass that meets a backlog also takes the messages behind its offers, from the group's log. Pure.

A batch of a FIFO queue holds ten offers, however many wait. Where more than ten come in a pass, the lane
would fall behind without end. So a pass over a deep backlog reads on in the log, and notes which messages it
has taken from there. Their own offers, which still wait in the queue, are skipped when they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.fanout.budget import SMALL_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from groupcast.model import Message
    from groupcast.tables.items import StoredMessage

# So many offers of one lane in a batch, which holds ten at most, are a backlog.
BACKLOG_OFFERS = 8
# Messages of the log that one pass takes: as many as ten full offers hold.
LOG_MESSAGES_MAX = 1_000
# After a pass that took more than this from the log, skipping their offers, ten a batch, takes longer than
# the stream, which packs them.
BUSY_TAKEN = 40
# A small group's offers are a backlog only when they are as old as this: ten can come within one slow hop.
# Messages of a busy group overtake each other, since the stream has several lanes.
SMALL_BEHIND_MS = 2_000


@dataclass(frozen=True, slots=True)
class Served:
    """The messages that a lane's passes took from the log: those whose seq is from `first` to `last`."""

    first: int
    last: int

    def __contains__(self, seq: int) -> bool:
        return self.first <= seq <= self.last


def unserved(messages: Mapping[int, Message], served: Served | None) -> dict[int, Message]:
    """The messages, by seq, that no pass took from the log."""
    return {seq: message for seq, message in messages.items() if served is None or seq not in served}


def log_start(offered: Iterable[int], served: Served | None) -> int | None:
    """The seq behind which the log is read on, None where it must not be; `offered` are at least one.

    Offers overtake each other a little. The messages behind a late one were served before it.
    """
    last = max(offered)
    if served is None or last > served.last:
        return last
    return served.last if last in served else None


def behind(start: int, log: Iterable[StoredMessage], lanes: int) -> dict[int, Message]:
    """The messages of the log, by seq, that follow `start` without a gap and are offered to as many lanes.

    A gap may be a message that is just being stored: it and what follows it come with their own offers.
    Those of a message that has other lanes have other slots: they would not be known as served.
    """
    found: dict[int, Message] = {}
    expected = start + 1
    for stored in sorted(log, key=lambda one: one.message.seq):
        if stored.message.seq != expected or stored.audience.lanes != lanes:
            break
        found[expected] = stored.message
        expected += 1
    return found


def is_behind(members: int, offers: int, taken: int, offer_age_ms: float) -> bool:
    """Whether a lane falls so far behind that the stream had better offer the group's messages.

    `offers` came in its batch, the oldest `offer_age_ms` old; `taken` messages came from the log.
    """
    if members > SMALL_MEMBERS:
        return taken > BUSY_TAKEN
    return offers >= BACKLOG_OFFERS and offer_age_ms >= SMALL_BEHIND_MS


def served_by(offered: Mapping[int, Message], taken: Mapping[int, Message], before: Served | None) -> Served:
    """What is served when `taken` were delivered beside `offered`; at least one was taken.

    Of two stretches with unserved messages between them only the later is kept: the offers of the earlier
    have mostly come by then, and a message that comes twice does no harm.
    """
    first, last = min(taken), max(taken)
    if before is not None and all(seq in offered for seq in range(before.last + 1, first)):
        first = min(first, before.first)
    return Served(first, last)
