"""Temporarily refused requests are repeated within the call's time, and not too fast."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from groupcast_client import Backoff, Client, ConnectionLost, Limits, ServerError
from tests.unit.groupcast_client.scripted import (
    Answer,
    Service,
    eventually,
    failing,
    never,
    scripted_service,
)
from tests.unit.groupcast_client.test_client import LIMITS, new_client, numbers, take
from tests.unit.groupcast_client.test_recovery import NEW, OLD, forbidden_until_renewed
from tests.unit.groupcast_client.test_renewal import Provider, renewals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from websockets.asyncio.server import ServerConnection


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with scripted_service() as service:
        yield service


def gateway_failing(text: str, times: int = 1) -> Answer:
    """Answer so many times with API Gateway's own error, without an id."""
    left = times

    async def answer(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        nonlocal left
        if left == 0:
            return await service.reply(socket, frame)
        left -= 1
        await socket.send(f'{{"message":"{text}","connectionId":"c=","requestId":"r"}}')
        return None

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        failing("InternalError", times=3),
        gateway_failing("Internal server error", times=3),
        gateway_failing("Too Many Requests", times=3),
    ],
    ids=["function", "gateway", "throttled"],
)
async def test_a_send_that_failed_is_repeated_under_its_id(service: Service, answer: Answer) -> None:
    """A crashed function or an account over its quota only costs time."""
    service.answers["sendMessage"] = answer
    async with new_client(service) as client:
        await client.join("g")
        assert (await client.send("hello")).seq == 1
        assert [message.text for message in await take(client, 1)] == ["hello"]
    assert len(service.asked("sendMessage")) == 4
    assert len({frame["messageId"] for frame in service.asked("sendMessage")}) == 1
    assert len(service.paths) == 1


async def test_a_send_that_keeps_failing_is_raised_in_time(service: Service) -> None:
    """The caller gets the service's own error, and the attempts slow down."""
    service.answers["sendMessage"] = failing("InternalError", times=1_000)
    errors: list[Exception] = []
    async with new_client(service, limits=Limits(call_timeout_s=0.48)) as client:
        await client.join("g")
        # An attempt that begins just before the end gets no answer and another error.
        while len(errors) < 5 and not any(isinstance(error, ServerError) for error in errors):
            async with asyncio.timeout(5):
                with pytest.raises((ServerError, ConnectionLost)) as caught:
                    await client.send("hello")
            errors.append(caught.value)
    assert "InternalError" in repr(errors[-1])
    # With at most 0.05 s between them, on average 0.025 s.
    assert 5 <= len(service.asked("sendMessage")) / len(errors) <= 100


async def test_a_message_that_keeps_failing_delays_no_other(service: Service) -> None:
    """Only that message is repeated."""

    async def fail_one(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        if frame["message"] == "bad":
            return await failing("InternalError")(service, socket, frame)
        return await service.reply(socket, frame)

    service.answers["sendMessage"] = fail_one
    async with new_client(service) as client:
        await client.join("g")
        bad = asyncio.create_task(client.send("bad"))
        await eventually(lambda: len(service.asked("sendMessage")) > 1)
        await client.send("good")
        assert not bad.done()
        bad.cancel()
        await asyncio.wait([bad])


async def test_a_gateway_error_is_assigned_among_other_requests(service: Service) -> None:
    """It has no id, but the answers to the others reveal its request."""

    async def crash_once(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> None:
        del service.answers["sendMessage"]
        # The request before this one is answered after the error.
        (history,) = service.asked("history")
        await socket.send('{"message":"Internal server error","connectionId":"c=","requestId":"r"}')
        await socket.send(
            f'{{"type":"history","groupId":"g","messages":[],"complete":true,"id":"{history["id"]}"}}'
        )

    service.answers["sendMessage"] = crash_once
    async with new_client(service, limits=Limits(gap_wait_s=100)) as client:
        await client.join("g")
        service.answers["history"] = never
        reading = asyncio.create_task(client.history(since=0))
        await eventually(lambda: bool(service.asked("history")))
        assert (await client.send("hello")).seq == 1
        assert (await reading).messages == ()
    assert len(service.paths) == 1


@pytest.mark.parametrize("fields", [{"retryAfterMs": 20}, {}], ids=["told", "not told"])
@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("joinGroup", lambda client: client.join("g")),
        ("leaveGroup", lambda client: client.leave()),
        ("history", lambda client: client.history(since=0)),
        ("renew", lambda client: client.renew("d.e.f")),
    ],
)
async def test_every_limited_call_is_retried(
    service: Service,
    action: str,
    call: Callable[[Client], Awaitable[Any]],
    fields: dict[str, Any],
) -> None:
    """After the service's delay or a backoff, on the same connection; sends continue."""
    limits = Limits(gap_wait_s=100, call_timeout_s=20)
    async with new_client(service, limits=limits, token="a.b.c") as client:
        await client.join("g")
        before = len(service.asked(action))
        service.answers[action] = failing("RateLimited", times=2, **fields)
        await call(client)
    assert len(service.asked(action)) - before == 3
    assert len(service.paths) == 1


