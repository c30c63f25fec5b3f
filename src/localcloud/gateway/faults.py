"""Faults that tests inject into `@connections`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Fault(Enum):
    """A POST's outcome instead of delivery; GONE is answered although the connection is open."""

    THROTTLE = auto()
    ERROR = auto()
    RESET = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of POSTs (0 to 1, in total at most 1) that get each fault; a `seed` fixes their sequence."""

    throttle_ratio: float = 0.0
    error_ratio: float = 0.0
    reset_ratio: float = 0.0
    gone_ratio: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        ratios = [ratio for _, ratio in self._shares]
        if min(ratios) < 0 or sum(ratios) > 1:
            raise ValueError("fault ratios must be at least 0 and add up to at most 1")

    @property
    def enabled(self) -> bool:
        return any(ratio for _, ratio in self._shares)

    def decide(self, draw: float) -> Fault | None:
        """Return the fault for a uniform draw from [0, 1); None for a normal delivery."""
        below = 0.0
        for fault, ratio in self._shares:
            below += ratio
            if draw < below:
                return fault
        return None

    @property
    def _shares(self) -> tuple[tuple[Fault, float], ...]:
        return (
            (Fault.THROTTLE, self.throttle_ratio),
            (Fault.ERROR, self.error_ratio),
            (Fault.RESET, self.reset_ratio),
            (Fault.GONE, self.gone_ratio),
        )
