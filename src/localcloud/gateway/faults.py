"""Faults that a test can ask `@connections` for, to see what a sender makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Fault(Enum):
    """What happens to a POST instead of its delivery."""

    THROTTLE = auto()
    ERROR = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of POSTs (0 to 1, together at most 1) that meet each fault; one `seed`, one sequence."""

    throttle_ratio: float = 0.0
    error_ratio: float = 0.0
    reset_ratio: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        ratios = (self.throttle_ratio, self.error_ratio, self.reset_ratio)
        if min(ratios) < 0 or sum(ratios) > 1:
            raise ValueError("fault ratios are at least 0 and together at most 1")

    @property
    def enabled(self) -> bool:
        return self.throttle_ratio + self.error_ratio + self.reset_ratio > 0

    def decide(self, draw: float) -> Fault | None:
        """Return the fault for a uniform draw from [0, 1), None for a POST that is left alone."""
        if draw < self.throttle_ratio:
            return Fault.THROTTLE
        if draw < self.throttle_ratio + self.error_ratio:
            return Fault.ERROR
        if draw < self.throttle_ratio + self.error_ratio + self.reset_ratio:
            return Fault.RESET
        return None
