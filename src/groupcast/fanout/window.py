"""How many posts may be under way, and how long to wait after one was turned away. Pure.

The window grows by a fixed step for each round of accepted posts and halves when the account is throttled
(AIMD: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from groupcast.fanout.suspects import REFUSALS_MAX, Suspects

if TYPE_CHECKING:
    from groupcast.fanout.limits import Limits
    from groupcast.fanout.suspects import Suspect

# The 429 of a throttled account and that of one client that doesn't read may be the same answer. An account
# is taken to be throttled when many different connections are turned away, not one of them often.
RECENT_RESULTS = 256
ACCOUNT_SHARE = 0.05
ACCOUNT_CONNECTIONS = 3
# So many 429s in a row of one connection tell of the account. Where others take their posts, more in a row
# tell of the connection: else many that are always turned away look like an account that is throttled.
ACCOUNT_STREAK = 4
# A client is taken to be slow when the 429s that all others get would explain its own, one after the other,
# less often than once in a million posts.
UNLIKELY = 1e-6
# With fewer results of others than this, they are no evidence of a throttled account.
EVIDENCE_RESULTS = 32


class AdaptiveWindow:
    """The size of the window of posts under way, and the slow clients, from the results of posts."""

    __slots__ = (
        "_accepted",
        "_limits",
        "_recent",
        "_settle",
        "_suspected",
        "_taken",
        "_throttled",
        "size",
        "suspects",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.size = min(limits.window_start, limits.window_max)
        self._accepted = 0
        # Results that were sent before the last cut: they say nothing of the window as it is now.
        self._settle = 0
        self._recent: deque[str | None] = deque(maxlen=RECENT_RESULTS)
        self._throttled: dict[str, int] = {}
        self.suspects = Suspects(limits)
        # Looked at after every accepted post.
        self._suspected = self.suspects.by_id
        # Posts that were taken while anybody was suspected.
        self._taken = 0

    def accepted(self, connection_id: str) -> None:
        """A post was taken."""
        if self._settle or self._throttled:
            self._note(None)
        else:
            # Nearly always: a full deque then drops None, too.
            self._recent.append(None)
        if self._suspected:
            self._suspected.pop(connection_id, None)
            self._taken += 1
        self._accepted += 1
        if self._accepted >= self.size:
            self._accepted = 0
            self.size = min(self.size + self._limits.window_step, self._limits.window_max)

    def throttled(self, connection_id: str, now: float, random: float) -> Suspect:
        """A post was answered with 429, which may be the account's; judged by the others' results.

        `now` is a loop time in seconds, and `random` uniform in 0…1, for the suspect's next try.
        """
        suspect = self.suspects.refused(connection_id, now, random, is_full=False)
        if suspect.seen == 1:
            suspect.taken_before = self._taken
        if suspect.seen > ACCOUNT_STREAK:
            if self._taken - suspect.taken_before >= EVIDENCE_RESULTS:
                self._blame(connection_id)
        else:
            self._note(connection_id)
            if self._settle == 0 and self.account_throttled:
                self._settle = self.size
                self._accepted = 0
                self.size = max(self.size // 2, self._limits.window_min)
        own = self._throttled.get(connection_id, 0)
        others = sum(self._throttled.values()) - own
        share = max(others / max(len(self._recent) - own, EVIDENCE_RESULTS), self._limits.share_floor)
        suspect.odds *= share
        if suspect.odds < UNLIKELY:
            suspect.given_up = True
        return suspect

    def full(self, connection_id: str, now: float, random: float) -> Suspect:
        """A post was answered with 429 because the client's buffer is full: the window stays as it is."""
        suspect = self.suspects.refused(connection_id, now, random, is_full=True)
        if suspect.refusals >= REFUSALS_MAX:
            suspect.given_up = True
        return suspect

    @property
    def account_throttled(self) -> bool:
        """Whether recent 429s are more, and spread wider, than slow clients explain."""
        turned_away = sum(self._throttled.values())
        return len(self._throttled) >= ACCOUNT_CONNECTIONS and turned_away > len(self._recent) * ACCOUNT_SHARE

    def delay_s(self, attempt: int, random: float) -> float:
        """Seconds before the next try after `attempt` (1, 2, …) failed; `random` is uniform in 0…1."""
        return random * min(self._limits.retry_base_s * 2.0 ** (attempt - 1), self._limits.retry_cap_s)

    def gives_up(self, attempt: int) -> bool:
        """Whether a post that failed `attempt` times, other than by a 429, is not tried again."""
        return attempt >= self._limits.attempts_max

    def _blame(self, connection_id: str) -> None:
        """Let a connection's 429s tell nothing of the account."""
        if self._throttled.pop(connection_id, 0):
            others = (one for one in self._recent if one != connection_id)
            self._recent = deque(others, maxlen=RECENT_RESULTS)

    def _note(self, throttled_connection: str | None) -> None:
        if self._settle:
            self._settle -= 1
        if len(self._recent) == RECENT_RESULTS:
            oldest = self._recent[0]
            if oldest is not None:
                self._throttled[oldest] -= 1
                if not self._throttled[oldest]:
                    del self._throttled[oldest]
        self._recent.append(throttled_connection)
        if throttled_connection is not None:
            self._throttled[throttled_connection] = self._throttled.get(throttled_connection, 0) + 1
