"""Whole simulations: nothing is lost, more capacity never delays, and simple cases have known answers."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import pytest

from groupcast.fanout.budget import Rate
from loadtest.errors import ScenarioError
from loadtest.experiments.simulate.delays import AWS, PROFILES, sample_s
from loadtest.experiments.simulate.setup import Setup
from loadtest.experiments.simulate.simulation import Outcome, simulate
from localcloud.hops import AWS as AWS_HOPS

# The longest hops and overheads around one message's posts.
AROUND_S = 1.5


def run(members: int, rate: float, **settings: Any) -> Outcome:
    return simulate(Setup(members, rate, **settings))


def p50_ms(outcome: Outcome) -> float:
    assert outcome.group_complete_ms_p50 is not None
    return outcome.group_complete_ms_p50


def max_s(outcome: Outcome) -> float:
    assert outcome.group_complete_ms_max is not None
    return outcome.group_complete_ms_max / 1000


@pytest.mark.parametrize(
    "setup",
    [
        Setup(10, 2, messages=100),
        Setup(3_000, 5, messages=100),
        Setup(3_000, 20, messages=200, delivery="stream", posts_per_second=0, quota_per_second=2_000),
        Setup(3_000, 20, messages=200, posts_per_second=2_500),
        Setup(45_000, 0.5, messages=30),
        Setup(30_001, 2, messages=50, cells=4),
        # Passes run out of time, and the rest goes to RetryQueue.
        Setup(30_000, 0.02, messages=20, timeout_s=11, posts_per_second=5_000),
        Setup(1_000, 2, messages=60, hops="local", quota_per_second=float("inf")),
    ],
    ids=lambda setup: f"{setup.delivery}-{setup.members}-{setup.messages_per_second:g}",
)
def test_every_message_reaches_every_member_once(setup: Setup) -> None:
    outcome = simulate(setup)
    assert outcome.unfinished == 0
    assert outcome.given_up == 0
    messages = setup.messages_measured + setup.messages_before
    # A duplicate delivery would raise AssertionError.
    assert outcome.packing * outcome.posts == pytest.approx(messages * setup.members)


def test_a_pass_that_runs_out_of_time_leaves_the_rest_to_retries() -> None:
    outcome = run(30_000, 0.02, messages=60, timeout_s=11, posts_per_second=5_000)
    assert outcome.handed_off > 0.5
    assert outcome.keeps_up


def test_posts_cannot_exceed_one_for_each_delivery() -> None:
    outcome = run(1_000, 1, messages=100)
    assert outcome.packing >= 1
    assert outcome.posts == 110_000 / outcome.packing


def test_a_seed_repeats_a_simulation_and_another_does_not() -> None:
    first, again = (run(1_000, 5, messages=100, seed=7) for _ in range(2))
    assert first == again
    assert run(1_000, 5, messages=100, seed=8).group_complete_ms_p50 != first.group_complete_ms_p50


@pytest.mark.parametrize("delivery", ["lanes", "stream"])
def test_a_higher_quota_is_never_later(delivery: str) -> None:
    late = [
        p50_ms(run(5_000, 2, messages=200, delivery=delivery, quota_per_second=quota))
        for quota in (5_000, 10_000, 20_000, 50_000)
    ]
    for lower, higher in itertools.pairwise(late):
        # The random numbers differ, but not by more.
        assert higher <= lower * 1.05


def test_more_cells_are_never_later_if_posts_are_the_bottleneck() -> None:
    late = [p50_ms(run(60_000, 0.5, messages=60, cells=cells)) for cells in (1, 2, 4)]
    assert late[2] < late[1] < late[0]


@pytest.mark.parametrize("members", [50_000, 100_000])
def test_a_single_message_takes_members_divided_by_rate(members: int) -> None:
    """A pass books `members` posts; the budget's saved burst may be posted at once."""
    rate = Rate(7_000, 3_500)
    posting_s = members / rate.per_second - rate.credit_us / 1_000_000
    outcome = run(members, 0.005, messages=3)
    assert posting_s - 0.1 <= max_s(outcome) <= posting_s + AROUND_S


