"""Scales from values to pixels, with the ticks of their axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Round steps.
_STEPS = (1.0, 2.0, 5.0, 10.0)
_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
_WANTED_TICKS = 5
_WANTED_TIMES = 8
# With a larger spread, a linear axis would show small values as a flat line.
_LOG_SPREAD = 12.0
# With more decades, ticks at 2 and 5 would crowd.
_FINE_DECADES = 3.0
_SLACK = 1e-9
# A microsecond, in ms: the resolution of all latencies.
_LEAST = 0.001


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` at `start_px` to `high` at `end_px`; values outside are clamped."""

    low: float
    high: float
    start_px: float
    end_px: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def px(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start_px + share * (self.end_px - self.start_px)


def linear(
    values: Iterable[float], start_px: float, end_px: float, *, wanted_ticks: int = _WANTED_TICKS
) -> Scale:
    """From 0 to a round number above all values."""
    highest = max(values, default=0.0)
    step = _round_step((highest if highest >= _LEAST else 1.0) / wanted_ticks)
    number = max(1, math.ceil(highest / step - _SLACK))
    return Scale(0.0, number * step, start_px, end_px, tuple(at * step for at in range(number + 1)))


def logarithmic(values: Iterable[float], start_px: float, end_px: float) -> Scale:
    """From a round number below all values to one above; values below a microsecond are clamped."""
    positive = [value for value in values if value >= _LEAST] or [1.0]
    low, high = _round_down(min(positive)), _round_up(max(positive))
    if high <= low:
        high = low * 10
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if math.log10(high / low) <= _FINE_DECADES else (1,)
    marks = (factor * 10.0**power for power in range(first, last + 1) for factor in factors)
    ticks = tuple(mark for mark in marks if low * (1 - _SLACK) <= mark <= high * (1 + _SLACK))
    return Scale(low, high, start_px, end_px, ticks, is_log=True)


def fitting(
    values: Iterable[float], start_px: float, end_px: float, *, wanted_ticks: int = _WANTED_TICKS
) -> Scale:
    """A linear axis, or a logarithmic one if the values span too much."""
    values = list(values)
    positive = [value for value in values if value >= _LEAST]
    if positive and max(positive) / min(positive) > _LOG_SPREAD:
        return logarithmic(values, start_px, end_px)
    return linear(values, start_px, end_px, wanted_ticks=wanted_ticks)


def of_time(duration_s: float, start_px: float, end_px: float) -> Scale:
    """Seconds from 0, with ticks at round times."""
    step = next(
        (step for step in _TIME_STEPS_S if duration_s / step <= _WANTED_TIMES),
        math.ceil(duration_s / _WANTED_TIMES / _TIME_STEPS_S[-1]) * _TIME_STEPS_S[-1],
    )
    ticks = tuple(float(at) for at in range(0, math.floor(duration_s) + 1, step))
    return Scale(0.0, max(duration_s, 1.0), start_px, end_px, ticks)


def of_percentiles(highest: float, start_px: float, end_px: float) -> Scale:
    """1/(1-p) on a logarithmic axis, so that each nine has the same width. `highest` is in percent."""
    nines = max(2, math.ceil(-math.log10(1 - min(highest, 99.9999) / 100) - _SLACK))
    ticks = (1.0, 2.0, *(10.0**nine for nine in range(1, nines + 1)))
    return Scale(1.0, 10.0**nines, start_px, end_px, ticks, is_log=True)


def beyond(percent: float) -> float:
    """1/(1-p) of a percentile in percent: 100 for 99."""
    return math.inf if percent >= 100 else 1 / (1 - percent / 100)  # noqa: PLR2004 - the whole in percent


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - _SLACK))


def _round_up(value: float) -> float:
    return _round_step(value)


def _round_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in reversed(_STEPS) if step * power <= value * (1 + _SLACK))
