"""Assigning answers, errors without id, and the connection's end to requests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from groupcast_client import Ack, ConnectionLost, ServerError, TooLarge
from groupcast_client.outstanding import Outstanding, Request

ACK = Ack("m", "g", 1, datetime(2025, 1, 1, tzinfo=UTC))


def failure(number: int) -> ServerError:
    return ServerError("InternalError", f"error {number}")


@pytest.fixture
async def requests() -> Outstanding:
    return Outstanding()


def outcomes(*asked: Request) -> list[str]:
    """The outcome of each request: an error's text, "ack", or "open"."""
    return [
        "open" if not one.reply.done() else str(one.reply.exception() or "ack").rpartition(": ")[2]
        for one in asked
    ]


async def test_an_error_without_id_fails_the_only_request(requests: Outstanding) -> None:
    one = requests.add()
    requests.answer(None, failure(1))
    assert outcomes(one) == ["error 1"]


async def test_an_error_without_id_belongs_to_the_unanswered_request(
    requests: Outstanding,
) -> None:
    """Not to answered ones, nor to requests made after it."""
    one, two, three = requests.add(), requests.add(), requests.add()
    requests.answer(None, failure(1))
    later = requests.add()
    requests.answer("1", ACK)
    assert outcomes(one, two, three, later) == ["ack", "open", "open", "open"]
    requests.answer("3", ACK)
    assert outcomes(one, two, three, later) == ["ack", "error 1", "ack", "open"]


async def test_as_many_errors_as_unanswered_requests_are_assigned(requests: Outstanding) -> None:
    """Errors from different times are distinguished as far as the answers allow."""
    one, two = requests.add(), requests.add()
    requests.answer(None, failure(1))
    three = requests.add()
    requests.answer(None, failure(2))
    assert outcomes(one, two, three) == ["open"] * 3
    requests.answer("2", ACK)
    assert outcomes(one, two, three) == ["error 1", "ack", "error 2"]


async def test_an_unassignable_error_is_forgotten(requests: Outstanding) -> None:
    """It does not fail a later request."""
    requests.answer(None, failure(1))
    one, two = requests.add(), requests.add()
    requests.answer(None, failure(2))
    requests.answer("1", ACK)
    requests.answer("2", ACK)
    three = requests.add()
    requests.answer("7", ACK)
    # The second error was the second request's, which was still answered later.
    assert outcomes(one, two, three) == ["ack", "error 2", "open"]


async def test_a_frame_that_closed_the_connection_is_too_large(requests: Outstanding) -> None:
    """It is the largest unanswered one; the others may be sent again."""
    small, large, other, answered = (requests.add() for _ in range(4))
    for request, size in ((small, 50), (large, 40_000), (other, 39_999), (answered, 90_000)):
        request.size_bytes = size
    requests.answer("4", ACK)
    requests.end(is_too_large=True)
    with pytest.raises(TooLarge, match="40,000 bytes"):
        await large.reply
    for request in (small, other):
        with pytest.raises(ConnectionLost):
            await request.reply
    assert await answered.reply == ACK


async def test_a_cancelled_calls_frame_blames_no_other_request(requests: Outstanding) -> None:
    """A ping is not too large because of an abandoned message."""
    large, ping, equal = requests.add(), requests.add(), requests.add()
    large.size_bytes, ping.size_bytes, equal.size_bytes = 40_000, 50, 40_000
    requests.drop(large)
    requests.end(is_too_large=True)
    for request in (ping, equal):
        with pytest.raises(ConnectionLost):
            await request.reply


async def test_an_error_may_belong_to_a_cancelled_call(
    requests: Outstanding, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails no other request, and a late answer is expected and removes its request."""
    one, two, three = requests.add(), requests.add(), requests.add()
    for request in (one, two, three):
        request.size_bytes = 50
    requests.drop(one)
    requests.drop(two)
    requests.answer(None, failure(1))
    requests.answer("1", ACK)
    assert outcomes(three) == ["open"]
    requests.answer("3", ACK)
    assert outcomes(three) == ["ack"]
    assert caplog.messages == []
    four = requests.add()
    requests.answer(None, failure(2))
    assert outcomes(four) == ["error 2"]


async def test_a_request_that_was_never_sent_gets_no_errors(requests: Outstanding) -> None:
    """No answer to it will come."""
    unsent, sent = requests.add(), requests.add()
    requests.drop(unsent)
    requests.answer(None, failure(1))
    assert outcomes(sent) == ["error 1"]


async def test_many_requests_and_errors_are_assigned_quickly(requests: Outstanding) -> None:
    """A thousand concurrent requests, every second one throttled."""
    asked = [requests.add() for _ in range(1_000)]
    started_at = asyncio.get_running_loop().time()
    for _ in asked[::2]:
        requests.answer(None, failure(1))
    for one in asked[1::2]:
        requests.answer(str(one.id), ACK)
    assert outcomes(*asked) == ["error 1", "ack"] * 500
    assert asyncio.get_running_loop().time() - started_at < 5
