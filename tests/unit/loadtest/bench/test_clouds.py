"""A run on a local cloud, evaluated as a measurement."""

from __future__ import annotations

import random

import pytest

from loadtest.bench import neighbour, order, saturated
from loadtest.bench.clouds import Measurement, check, difference, known, pooled
from loadtest.bench.interrupted import frames_of
from loadtest.bench.pairs import BrokenError, NotMeasuredError
from loadtest.results.histogram import Histogram
from loadtest.results.result import Metric, Result
from tests.unit.loadtest import made_up


def a_result(**changes: object) -> Result:
    return made_up.result(**changes)  # type: ignore[arg-type]


def a_measurement(scale: float, posts: int, posts_refused: int = 0, frames_refused: int = 0) -> Measurement:
    counts = {
        "posts": {"accepted": posts, "refused": posts_refused},
        "frames": {"accepted": 100, "refused": frames_refused},
    }
    return Measurement(a_result(scale=scale), counts)


def a_metric(values_ms: list[int]) -> Metric:
    histogram = Histogram()
    for value in values_ms:
        histogram.record(value * 1000)
    return Metric.of(histogram)


def test_a_lost_delivery_is_not_blamed_on_the_harness() -> None:
    """A run without a valid measurement is repeated; one with losses is not."""
    check(a_result())
    with pytest.raises(NotMeasuredError, match="too slow"):
        check(a_result(status="not measured", reasons=("too slow",)))
    with pytest.raises(BrokenError, match="3 of"):
        check(a_result(lost=3))


def test_a_value_of_too_few_samples_is_not_measured() -> None:
    """Even a median."""
    assert known(1.5, "p50") == 1.5
    with pytest.raises(NotMeasuredError, match="p99"):
        known(None, "p99")


def test_requests_are_counted_between_two_readings() -> None:
    """By kind and outcome."""
    before = {"posts": {"accepted": 5, "refused": 1}}
    after = {"posts": {"accepted": 12, "refused": 1}}
    assert difference(after, before) == {"posts": {"accepted": 7, "refused": 0}}


def test_pooled_runs_are_one_distribution() -> None:
    """Together they have enough samples for a p99 that no single run has."""
    dice = random.Random(1)
    values = [dice.randint(1, 900) for _ in range(2000)]
    parts = [values[start : start + 500] for start in range(0, 2000, 500)]
    metrics = [a_metric(part) for part in parts]
    assert all(metric.p99 is None for metric in metrics)
    assert pooled(metrics).percentile(99) == pytest.approx(a_metric(values).p99, abs=0.001)
    assert pooled([a_metric([])]).count == 0


def test_rows_of_the_saturated_group() -> None:
    """Ratios are within a round; one refused frame in one round misses the target."""
    rounds = [
        (a_measurement(1, 60, frames_refused=number == 2), a_measurement(4, 100), a_measurement(1.2, 70))
        for number in range(3)
    ]
    complete, posts, frames, refused, fast = saturated.rows("x", rounds)
    assert complete.ratio == pytest.approx(0.25, rel=0.02)
    assert (posts.ratio, posts.met) == (0.6, True)
    assert (frames.ratio, frames.met) == (1, False)
    assert (refused.ratio, refused.met) == (0, True)
    assert fast.ratio == pytest.approx(1.2, rel=0.02)


def test_the_share_of_refused_posts_counts_all_posts() -> None:
    """Accepted and refused."""
    assert a_measurement(1, 99, posts_refused=1).posts_refused_ratio == 0.01


def test_messages_of_one_body_are_one_frame() -> None:
    """A message's last timeline line counts; messages of one body share their first post."""
    lines = [("a", 1), ("b", 1), ("c", 2), ("c", 2), ("d", 3)]
    timeline = [{"messageId": name, "first_post_ns": first_ns} for name, first_ns in lines]
    assert frames_of(timeline) == 3


def test_the_small_groups_bound_depends_on_its_time_alone() -> None:
    """1.5 times its time alone, plus 50 ms."""
    assert neighbour.bound_ms(100) == 200


@pytest.mark.parametrize("rate", order.RATES)
def test_every_rate_has_the_same_number_of_messages(rate: float) -> None:
    """Low rates have more groups, so that each run has enough messages for one percent."""
    scenario = order.scenario(rate, 0)
    assert scenario.rate / scenario.groups == rate
    assert scenario.users == scenario.groups * order.MEMBERS
    assert scenario.rate * scenario.duration_s >= 200
