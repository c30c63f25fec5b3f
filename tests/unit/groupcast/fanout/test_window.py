from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.limits import PATIENT, Limits
from groupcast.fanout.suspects import REFUSALS_MAX
from groupcast.fanout.window import ACCOUNT_STREAK, RECENT_RESULTS, AdaptiveWindow

LIMITS = Limits(window_start=64, window_max=256)


def throttled(window: AdaptiveWindow, connection_id: str) -> bool:
    """Whether one more 429 makes a client slow."""
    return window.throttled(connection_id, 0.0, 1.0).given_up


def full(window: AdaptiveWindow, connection_id: str) -> bool:
    """The same for a 429 that names its buffer."""
    return window.full(connection_id, 0.0, 1.0).given_up


def test_the_window_grows_by_a_step_a_round() -> None:
    """One step after as many accepted posts as the window holds."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(64):
        window.accepted("other=")
    assert window.size == 64 + LIMITS.window_step


def test_one_slow_client_does_not_shrink_the_window() -> None:
    """However often one connection is turned away, the account is not throttled."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(3000):
        window.accepted("other=")
        throttled(window, "slow=")
    assert not window.account_throttled
    assert window.size == LIMITS.window_max


def test_many_turned_away_halve_the_window_once_a_round() -> None:
    """What was in flight when the window was cut says nothing of the new one."""
    window = AdaptiveWindow(LIMITS)
    for number in range(64):
        throttled(window, f"connection-{number}=")
    assert window.account_throttled
    assert window.size == 32
    for number in range(32):
        throttled(window, f"connection-{number}=")
    assert window.size == 16


def streak(window: AdaptiveWindow) -> int:
    """How many 429s in a row it takes for a client to be slow."""
    return next(number for number in range(1, 1000) if throttled(window, "slow="))


def test_four_in_a_row_tell_a_slow_client() -> None:
    """Where nobody else is turned away; also where there is nobody else."""
    window = AdaptiveWindow(LIMITS)
    assert streak(window) == 4
    window.suspects.forget(["slow="])
    for _ in range(1000):
        window.accepted("other=")
    assert streak(window) == 4


def test_patience_asks_for_more() -> None:
    """Nine in a row, where only those are met who had trouble already."""
    assert streak(AdaptiveWindow(PATIENT)) == 9


def test_a_streak_ends_with_a_post_that_is_taken() -> None:
    """However many it met before."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(20):
        assert not any(throttled(window, "client=") for _ in range(3))
        window.accepted("client=")


def test_a_throttled_account_makes_nobody_slow() -> None:
    """While everyone is turned away, one more 429 is what was to be expected."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(20):
        assert not any(throttled(window, f"connection-{number}=") for number in range(64))


def test_a_slow_client_is_told_apart_on_a_throttled_account() -> None:
    """Where others are turned away three times in ten, ten in a row are bad luck, thirteen are not."""
    window = AdaptiveWindow(LIMITS)
    for number in range(1000):
        if number % 10 < 3:
            throttled(window, f"connection-{number}=")
        else:
            window.accepted(f"connection-{number}=")
    assert 10 < streak(window) <= 13


