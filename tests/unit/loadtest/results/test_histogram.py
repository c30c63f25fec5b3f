"""The histogram compared with sorted lists."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.results.histogram import PRECISION, SAMPLES_BEYOND, Histogram, bounds_us, rank_of

MICROSECONDS = st.integers(0, 3_600_000_000)
PERCENTS = (0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9)


def recorded(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(MICROSECONDS, min_size=1, max_size=300))
def test_percentiles_are_a_sorted_lists(values: list[int]) -> None:
    """A percentile is the value at its rank, within the precision; None with too few samples beyond."""
    found = recorded(values).percentiles(PERCENTS)
    for percent, value in zip(PERCENTS, found, strict=True):
        rank = rank_of(percent, len(values))
        if len(values) - rank < SAMPLES_BEYOND:
            assert value is None
        else:
            true_ms = sorted(values)[rank - 1] / 1000
            assert value == pytest.approx(true_ms, rel=PRECISION, abs=0.0005)


@given(st.lists(MICROSECONDS, max_size=100), st.lists(MICROSECONDS, max_size=100))
def test_merging_equals_recording_all(first: list[int], second: list[int]) -> None:
    """Merging, with JSON in between, gives the histogram of all values."""
    merged = Histogram.from_dict(recorded(first).to_dict())
    merged.merge(Histogram.from_dict(recorded(second).to_dict()))
    assert merged.to_dict() == recorded(first + second).to_dict()


@given(MICROSECONDS)
def test_every_value_is_in_a_bucket_of_its_precision(value: int) -> None:
    (index,) = recorded([value]).counts
    low, width = bounds_us(index)
    assert low <= value < low + width
    assert width == 1 or width / low <= PRECISION


@given(st.lists(MICROSECONDS, min_size=1, max_size=200))
def test_extremes_and_mean_are_exact(values: list[int]) -> None:
    """They come from the values, not from buckets."""
    histogram = recorded(values)
    assert histogram.min_ms == min(values) / 1000
    assert histogram.max_ms == max(values) / 1000
    assert histogram.mean_ms == pytest.approx(math.fsum(values) / len(values) / 1000)


@given(st.lists(MICROSECONDS, min_size=11, max_size=2000))
def test_curves_rise_and_end_where_samples_do(values: list[int]) -> None:
    """Percentiles and values only rise, and the last point has enough samples beyond it."""
    curve = recorded(values).curve()
    assert curve == sorted(curve)
    assert curve[0][0] == 0
    assert len(values) - rank_of(curve[-1][0], len(values)) >= SAMPLES_BEYOND


def test_a_percentile_appears_with_its_tenth_sample_beyond() -> None:
    """p99 needs 1,000 samples, p50 needs 20."""
    assert recorded([1] * 999).percentile(99) is None
    assert recorded([1] * 1000).percentile(99) == 0.001
    assert recorded([1] * 19).percentile(50) is None
    assert recorded([1] * 20).percentile(50) == 0.001


def test_an_empty_histogram_has_no_numbers() -> None:
    empty = Histogram()
    assert (empty.min_ms, empty.max_ms, empty.mean_ms, empty.percentile(50)) == (None, None, None, None)
    assert empty.curve() == []


def test_a_value_below_zero_is_zero() -> None:
    """A receipt stamped before its message was due took no time."""
    assert recorded([-5]).min_ms == 0