async def test_a_limited_ping_is_repeated_after_its_delay(service: Service) -> None:
    """Not after the whole interval."""
    service.answers["ping"] = failing("RateLimited", retryAfterMs=10)
    async with new_client(service, limits=Limits(ping_interval_s=0.5, gap_wait_s=100)) as client:
        await client.join("g")
        clock = asyncio.get_running_loop()
        await eventually(lambda: len(service.asked("ping")) == 1)
        first_at = clock.time()
        await eventually(lambda: len(service.asked("ping")) == 2)
        assert clock.time() - first_at < 0.4
        assert (await client.send("hello")).seq == 1


async def test_a_limited_rejoin_stays_on_its_connection(service: Service) -> None:
    """A new connection would cost the service more. Calls that wait for the group are answered afterwards."""
    async with new_client(service) as client:
        await client.join("g")
        service.members.clear()
        service.answers["sendMessage"] = failing("NotInGroup")
        service.answers["joinGroup"] = failing("RateLimited", times=3, retryAfterMs=10)
        assert (await client.send("hello")).seq == 1
    assert len(service.asked("joinGroup")) == 5
    assert len(service.paths) == 1


async def test_a_limited_rejoin_delays_no_other_group(service: Service) -> None:
    """A client that moves on gets the other group's messages without gaps."""
    limits = Limits(gap_wait_s=0.01, call_timeout_s=20)
    async with new_client(service, limits=limits, token="a.b.c") as client:
        await client.join("g")
        service.answers["joinGroup"] = failing("RateLimited", retryAfterMs=15_000)
        service.members.clear()
        # The answer names no group, so the client rejoins.
        await client.renew("d.e.f")
        await eventually(lambda: len(service.asked("joinGroup")) == 2)
        await client.join("other")
        service.grow(2)
        # The scripted service has one log, so its answers go to the group joined last.
        assert await numbers(client, 2) == [1, 2]


