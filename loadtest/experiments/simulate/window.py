"""The window of concurrent posts: `groupcast.fanout.window` for chunks of posts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast.fanout.window import ACCOUNT_SHARE, RECENT_RESULTS

if TYPE_CHECKING:
    from groupcast.fanout.limits import Limits


class Window:
    """The window of a worker; it lives as long as its environment.

    The real one handles single results, this one the results of a chunk. Bounds, steps and the rule are the
    same: halve if more than ACCOUNT_SHARE of the last RECENT_RESULTS were refused, and not again before a
    whole window of results. This one never judges a client to be slow.
    """

    __slots__ = ("_accepted", "_limits", "_refused_share", "_settle", "size")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.size = min(limits.window_start, limits.window_max)
        self._accepted = 0
        self._settle = 0
        self._refused_share = 0.0

    def results(self, posts: int, refused: int) -> None:
        """Record the end of posts, `refused` of them with 429."""
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
