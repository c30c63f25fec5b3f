"""The wait between two attempts at a call."""

from __future__ import annotations

import asyncio
import random
from math import inf


async def back_off(failed_attempts: int, base_s: float, cap_s: float = inf) -> None:
    """Sleep before the next attempt; before the first (0 have failed) not at all.

    Full jitter: uniform between 0 and a ceiling that doubles from `base_s` to `cap_s` (AWS Architecture Blog,
    "Exponential Backoff And Jitter", 2015).
    """
    if failed_attempts:
        await asyncio.sleep(random.uniform(0, min(base_s * 2.0**failed_attempts, cap_s)))  # noqa: S311
