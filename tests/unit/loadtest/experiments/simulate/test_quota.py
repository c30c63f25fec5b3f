"""The account's bucket, the budget's bookings and a worker's window, separately."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.budget import Rate
from groupcast.fanout.limits import Limits
from groupcast.fanout.window import ACCOUNT_SHARE
from loadtest.experiments.simulate.quota import Account, Budget
from loadtest.experiments.simulate.window import Window


def test_an_account_lets_its_burst_through_and_no_more() -> None:
    account = Account(1_000, 500, 0)
    assert account.take(0.0, 800) == 500
    assert account.take(0.0, 1) == 0
    assert (account.posts_accepted, account.posts_refused) == (500, 301)


def test_a_pause_fills_the_bucket_and_no_more() -> None:
    account = Account(1_000, 500, 0)
    account.take(0.0, 500)
    assert account.take(60.0, 2_000) == 500


def test_an_account_without_a_quota_takes_everything() -> None:
    assert Account(math.inf, math.inf, 100).take(1.0, 1_000_000) == 1_000_000


def test_posts_and_frames_are_refused_alike() -> None:
    account = Account(1_000, 500, 100)
    for step in range(1, 1_001):
        account.take(step / 100, 30)
    # Demand: 3,000 posts and 100 frames a second, with a quota of 1,000.
    refused_posts = account.posts_refused / (account.posts_accepted + account.posts_refused)
    assert account.inbound_refused / 1_000 == pytest.approx(refused_posts, rel=0.1)
    assert account.posts_accepted + 1_000 - account.inbound_refused == pytest.approx(10_500, rel=0.001)


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 500)), max_size=60),
    st.integers(100, 5_000),
    st.floats(0, 200),
)
def test_an_account_never_gives_more_than_its_rate_and_burst(
    steps: list[tuple[float, int]], per_second: int, inbound: float
) -> None:
    account, now = Account(per_second, per_second / 2, inbound), 0.0
    for pause, posts in steps:
        now += pause
        account.take(now, posts)
    assert account.posts_accepted <= per_second * now + per_second / 2 + 1


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 8)), min_size=1, max_size=80),
    st.integers(200, 20_000),
)
def test_booked_posts_of_any_second_stay_within_rate_and_burst(
    bookings: list[tuple[float, int]], per_second: int
) -> None:
    rate = Rate(per_second, per_second // 2)
    budget, now = Budget(rate), 0.0
    begins: list[tuple[float, int]] = []
    for pause, eighths in bookings:
        now += pause
        posts = max(1, budget.chunk_posts * eighths // 8)
        begins.append((max(now, budget.book(now, posts)), posts))
    for first, _ in begins:
        within = sum(posts for begin, posts in begins if first <= begin < first + 1)
        assert within <= rate.per_second + rate.burst


def test_workers_that_book_in_turn_share_the_budget() -> None:
    budget = Budget(Rate(1_000, 500))
    at = [0.0] * 4
    booked = [0] * 4
    while min(at) < 10:
        worker = at.index(min(at))
        # Posting takes some time, whatever the budget.
        at[worker] = max(at[worker], budget.book(at[worker], budget.chunk_posts)) + 0.001
        booked[worker] += budget.chunk_posts
    assert max(booked) - min(booked) <= budget.chunk_posts
    assert sum(booked) == pytest.approx(10_000, rel=0.1)


def test_a_window_grows_by_a_step_for_each_window_that_is_accepted() -> None:
    limits = Limits()
    window = Window(limits)
    window.results(limits.window_start, 0)
    assert window.size == limits.window_start + limits.window_step
    window.results(100_000, 0)
    assert window.size == limits.window_max


def test_a_window_halves_once_for_the_results_of_a_window() -> None:
    window = Window(Limits())
    window.results(256, 100)
    assert window.size == Limits().window_start // 2 + Limits().window_step * 3
    before = window.size
    window.results(8, 8)
    assert window.size >= before


def test_a_few_refusals_do_not_narrow_a_window() -> None:
    window = Window(Limits())
    window.results(256, math.floor(256 * ACCOUNT_SHARE))
    assert window.size > Limits().window_start


def test_a_window_never_falls_below_its_least() -> None:
    window = Window(Limits())
    for _ in range(100):
        window.results(64, 64)
    assert window.size == Limits().window_min
