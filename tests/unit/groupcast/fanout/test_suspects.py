from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.leftover import CONNECTIONS_MAX
from groupcast.fanout.limits import Limits
from groupcast.fanout.queue import BATCH_ENTRIES_MAX
from groupcast.fanout.retries import DELAY_MAX_S
from groupcast.fanout.suspects import REFUSALS_MAX, STREAK_S, SUSPECTS_MAX, Suspects

LIMITS = Limits(retry_base_s=0.1, full_base_s=1.0, refusal_cap_s=8.0)


def refuse(suspects: Suspects, connection_id: str, now: float = 0.0) -> float:
    """Refuse a post; return the time of the next try, with the longest jitter."""
    return suspects.refused(connection_id, now, 1.0, is_full=True).due


def test_each_refusal_doubles_the_delay() -> None:
    """Up to the cap, of which at least half is used."""
    suspects = Suspects(LIMITS)
    assert [refuse(suspects, "a=") for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert suspects.refused("a=", 0.0, 0.0, is_full=True).due == 4.0
    assert suspects.refused("b=", 0.0, 1.0, is_full=False).due == LIMITS.retry_base_s


def test_a_suspect_gets_one_post_at_a_time() -> None:
    """None before it is due, then one until its answer or its timeout."""
    suspects = Suspects(LIMITS)
    refuse(suspects, "a=")
    assert suspects.may_post("b=", 0.0)
    assert [suspects.may_post("a=", now) for now in (0.9, 1.0, 1.1, 1.9, 2.0)] == [0, 1, 0, 0, 1]


def test_only_suspects_are_skipped() -> None:
    """Others keep their order; a due suspect is among them, once."""
    suspects = Suspects(LIMITS)
    assert suspects.part(["a=", "b="], 0.0) == (["a=", "b="], ())
    refuse(suspects, "b=")
    refuse(suspects, "c=", 5.0)
    assert suspects.part(["a=", "b=", "c=", "d="], 5.0) == (["a=", "b=", "d="], ["c="])
    assert suspects.part(["b=", "d="], 5.0) == (["d="], ["b="])


def test_a_given_up_connection_gets_no_posts_until_its_close_fails() -> None:
    """Then one post when due, and one more refusal is enough; once closed it is forgotten."""
    suspects = Suspects(LIMITS)
    due = [refuse(suspects, "a=") for _ in range(REFUSALS_MAX + 2)][-1]
    suspects.by_id["a="].given_up = True
    assert not suspects.may_post("a=", 1e9)
    suspects.reprieve(["a=", "never seen"])
    assert [suspects.may_post("a=", now) for now in (due - 0.1, due)] == [False, True]
    assert suspects.counts(["a="]) == (REFUSALS_MAX - 1,)
    suspects.forget(["a=", "never seen"])
    assert suspects.by_id == {}


def test_counts_travel_with_leftovers() -> None:
    """The higher count stands, and nobody is given up without a post."""
    here, there = Suspects(LIMITS), Suspects(LIMITS)
    assert here.counts(("a=", "b=")) == ()
    for _ in range(3):
        refuse(here, "a=")
    for _ in range(REFUSALS_MAX + 5):
        refuse(here, "b=")
    refuse(there, "a=")
    ids = ("a=", "b=", "c=")
    there.recall(ids, here.counts(ids), 0.0)
    assert there.counts(ids) == (3, REFUSALS_MAX - 1, 0)
    assert here.counts(("c=",)) == ()


def test_remembered_suspects_are_bounded() -> None:
    """The oldest makes room, but never one of the current batch of leftovers."""
    suspects = Suspects(LIMITS)
    for number in range(SUSPECTS_MAX + 1):
        refuse(suspects, f"{number}=")
    assert len(suspects.by_id) == SUSPECTS_MAX
    assert "0=" not in suspects.by_id
    assert SUSPECTS_MAX >= CONNECTIONS_MAX * BATCH_ENTRIES_MAX
    suspects.recall(["1="], [1], 0.0)
    refuse(suspects, "one more=")
    assert "1=" in suspects.by_id
    assert "2=" not in suspects.by_id


def test_a_streak_ends_some_time_after_its_last_refusal() -> None:
    """Another function's later count starts a new one; younger streaks continue."""
    suspects = Suspects(LIMITS)
    for connection_id, now in (("a=", 0.0), ("b=", 0.0), ("c=", 1.0), ("b=", 2.0)):
        refuse(suspects, connection_id, now)
    suspects.expire(STREAK_S - 0.1)
    assert suspects.counts(("a=", "b=", "c=")) == (1, 2, 1)
    suspects.recall(("a=", "c="), (0, 3), STREAK_S)
    assert suspects.counts(("a=", "b=", "c=")) == (0, 2, 3)
    suspects.recall(("b=", "c="), (1, 1), STREAK_S + 2.0)
    assert suspects.counts(("b=", "c=")) == (1, 3)
    assert STREAK_S > DELAY_MAX_S


@given(st.integers(min_value=1, max_value=2000), st.floats(min_value=0, max_value=1))
def test_waits_are_bounded(refusals: int, random: float) -> None:
    """For any number of refusals, here or elsewhere."""
    suspects = Suspects(LIMITS)
    suspects.recall(["a="], [refusals], 0.0)
    assert 0 < suspects.refused("a=", 0.0, random, is_full=False).due <= LIMITS.refusal_cap_s
