"""Delays between retries. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: each delay is uniform between 0 and a doubling ceiling.

    The ceiling starts at `base_s` and stops at `max_s`. The full range spreads the reconnects of many clients
    that lost the same server.
    """

    base_s: float = 0.5
    max_s: float = 30.0

    def delays(self, rng: random.Random) -> Iterator[float]:
        """Yield delays in seconds, endlessly."""
        ceiling_s = self.base_s
        while True:
            yield rng.uniform(0, min(ceiling_s, self.max_s))
            ceiling_s = min(ceiling_s * 2, self.max_s)
