from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.pace import ACCOUNT_STREAK, PATIENT, RECENT_RESULTS, Limits, Pace
from groupcast.fanout.suspects import REFUSALS_MAX

LIMITS = Limits(window_start=64, window_max=256)


def throttled(pace: Pace, connection_id: str) -> bool:
    """Whether one more 429 makes a client slow."""
    return pace.throttled(connection_id, 0.0, 1.0).given_up


def full(pace: Pace, connection_id: str) -> bool:
    """The same for a 429 that names its buffer."""
    return pace.full(connection_id, 0.0, 1.0).given_up


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
        throttled(pace, "slow=")
    assert not pace.account_throttled
    assert pace.window == LIMITS.window_max


def test_many_turned_away_halve_the_window_once_a_round() -> None:
    """What was in flight when the window was cut says nothing of the new one."""
    pace = Pace(LIMITS)
    for number in range(64):
        throttled(pace, f"connection-{number}=")
    assert pace.account_throttled
    assert pace.window == 32
    for number in range(32):
        throttled(pace, f"connection-{number}=")
    assert pace.window == 16


def streak(pace: Pace) -> int:
    """How many 429s in a row it takes for a client to be slow."""
    return next(number for number in range(1, 1000) if throttled(pace, "slow="))


def test_four_in_a_row_tell_a_slow_client() -> None:
    """Where nobody else is turned away; also where there is nobody else."""
    pace = Pace(LIMITS)
    assert streak(pace) == 4
    pace.suspects.forget(["slow="])
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
        assert not any(throttled(pace, "client=") for _ in range(3))
        pace.accepted("client=")


def test_a_throttled_account_makes_nobody_slow() -> None:
    """While everyone is turned away, one more 429 is what was to be expected."""
    pace = Pace(LIMITS)
    for _ in range(20):
        assert not any(throttled(pace, f"connection-{number}=") for number in range(64))


def test_a_slow_client_is_told_apart_on_a_throttled_account() -> None:
    """Where others are turned away three times in ten, ten in a row are bad luck, thirteen are not."""
    pace = Pace(LIMITS)
    for number in range(1000):
        if number % 10 < 3:
            throttled(pace, f"connection-{number}=")
        else:
            pace.accepted(f"connection-{number}=")
    assert 10 < streak(pace) <= 13


def test_a_full_buffer_is_not_the_account() -> None:
    """However many clients leave too much unread, the window stays as it was, and others are judged alone."""
    pace = Pace(LIMITS)
    for _ in range(REFUSALS_MAX - 1):
        assert not any(full(pace, f"connection-{number}=") for number in range(200))
    assert (pace.window, pace.account_throttled) == (LIMITS.window_start, False)
    assert streak(pace) == 4


def test_a_full_buffer_is_borne_with_so_often() -> None:
    """One that names the buffer, after any others in a row; a post that is taken ends the row."""
    pace = Pace(LIMITS)
    assert [full(pace, "slow=") for _ in range(REFUSALS_MAX)] == [False] * (REFUSALS_MAX - 1) + [True]
    for number in range(100):
        throttled(pace, f"connection-{number}=")
    for _ in range(REFUSALS_MAX):
        assert not throttled(pace, "unlucky=")
    assert full(pace, "unlucky=")
    for _ in range(3):
        assert not any(full(pace, "reads=") for _ in range(REFUSALS_MAX - 1))
        pace.accepted("reads=")


def test_those_who_are_always_turned_away_do_not_look_like_everybody() -> None:
    """Twenty to one, without a word of whose limit it was: those who read tell that it is their own."""
    pace = Pace(LIMITS)
    slow = {f"slow-{number}=" for number in range(200)}
    given_up: set[str] = set()
    refused = 0
    for _ in range(60):
        for connection_id in slow - given_up:
            refused += 1
            if throttled(pace, connection_id):
                given_up.add(connection_id)
        for number in range(10):
            pace.accepted(f"reads-{number}=")
    assert given_up == slow
    assert refused <= len(slow) * (ACCOUNT_STREAK + 5)
    assert not pace.account_throttled


def test_where_nobody_takes_a_post_nobody_is_to_blame() -> None:
    """A throttled account gives nobody up, even after earlier posts were accepted; the window stays small."""
    pace = Pace(LIMITS)
    for _ in range(RECENT_RESULTS):
        pace.accepted("other=")
    for _ in range(100):
        assert not any(throttled(pace, f"connection-{number}=") for number in range(60))
    assert pace.account_throttled
    assert pace.window == LIMITS.window_min


def test_what_other_functions_counted_is_no_evidence_of_the_account() -> None:
    """Where all that is posted to was turned away before, each one's first 429s here count as any."""
    pace = Pace(PATIENT)
    ids = [f"connection-{number}=" for number in range(100)]
    pace.suspects.recall(ids, [ACCOUNT_STREAK] * len(ids), 0.0)
    for _ in range(20):
        assert not any(throttled(pace, one) for one in ids)


def test_failures_are_given_up_after_named_attempts() -> None:
    """Other than a 429, a failure says that something is broken: somebody else shall try later."""
    assert not Pace(LIMITS).gives_up(LIMITS.attempts_max - 1)
    assert Pace(LIMITS).gives_up(LIMITS.attempts_max)


def test_an_account_recovers() -> None:
    """Old results are forgotten, and the window comes back."""
    pace = Pace(LIMITS)
    for number in range(64):
        throttled(pace, f"connection-{number}=")
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
            throttled(pace, connection_id)
        else:
            pace.accepted("other=")
        assert LIMITS.window_min <= pace.window <= LIMITS.window_max


@given(st.integers(min_value=1, max_value=40), st.floats(min_value=0, max_value=1))
def test_delays_are_bounded(attempt: int, random: float) -> None:
    """Full jitter below an exponential that has a cap."""
    assert 0 <= Pace(LIMITS).delay_s(attempt, random) <= LIMITS.retry_cap_s
