from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.pace import RECENT_RESULTS, Limits, Pace

LIMITS = Limits(window_start=64, window_max=256)


def test_the_window_grows_by_a_step_a_round() -> None:
    """One step after as many accepted posts as the window holds."""
    pace = Pace(LIMITS)
    for _ in range(64):
        pace.accepted()
    assert pace.window == 64 + LIMITS.window_step


def test_one_slow_client_does_not_shrink_the_window() -> None:
    """However often one connection is turned away, the account is not throttled."""
    pace = Pace(LIMITS)
    for _ in range(3000):
        pace.accepted()
        pace.throttled("slow=")
    assert not pace.account_throttled
    assert pace.window == LIMITS.window_max
    assert pace.gives_up(LIMITS.slow_attempts_max, throttled=True)


def test_many_turned_away_halve_the_window_once_a_round() -> None:
    """What was in flight when the window was cut says nothing of the new one."""
    pace = Pace(LIMITS)
    for number in range(64):
        pace.throttled(f"connection-{number}=")
    assert pace.account_throttled
    assert pace.window == 32
    for number in range(32):
        pace.throttled(f"connection-{number}=")
    assert pace.window == 16


def test_a_throttled_account_does_not_make_clients_slow() -> None:
    """While the account is throttled, nobody is given up for a 429."""
    pace = Pace(LIMITS)
    for number in range(64):
        pace.throttled(f"connection-{number}=")
    assert not pace.gives_up(LIMITS.slow_attempts_max * 10, throttled=True)
    assert pace.gives_up(LIMITS.attempts_max, throttled=False)


def test_an_account_recovers() -> None:
    """Old results are forgotten, and the window comes back."""
    pace = Pace(LIMITS)
    for number in range(64):
        pace.throttled(f"connection-{number}=")
    for _ in range(RECENT_RESULTS * 40):
        pace.accepted()
    assert not pace.account_throttled
    assert pace.window == LIMITS.window_max


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), max_size=2000))
def test_the_window_stays_within_its_limits(results: list[str]) -> None:
    """Whatever comes, the window is neither closed nor larger than allowed."""
    pace = Pace(LIMITS)
    for connection_id in results:
        if connection_id:
            pace.throttled(connection_id)
        else:
            pace.accepted()
        assert LIMITS.window_min <= pace.window <= LIMITS.window_max


@given(st.integers(min_value=1, max_value=40), st.floats(min_value=0, max_value=1))
def test_delays_are_bounded(attempt: int, random: float) -> None:
    """Full jitter below an exponential that has a cap."""
    assert 0 <= Pace(LIMITS).delay_s(attempt, random) <= LIMITS.retry_cap_s
