from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.pace import PATIENT, RECENT_RESULTS, SUSPECTS_MAX, Limits, Pace

LIMITS = Limits(window_start=64, window_max=256)


def test_the_window_grows_by_a_step_a_round() -> None:
    """One step after as many accepted posts as the window holds."""
    pace = Pace(LIMITS)
    for _ in range(64):
        pace.accepted("other=")
    assert pace.window == 64 + LIMITS.window_step


def test_one_slow_client_does_not_shrink_the_window() -> None:
    """However often one connection is turned away, the account is not throttled."""
    pace = Pace(LIMITS)
    for _ in range(3000):
        pace.accepted("other=")
        pace.throttled("slow=")
    assert not pace.account_throttled
    assert pace.window == LIMITS.window_max


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


def streak(pace: Pace) -> int:
    """How many 429s in a row it takes for a client to be slow."""
    return next(number for number in range(1, 1000) if pace.throttled("slow="))


def test_four_in_a_row_tell_a_slow_client() -> None:
    """Where nobody else is turned away; also where there is nobody else."""
    pace = Pace(LIMITS)
    assert streak(pace) == 4
    for _ in range(1000):
        pace.accepted("other=")
    assert streak(pace) == 4


def test_patience_asks_for_more() -> None:
    """Nine in a row, where only those are met who had trouble already."""
    assert streak(Pace(PATIENT)) == 9


def test_a_streak_ends_with_a_post_that_is_taken() -> None:
    """However many it met before."""
    pace = Pace(LIMITS)
    for _ in range(20):
        assert not any(pace.throttled("client=") for _ in range(3))
        pace.accepted("client=")


def test_a_throttled_account_makes_nobody_slow() -> None:
    """While everyone is turned away, one more 429 is what was to be expected."""
    pace = Pace(LIMITS)
    for _ in range(20):
        assert not any(pace.throttled(f"connection-{number}=") for number in range(64))


def test_a_slow_client_is_told_apart_on_a_throttled_account() -> None:
    """Where others are turned away three times in ten, ten in a row are bad luck, thirteen are not."""
    pace = Pace(LIMITS)
    for number in range(1000):
        if number % 10 < 3:
            pace.throttled(f"connection-{number}=")
        else:
            pace.accepted(f"connection-{number}=")
    assert 10 < streak(pace) <= 13


def test_suspects_are_remembered_in_a_bounded_number() -> None:
    """The oldest is forgotten for one more."""
    pace = Pace(LIMITS)
    assert not any(pace.throttled("first=") for _ in range(3))
    for number in range(SUSPECTS_MAX):
        pace.throttled(f"connection-{number}=")
    assert not any(pace.throttled("first=") for _ in range(3))


def test_failures_are_given_up_after_named_attempts() -> None:
    """Other than a 429, a failure says that something is broken: somebody else shall try later."""
    assert not Pace(LIMITS).gives_up(LIMITS.attempts_max - 1)
    assert Pace(LIMITS).gives_up(LIMITS.attempts_max)


def test_an_account_recovers() -> None:
    """Old results are forgotten, and the window comes back."""
    pace = Pace(LIMITS)
    for number in range(64):
        pace.throttled(f"connection-{number}=")
    for _ in range(RECENT_RESULTS * 40):
        pace.accepted("other=")
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
            pace.accepted("other=")
        assert LIMITS.window_min <= pace.window <= LIMITS.window_max


@given(st.integers(min_value=1, max_value=40), st.floats(min_value=0, max_value=1))
def test_delays_are_bounded(attempt: int, random: float) -> None:
    """Full jitter below an exponential that has a cap."""
    assert 0 <= Pace(LIMITS).delay_s(attempt, random) <= LIMITS.retry_cap_s
