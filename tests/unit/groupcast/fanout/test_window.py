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
    """One step per window of accepted posts."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(64):
        window.accepted("other=")
    assert window.size == 64 + LIMITS.window_step


def test_one_slow_client_does_not_shrink_the_window() -> None:
    """Its refusals do not mean that the account is throttled."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(3000):
        window.accepted("other=")
        throttled(window, "slow=")
    assert not window.account_throttled
    assert window.size == LIMITS.window_max


def test_many_refusals_halve_the_window_once_a_round() -> None:
    """Posts in flight at the cut say nothing about the new window."""
    window = AdaptiveWindow(LIMITS)
    for number in range(64):
        throttled(window, f"connection-{number}=")
    assert window.account_throttled
    assert window.size == 32
    for number in range(32):
        throttled(window, f"connection-{number}=")
    assert window.size == 16


def streak(window: AdaptiveWindow) -> int:
    """The number of 429s in a row that make a client slow."""
    return next(number for number in range(1, 1000) if throttled(window, "slow="))


def test_four_refusals_in_a_row_identify_a_slow_client() -> None:
    """If nobody else is refused, or nobody else is there."""
    window = AdaptiveWindow(LIMITS)
    assert streak(window) == 4
    window.suspects.forget(["slow="])
    for _ in range(1000):
        window.accepted("other=")
    assert streak(window) == 4


def test_retries_need_nine_refusals_in_a_row() -> None:
    """There only clients with earlier trouble are posted to."""
    assert streak(AdaptiveWindow(PATIENT)) == 9


def test_an_accepted_post_ends_a_streak() -> None:
    """However long it was."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(20):
        assert not any(throttled(window, "client=") for _ in range(3))
        window.accepted("client=")


def test_a_throttled_account_makes_nobody_slow() -> None:
    """While everyone is refused, one more 429 is expected."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(20):
        assert not any(throttled(window, f"connection-{number}=") for number in range(64))


def test_a_slow_client_is_told_apart_on_a_throttled_account() -> None:
    """If others are refused three times in ten, ten in a row are chance, thirteen are not."""
    window = AdaptiveWindow(LIMITS)
    for number in range(1000):
        if number % 10 < 3:
            throttled(window, f"connection-{number}=")
        else:
            window.accepted(f"connection-{number}=")
    assert 10 < streak(window) <= 13


def test_a_full_buffer_does_not_count_for_the_account() -> None:
    """The window stays, and other clients are judged separately."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(REFUSALS_MAX - 1):
        assert not any(full(window, f"connection-{number}=") for number in range(200))
    assert (window.size, window.account_throttled) == (LIMITS.window_start, False)
    assert streak(window) == 4


def test_a_full_buffer_is_tolerated_a_limited_number_of_times() -> None:
    """A 429 that names the buffer counts after others in a row; an accepted post ends the streak."""
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


def test_permanently_refused_clients_do_not_look_like_throttling() -> None:
    """Twenty to one and without a reason: accepted posts to the readers show that it is their own fault."""
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


def test_a_fully_throttled_account_gives_nobody_up() -> None:
    """Even after earlier accepted posts; the window stays small."""
    window = AdaptiveWindow(LIMITS)
    for _ in range(RECENT_RESULTS):
        window.accepted("other=")
    for _ in range(100):
        assert not any(throttled(window, f"connection-{number}=") for number in range(60))
    assert window.account_throttled
    assert window.size == LIMITS.window_min


def test_other_functions_counts_are_no_evidence_of_throttling() -> None:
    """If all clients were refused before, their first 429s here count normally."""
    window = AdaptiveWindow(PATIENT)
    ids = [f"connection-{number}=" for number in range(100)]
    window.suspects.recall(ids, [ACCOUNT_STREAK] * len(ids), 0.0)
    for _ in range(20):
        assert not any(throttled(window, one) for one in ids)


def test_failures_are_given_up_after_a_limit() -> None:
    """Unlike a 429, a failure means a defect: another worker shall try later."""
    assert not AdaptiveWindow(LIMITS).gives_up(LIMITS.attempts_max - 1)
    assert AdaptiveWindow(LIMITS).gives_up(LIMITS.attempts_max)


def test_an_account_recovers() -> None:
    """Old results are forgotten, and the window grows again."""
    window = AdaptiveWindow(LIMITS)
    for number in range(64):
        throttled(window, f"connection-{number}=")
    for _ in range(RECENT_RESULTS * 40):
        window.accepted("other=")
    assert not window.account_throttled
    assert window.size == LIMITS.window_max


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), max_size=2000))
def test_the_window_stays_within_its_limits(results: list[str]) -> None:
    """For any results."""
    window = AdaptiveWindow(LIMITS)
    for connection_id in results:
        if connection_id:
            throttled(window, connection_id)
        else:
            window.accepted("other=")
        assert LIMITS.window_min <= window.size <= LIMITS.window_max


@given(st.integers(min_value=1, max_value=40), st.floats(min_value=0, max_value=1))
def test_delays_are_bounded(attempt: int, random: float) -> None:
    """Full jitter below a capped exponential."""
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
