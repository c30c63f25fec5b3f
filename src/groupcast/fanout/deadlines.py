"""When an invocation stops. Pure."""

from __future__ import annotations

from dataclasses import dataclass

STOP_MARGIN_S = 10.0
GIVE_UP_MARGIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Loop times in seconds.

    After `stop_at` no new post is sent, after `give_up_at` no queue is waited for any more. In between, posts
    under way end (POST_TOTAL_S of the runtime, FLUSH_S of the engine) and leftovers go into queues. The
    report comes last.
    """

    stop_at: float
    give_up_at: float


def deadlines(now: float, remaining_s: float) -> Deadlines:
    """For an invocation that has `remaining_s` from the loop time `now` on."""
    return Deadlines(
        stop_at=now + max(remaining_s - STOP_MARGIN_S, 0.0),
        give_up_at=now + max(remaining_s - GIVE_UP_MARGIN_S, 0.0),
    )
