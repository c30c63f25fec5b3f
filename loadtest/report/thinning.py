"""The seconds of a run, merged until a chart can show them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from loadtest.results.result import Second

if TYPE_CHECKING:
    from collections.abc import Sequence

# More points would be closer together than pixels.
MAX_POINTS = 480
_WORST = ("users", "p50", "p90", "p99", "max", "loop_lag_ms_max", "cpu")
_SUMMED = ("sent", "expected", "delivered")


@dataclass(frozen=True, slots=True)
class Row(Second):
    """One point of a chart: `seconds` seconds with the sums of their counts and the worst of the rest."""

    seconds: int = 1


def thinned(series: Sequence[Second], at_most: int = MAX_POINTS) -> list[Row]:
    """Merge seconds into at most so many rows."""
    together = max(-(-len(series) // at_most), 1)
    return [_merged(series[at : at + together]) for at in range(0, len(series), together)]


def _merged(seconds: Sequence[Second]) -> Row:
    values: dict[str, Any] = {name: sum(map(attrgetter(name), seconds)) for name in _SUMMED}
    for name in _WORST:
        known = (value for value in map(attrgetter(name), seconds) if value is not None)
        values[name] = max(known, default=None)
    return Row(t_s=seconds[0].t_s, seconds=len(seconds), **values)
