"""Messages, passes and leftovers: the open deliveries add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.experiments.simulate.retries import leftovers_of
from loadtest.experiments.simulate.work import Message, Pass, parts_of, posts_of


def test_a_message_is_done_when_its_last_member_has_it() -> None:
    message = Message(1.0, 3)
    message.received(2, 2.0)
    assert message.done_at_s is None
    message.received(1, 3.0)
    assert message.done_at_s == 3.0


def test_nobody_gets_a_message_twice() -> None:
    message = Message(0.0, 3)
    with pytest.raises(AssertionError, match="twice"):
        message.received(4, 1.0)


def test_a_pass_gives_out_its_posts_in_order() -> None:
    one = Pass([Message(0.0, 10)], 10, 10)
    assert one.take(4) == [(4, 1)]
    one.put_back(3, 2)
    assert one.take(8) == [(6, 1), (2, 2)]
    assert one.ready == 1


@given(st.integers(1, 60_000), st.integers(1, 3), st.floats(0, 1))
def test_an_unfinished_pass_owes_exactly_its_undelivered_posts(
    members: int, frames: int, done_share: float
) -> None:
    message = Message(0.0, members)
    one = Pass([message], members, members * frames)
    one.open -= min(int(one.open * done_share), one.open - 1)
    leftovers = leftovers_of(one, one.leave(1.0), 0)
    assert sum(leftover.members for leftover in leftovers) == message.missing
    assert sum(leftover.posts for leftover in leftovers) == one.open


@pytest.mark.parametrize(("messages", "posts"), [(1, 100), (97, 100), (98, 200)])
def test_messages_that_fit_one_frame_take_one_post(messages: int, posts: int) -> None:
    assert posts_of(messages, 100, 97) == posts


@given(st.integers(1, 10_000), st.integers(1, 60))
def test_parts_add_up_and_are_as_equal_as_can_be(whole: int, parts: int) -> None:
    found = parts_of(whole, parts)
    assert sum(found) == whole
    assert max(found) - min(found) <= 1