def test_without_budget_and_quota_the_window_bounds_a_pass() -> None:
    delays, window = PROFILES[AWS], 256
    members = 40_000
    posting_s = members * max(delays.round_trip_s / window, delays.post_cpu_s)
    outcome = run(members, 0.02, messages=3, delivery="stream", quota_per_second=float("inf"))
    # The window begins at a quarter of its size.
    assert posting_s <= max_s(outcome) <= posting_s + AROUND_S


def test_both_deliveries_agree_for_one_message_at_a_time() -> None:
    settings: dict[str, Any] = {"messages": 3, "members_per_lane": 1_000_000}
    lanes = run(60_000, 0.01, **settings)
    stream = run(60_000, 0.01, delivery="stream", **settings)
    assert lanes.posts == stream.posts
    assert max_s(stream) == pytest.approx(max_s(lanes), abs=AROUND_S)


def test_a_quiet_small_group_is_faster_through_lanes() -> None:
    lanes = run(10, 1, messages=300)
    stream = run(10, 1, messages=300, delivery="stream")
    assert p50_ms(lanes) < 0.6 * p50_ms(stream)
    assert lanes.express == 1
    assert stream.express == 0


def test_a_quiet_group_in_the_stream_waits_as_long_as_measured_on_aws() -> None:
    delays, dice = PROFILES[AWS], random.Random(1)
    waits = sorted(
        dice.random() * delays.stream_poll_s + sample_s(delays.stream_read, dice) for _ in range(40_000)
    )
    stream = AWS_HOPS.stream
    measured = {10: stream.p10_ms, 50: stream.p50_ms, 90: stream.p90_ms, 99: stream.p99_ms}
    for percent, measured_ms in measured.items():
        assert waits[len(waits) * percent // 100] * 1000 == pytest.approx(measured_ms, rel=0.08)


def test_a_busy_group_is_faster_through_lanes() -> None:
    """By message id 12.2 s and 710,000 posts, by group 2.3 s and 440,000, within a minute."""
    stream = run(10_000, 5, messages=275, delivery="stream", posts_per_second=0)
    lanes = run(10_000, 5, messages=275)
    assert p50_ms(stream) == pytest.approx(12_200, rel=0.2)
    assert p50_ms(lanes) == pytest.approx(2_300, rel=0.2)
    assert stream.posts == pytest.approx(710_000, rel=0.1)
    assert lanes.posts == pytest.approx(440_000, rel=0.1)
    assert stream.posts_refused > 0.1
    assert lanes.posts_refused == 0


def test_ten_offers_a_batch_are_not_the_limit() -> None:
    """Thirty messages arrive per pass: over a backlog, it takes the missing ones from the log."""
    outcome = run(10_000, 20)
    assert outcome.keeps_up
    assert outcome.packing > 20
    assert outcome.repeated < 0.05
    assert p50_ms(outcome) < 3_000


def test_passes_that_outlast_their_function_fall_behind() -> None:
    """They free their lane, and the next passes post to the same members instead of filling frames."""
    short = run(200_000, 0.2, messages=200)
    long = run(200_000, 0.2, messages=200, timeout_s=300)
    assert not short.keeps_up
    assert long.keeps_up
    assert long.handed_off == 0


def test_progress_goes_up_to_the_end() -> None:
    told: list[float] = []
    simulate(Setup(100, 1, messages=20), told.append)
    assert told == sorted(told)
    assert told[-1] <= 1


@pytest.mark.parametrize(
    ("wrong", "means"),
    [
        ({"members": 1, "cells": 2}, "every cell"),
        ({"delivery": "pigeon"}, "lanes or stream"),
        ({"hops": "mars"}, "aws or local"),
        ({"messages_per_second": 0}, "messages_per_second"),
        ({"quota_per_second": -1}, "quota_per_second"),
        ({"posts_per_second": -1}, "posts_per_second"),
        ({"workers": 0}, "workers"),
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, Any], means: str) -> None:
    with pytest.raises(ScenarioError, match=means):
        Setup(**{"members": 100, "messages_per_second": 1, **wrong})


def test_a_setup_counts_client_requests_per_cell() -> None:
    one = Setup(12_000, 4)
    four = dataclasses.replace(one, cells=4)
    assert one.inbound_per_second == pytest.approx(4 + 12_000 / 510 + 2 * 12_000 / 7_200)
    assert four.inbound_per_second == pytest.approx(one.inbound_per_second / 4)
