"""Connections whose last posts were all turned away: when each is tried again or given up. Pure.

An environment remembers them from one invocation to the next, and leftovers carry their counts to the retry
function. Once REFUSALS_MAX posts in a row were turned away and the last answer named the client's buffer, the
connection gets no more posts from this run, and is closed for all. Where the close fails, it gets one more
post when that is due, and is judged anew: after another answer that names the buffer it is given up again.

Environments do not know of each other's refusals. So a connection costs at most REFUSALS_MAX refused posts
in each environment that meets it before one of them closes it: those that serve its lane one after the other,
and at most ten of the retry function (`maximumConcurrency`). With one of each, and the counts that leftovers
carry, that is less than 2 * REFUSALS_MAX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from groupcast.fanout.limits import Limits

# In a row, also over frames, invocations and hand-offs; with the waits between them it takes 1.3 to 2.5
# seconds in a busy group, and 18 in a quiet one. Not more than the tries of a leftover.
REFUSALS_MAX = 6
# What a full client is owed waits for so long in RetryQueue: by then it reads again, or the lane of a busy
# group has closed it, and the retry function does not post to it at all.
FULL_DELAY_S = 3
# A streak ends this long after its last refusal. A leftover waits less between its tries.
STREAK_S = 120.0
# While there are so few suspects, bad luck is likelier than an attack: they are tried again soon.
FEW = 20
# More than a batch of RetryQueue can name, since their counts must last until its end. The oldest are
# forgotten first.
SUSPECTS_MAX = 8192


@dataclass(slots=True)
class Suspect:
    """One connection. `refusals` counts 429s in a row, `seen` those of them that this environment has met.

    The last one was at the loop time `refused_at`, and `is_full` says that it named the client's buffer.
    `taken_before` counts others' posts when this environment met the first. `odds` is how likely they are of
    a client that reads. Before the loop time `due` it is left alone. `given_up`: it gets no more posts, and
    is closed when the run ends.
    """

    refusals: int = 0
    refused_at: float = 0.0
    seen: int = 0
    taken_before: int = 0
    is_full: bool = False
    odds: float = 1.0
    due: float = 0.0
    given_up: bool = False


class Suspects:
    """Connections refused since their last accepted post.

    `by_id` is for reading, and ordered by the time of the last refusal. Times are loop times in seconds.
    """

    __slots__ = ("_limits", "by_id")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.by_id: dict[str, Suspect] = {}

    def refused(self, connection_id: str, now: float, random: float, *, is_full: bool) -> Suspect:
        """Count a 429, and put the next try off for longer than the last; `random` is uniform in 0…1."""
        suspect = self.by_id.pop(connection_id, None) or Suspect()
        suspect.refusals += 1
        suspect.seen += 1
        suspect.is_full = is_full
        suspect.due = now + self._backoff_s(suspect, random)
        self._remember(connection_id, suspect, now)
        return suspect

    def recall(self, connection_ids: Sequence[str], refusals: Iterable[int], now: float) -> None:
        """Adopt another function's refusal counts of connections; 0 means not suspected."""
        self.expire(now)
        for connection_id, count in zip(connection_ids, refusals, strict=True):
            # Only a refusal that is seen here gives anybody up.
            known = min(count, REFUSALS_MAX - 1)
            if known:
                suspect = self.by_id.pop(connection_id, None) or Suspect()
                suspect.refusals = max(suspect.refusals, known)
                self._remember(connection_id, suspect, now)

    def expire(self, now: float) -> None:
        """Forget the streaks that are over."""
        while self.by_id:
            oldest = next(iter(self.by_id))
            if self.by_id[oldest].refused_at > now - STREAK_S:
                break
            del self.by_id[oldest]

    def counts(self, connection_ids: Iterable[str]) -> tuple[int, ...]:
        """The refusals of each connection, for `recall` elsewhere; empty where all took their posts."""
        if not self.by_id:
            return ()
        found = tuple(
            0 if (suspect := self.by_id.get(one)) is None else suspect.refusals for one in connection_ids
        )
        return found if any(found) else ()

    def part(self, connection_ids: Sequence[str], now: float) -> tuple[Sequence[str], Sequence[str]]:
        """Those to post to now, and those to leave alone."""
        if self.by_id.keys().isdisjoint(connection_ids):
            return connection_ids, ()
        held = [one for one in connection_ids if not self.may_post(one, now)]
        left_alone = frozenset(held)
        return [one for one in connection_ids if one not in left_alone], held

    def may_post(self, connection_id: str, now: float) -> bool:
        """Whether a connection may be posted to now.

        A suspect gets one post at a time: others that wait for it look again when this one has its answer.
        """
        suspect = self.by_id.get(connection_id)
        if suspect is None:
            return True
        if suspect.given_up or now < suspect.due:
            return False
        suspect.due = now + self._backoff_s(suspect, 1.0)
        return True

    def reprieve(self, connection_ids: Iterable[str]) -> None:
        """Judge connections anew that were given up and are still open: one may have begun to read."""
        for connection_id in connection_ids:
            if (suspect := self.by_id.get(connection_id)) is not None:
                suspect.given_up = False
                suspect.refusals = min(suspect.refusals, REFUSALS_MAX - 1)
                suspect.odds = 1.0

    def forget(self, connection_ids: Iterable[str]) -> None:
        """Connections that are closed."""
        for connection_id in connection_ids:
            self.by_id.pop(connection_id, None)

    def _backoff_s(self, suspect: Suspect, random: float) -> float:
        # Half of it is fixed, so that a streak takes the time that a client needs to catch up.
        base_s = self._limits.full_base_s if suspect.is_full else self._limits.retry_base_s
        longest_s = base_s * 2.0 ** min(suspect.refusals - 1, REFUSALS_MAX)
        is_rare = len(self.by_id) <= FEW and not suspect.is_full
        cap_s = self._limits.retry_cap_s if is_rare else self._limits.refusal_cap_s
        return (0.5 + 0.5 * random) * min(longest_s, cap_s)

    def _remember(self, connection_id: str, suspect: Suspect, now: float) -> None:
        suspect.refused_at = now
        self.by_id[connection_id] = suspect
        if len(self.by_id) > SUSPECTS_MAX:
            del self.by_id[next(iter(self.by_id))]
