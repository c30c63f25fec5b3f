"""How many posts a worker has under way: `groupcast.fanout.pace` for chunks of posts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast.fanout.pace import ACCOUNT_SHARE, RECENT_RESULTS

if TYPE_CHECKING:
    from groupcast.fanout.pace import Limits


class Window:
    """A worker's; it lives as long as its environment.

    The real one looks at each result, this one at those of a chunk at once. Bounds, steps and the rule are
    the same: halve where more than ACCOUNT_SHARE of the last RECENT_RESULTS were refused, then not again
    before the results of a whole window have come. It never takes a client to be slow.
    """

    __slots__ = ("_accepted", "_limits", "_refused_share", "_settle", "size")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.size = min(limits.window_start, limits.window_max)
        self._accepted = 0
        self._settle = 0
        self._refused_share = 0.0

    def results(self, posts: int, refused: int) -> None:
        """Posts ended, so many of them with a 429."""
        seen = min(posts, RECENT_RESULTS)
        before = self._refused_share * (RECENT_RESULTS - seen)
        self._refused_share = (before + refused / posts * seen) / RECENT_RESULTS
        settled = self._settle <= 0
        self._settle -= posts
        if refused and settled and self._refused_share > ACCOUNT_SHARE:
            self._settle = self.size
            self._accepted = 0
            self.size = max(self.size // 2, self._limits.window_min)
        self._accepted += posts - refused
        while self._accepted >= self.size and self.size < self._limits.window_max:
            self._accepted -= self.size
            self.size = min(self.size + self._limits.window_step, self._limits.window_max)
        self._accepted = min(self._accepted, self.size)