def test_a_full_buffer_is_not_the_account() -> None:
    """However many clients leave too much unread, the window stays as it was, and others are judged alone."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(REFUSALS_MAX - 1):
        assert not any(full(window, f"connection-{number}=") for number in range(200))
    assert (window.size, window.account_throttled) == (LIMITS.window_start, False)
    assert streak(window) == 4


def test_a_full_buffer_is_borne_with_so_often() -> None:
    """One that names the buffer, after any others in a row; a post that is taken ends the row."""
    window = AdaptiveWindow(LIMITS)
    assert [full(window, "slow=") for _ in range(REFUSALS_MAX)] == [False] * (REFUSALS_MAX - 1) + [True]
    for number in range(100):
        throttled(window, f"connection-{number}=")
    for _ in range(REFUSALS_MAX):
        assert not throttled(window, "unlucky=")
    assert full(window, "unlucky=")
    for _ in range(3):
        assert not any(full(window, "reads=") for _ in range(REFUSALS_MAX - 1))
        window.accepted("reads=")


def test_those_who_are_always_turned_away_do_not_look_like_everybody() -> None:
    """Twenty to one, without a word of whose limit it was: those who read tell that it is their own."""
    window = AdaptiveWindow(LIMITS)
    slow = {f"slow-{number}=" for number in range(200)}
    given_up: set[str] = set()
    refused = 0
    for _ in range(60):
        for connection_id in slow - given_up:
            refused += 1
            if throttled(window, connection_id):
                given_up.add(connection_id)
        for number in range(10):
            window.accepted(f"reads-{number}=")
    assert given_up == slow
    assert refused <= len(slow) * (ACCOUNT_STREAK + 5)
    assert not window.account_throttled


def test_where_nobody_takes_a_post_nobody_is_to_blame() -> None:
    """A throttled account gives nobody up, even after earlier posts were accepted; the window stays small."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(RECENT_RESULTS):
        window.accepted("other=")
    for _ in range(100):
        assert not any(throttled(window, f"connection-{number}=") for number in range(60))
    assert window.account_throttled
    assert window.size == LIMITS.window_min


def test_what_other_functions_counted_is_no_evidence_of_the_account() -> None:
    """Where all that is posted to was turned away before, each one's first 429s here count as any."""
    window = AdaptiveWindow(PATIENT)
    ids = [f"connection-{number}=" for number in range(100)]
    window.suspects.recall(ids, [ACCOUNT_STREAK] * len(ids), 0.0)
    for _ in range(20):
        assert not any(throttled(window, one) for one in ids)


def test_failures_are_given_up_after_named_attempts() -> None:
    """Other than a 429, a failure says that something is broken: somebody else shall try later."""
    assert not AdaptiveWindow(LIMITS).gives_up(LIMITS.attempts_max - 1)
    assert AdaptiveWindow(LIMITS).gives_up(LIMITS.attempts_max)


def test_an_account_recovers() -> None:
    """Old results are forgotten, and the window comes back."""
    window = AdaptiveWindow(LIMITS)
    for number in range(64):
        throttled(window, f"connection-{number}=")
    for _ in range(RECENT_RESULTS * 40):
        window.accepted("other=")
    assert not window.account_throttled
    assert window.size == LIMITS.window_max


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), max_size=2000))
def test_the_window_stays_within_its_limits(results: list[str]) -> None:
    """Whatever comes, the window is neither closed nor larger than allowed."""
    window = AdaptiveWindow(LIMITS)
    for connection_id in results:
        if connection_id:
            throttled(window, connection_id)
        else:
            window.accepted("other=")
        assert LIMITS.window_min <= window.size <= LIMITS.window_max


@given(st.integers(min_value=1, max_value=40), st.floats(min_value=0, max_value=1))
def test_delays_are_bounded(attempt: int, random: float) -> None:
    """Full jitter below an exponential that has a cap."""
    assert 0 <= AdaptiveWindow(LIMITS).delay_s(attempt, random) <= LIMITS.retry_cap_s


def test_three_connections_turned_away_tell_of_the_account() -> None:
    """Two may both be slow."""
    window = AdaptiveWindow(LIMITS)
    seen = []
    for number in range(3):
        throttled(window, f"connection-{number}=")
        seen.append(window.account_throttled)
    assert seen == [False, False, True]
    assert window.size == LIMITS.window_start // 2


def test_delays_double_up_to_the_cap() -> None:
    """`random` takes a part of it."""
    window = AdaptiveWindow(Limits(retry_base_s=0.025, retry_cap_s=0.25))
    assert [window.delay_s(attempt, 1.0) for attempt in range(1, 6)] == [0.025, 0.05, 0.1, 0.2, 0.25]
    assert window.delay_s(3, 0.5) == 0.05