async def test_a_limited_renewal_does_not_make_the_client_give_up(service: Service) -> None:
    """A Forbidden message waits for it and is sent with the fresher token."""
    service.answers["sendMessage"] = forbidden_until_renewed
    service.answers["renew"] = failing("RateLimited", times=2, retryAfterMs=10)

    async def forbidden_until_taken(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        if len(service.asked("renew")) < 3:
            return await failing("Forbidden")(service, socket, frame)
        return await service.reply(socket, frame)

    service.answers["sendMessage"] = forbidden_until_taken
    async with new_client(service, token=Provider(OLD, NEW)) as client:
        await client.join("g")
        assert (await client.send("hello")).seq == 1
    assert renewals(service) == [NEW] * 3


async def test_a_limited_history_is_repeated_after_its_delay(service: Service) -> None:
    """A gap waits as long, and the connection is kept."""
    async with new_client(service, limits=Limits(gap_wait_s=0.01, call_timeout_s=20)) as client:
        await client.join("g")
        await eventually(lambda: len(service.asked("history")) == 1)
        service.answers["history"] = failing("RateLimited", retryAfterMs=200)
        service.grow(2)
        clock = asyncio.get_running_loop()
        pushed_at = clock.time()
        await service.push([2])
        assert await numbers(client, 2) == [1, 2]
        assert clock.time() - pushed_at >= 0.2
    assert len(service.paths) == 1


async def test_a_message_that_ends_every_connection_is_slowed_down(service: Service) -> None:
    """Reconnecting does not bypass the backoff, whatever the peer dislikes."""

    async def drop(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> None:
        await service.drop()

    service.answers["sendMessage"] = drop
    limits = Limits(gap_wait_s=100, call_timeout_s=1.5)
    backoff = Backoff(base_s=0.05, max_s=3)
    async with Client(service.url, limits=limits, backoff=backoff, rng=random.Random(1)) as client:
        await client.join("g")
        with pytest.raises(ConnectionLost, match="no answer"):
            await client.send("hello")
    # Waits of up to 0.05 s, 0.1 s, 0.2 s …; with 0.05 s each, there would be about 60.
    assert len(service.paths) <= 15


async def test_voids_are_not_delivered(service: Service) -> None:
    """Later messages are delivered at once, without a history request."""
    service.grow(3)
    service.log[1] = {"seq": 2, "void": True}
    async with new_client(service, limits=Limits(gap_wait_s=100)) as client:
        await client.join("g", since=0)
        service.grow(3)
        service.log[4] = {"seq": 5, "void": True}
        await service.push([6])
        await service.push([5])
        await service.push([4])
        assert await numbers(client, 4) == [1, 3, 4, 6]
        page = await client.history(since=3)
        assert [message.seq for message in page.messages] == [4, 6]
        assert [entry.seq for entry in page.entries] == [4, 5, 6]
    assert len(service.asked("history")) == 1


async def test_the_same_id_from_another_user_is_another_message(service: Service) -> None:
    """The number identifies it, and the users differ."""
    service.grow(2)
    service.log[0]["userId"] = "u1"
    service.log[1] |= {"userId": "u2", "messageId": service.log[0]["messageId"]}
    async with new_client(service, limits=LIMITS) as client:
        await client.join("g", since=0)
        got = await take(client, 2)
    assert [(message.seq, message.user_id) for message in got] == [(1, "u1"), (2, "u2")]


async def test_many_members_ask_rarely_about_a_hole_and_spread_out(service: Service) -> None:
    """Each asks a few times at most, and the last requests are as spread out as the first."""
    members, limits = 20, Limits(gap_wait_s=0.05, hole_timeout_s=1.0)
    clock = asyncio.get_running_loop()
    asked_at: list[float] = []

    async def note(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> dict[str, Any]:
        asked_at.append(clock.time())
        # Number 1 was never written.
        return {"type": "history", "groupId": "g", "messages": service.log[1:], "complete": True}

    async with AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(Client(service.url, limits=limits, rng=random.Random(seed)))
            for seed in range(members)
        ]
        await asyncio.gather(*[client.join("g") for client in clients])
        # Each has asked once after joining.
        await eventually(lambda: len(service.asked("history")) == members)
        service.answers["history"] = note
        service.grow(2)
        started_at = clock.time()
        await service.push([2])
        assert await asyncio.gather(*[numbers(client, 1) for client in clients]) == [[2]] * members
    last_at = [at for at in asked_at if at - started_at >= limits.hole_timeout_s]
    assert len(asked_at) <= members * (limits.gap_requests + 1)
    assert len(last_at) == members
    # Between 1 and 1.25 times the timeout, and never so many within a tenth of that.
    assert max(last_at) - min(last_at) > 0.1
    assert max(sum(at <= other < at + 0.025 for other in last_at) for at in last_at) < members / 2
