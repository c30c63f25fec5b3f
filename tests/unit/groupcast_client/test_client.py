"""Client against a real server on a loopback port that drops, duplicates, reorders, refuses and hangs."""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest
import uvloop

from groupcast_client import (
    Backoff,
    Client,
    ConnectionLost,
    GroupcastError,
    Limits,
    Message,
    Refused,
    ServerError,
)
from tests.unit.groupcast_client.scripted import (
    Service,
    error,
    eventually,
    failing,
    never,
    scripted_service,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection

# Short if a test waits for it on purpose, long if waiting would be a failure.
LIMITS = Limits(gap_wait_s=0.01, hole_timeout_s=0.1, reply_timeout_s=10, call_timeout_s=20)
SOON = Backoff(base_s=0.01, max_s=0.05)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with scripted_service() as service:
        yield service


def new_client(service: Service, *, limits: Limits = LIMITS, **settings: Any) -> Client:
    # A seed makes the run repeatable.
    return Client(service.url, limits=limits, backoff=SOON, rng=random.Random(1), **settings)


async def take(client: Client, count: int) -> list[Message]:
    """Read exactly `count` messages."""
    taken: list[Message] = []
    if count:
        async for message in client.messages():
            taken.append(message)
            if len(taken) == count:
                break
    return taken


async def numbers(client: Client, count: int) -> list[int]:
    return [message.seq for message in await take(client, count)]


async def test_a_message_is_acknowledged_and_comes_back(service: Service) -> None:
    """The sender gets the ack and, like every member, the push, with the same id and number."""
    async with new_client(service, name="ann") as client:
        assert await client.join("g") == 0
        ack = await client.send("안녕하세요")
        (message,) = await take(client, 1)
    assert (message.message_id, message.seq, message.text) == (ack.message_id, ack.seq, "안녕하세요")
    assert message.created_at == ack.created_at
    assert service.paths == ["/?name=ann"]


async def test_order_is_restored_and_duplicates_are_dropped(service: Service) -> None:
    service.grow(6)
    async with new_client(service) as client:
        await client.join("g", since=6)
        service.grow(4)
        await service.push([8, 9])
        await service.push([7, 8])
        await service.push([10])
        await service.push([10, 7])
        service.grow(1)
        await service.push([11])
        assert await numbers(client, 5) == [7, 8, 9, 10, 11]


async def test_a_lost_push_is_fetched(service: Service) -> None:
    """From history, page by page."""
    async with new_client(service, limits=Limits(gap_wait_s=0.01, history_page=2)) as client:
        await client.join("g")
        service.grow(6)
        await service.push([6])
        assert await numbers(client, 6) == [1, 2, 3, 4, 5, 6]
    assert {frame["limit"] for frame in service.asked("history")} == {2}


async def test_the_first_message_after_joining_is_found_without_its_push(service: Service) -> None:
    """A push that missed the new member leaves no gap, but is still found."""
    async with new_client(service) as client:
        await client.join("g")
        service.grow(1)
        assert await numbers(client, 1) == [1]


async def test_a_failing_history_is_asked_again(service: Service) -> None:
    """An error frame does not end the search."""
    service.answers["history"] = failing("RateLimited", times=2)
    async with new_client(service) as client:
        await client.join("g")
        service.grow(2)
        await service.push([2])
        assert await numbers(client, 2) == [1, 2]


async def test_a_backlog_comes_first(service: Service) -> None:
    """A newcomer that asks for the last messages gets them before new ones."""
    service.grow(10)
    async with new_client(service) as client:
        assert await client.join("g", backlog=3) == 10
        service.grow(1)
        await service.push([11])
        assert await numbers(client, 4) == [8, 9, 10, 11]


async def test_a_dropped_connection_is_resumed(service: Service) -> None:
    """Messages missed meanwhile arrive between earlier and later ones."""
    async with new_client(service) as client:
        await client.join("g")
        service.grow(2)
        await service.push([1, 2])
        assert await numbers(client, 2) == [1, 2]
        await service.drop()
        service.grow(3)
        assert await numbers(client, 3) == [3, 4, 5]
    assert [frame.get("since") for frame in service.asked("joinGroup")] == [None, 2]


async def test_a_send_is_repeated_after_a_drop_and_stored_once(service: Service) -> None:
    """A connection lost between storing and the ack does no harm: the id is the same."""

    async def store_and_drop(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        service.write(frame["message"], frame["messageId"])
        del service.answers["sendMessage"]
        await service.drop()
        return None

    service.answers["sendMessage"] = store_and_drop
    async with new_client(service) as client:
        await client.join("g")
        ack = await client.send("once")
        assert [message.text for message in await take(client, 1)] == ["once"]
    assert len(service.log) == 1
    assert [frame["messageId"] for frame in service.asked("sendMessage")] == [ack.message_id] * 2


async def test_silence_is_a_dead_connection(service: Service) -> None:
    """An unanswered request is repeated on a new connection."""

    async def silent_once(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> None:
        del service.answers["sendMessage"]

    service.answers["sendMessage"] = silent_once
    async with new_client(service, limits=Limits(reply_timeout_s=0.5)) as client:
        await client.join("g")
        assert (await client.send("hello")).seq == 1
    assert len(service.paths) > 1


async def test_a_call_without_an_ack_fails_in_time(service: Service) -> None:
    service.answers["sendMessage"] = never
    async with new_client(service, limits=Limits(reply_timeout_s=0.4, call_timeout_s=1.2)) as client:
        await client.join("g")
        with pytest.raises(ConnectionLost, match=r"1\.2 s"):
            await client.send("hello")
    assert len({frame["messageId"] for frame in service.asked("sendMessage")}) == 1


async def test_an_error_frame_is_raised(service: Service) -> None:
    """The caller gets the code, the sentence and the request id, and the next call works."""
    service.answers["sendMessage"] = failing("TooLarge")
    async with new_client(service) as client:
        await client.join("g")
        with pytest.raises(ServerError) as caught:
            await client.send("hello")
        assert (caught.value.code, caught.value.message) == ("TooLarge", "said TooLarge")
        assert caught.value.request_id == "r-1"
        assert (await client.send("hello")).seq == 1


async def test_a_rate_limited_send_is_retried(service: Service) -> None:
    """After the named delay, and before the next message."""
    service.answers["sendMessage"] = failing("RateLimited", times=2, retryAfterMs=20)
    async with new_client(service) as client:
        await client.join("g")
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        ack = await client.send("one")
        assert loop.time() - started_at >= 0.04
        await client.send("two")
    assert [frame["message"] for frame in service.asked("sendMessage")] == ["one", "one", "one", "two"]
    assert {frame["messageId"] for frame in service.asked("sendMessage")[:3]} == {ack.message_id}


async def test_many_limited_sends_queue_up(service: Service) -> None:
    """All are stored, and waiting ones do not flood the service."""
    total, interval_s = 20, 0.005
    loop = asyncio.get_running_loop()
    free_at = 0.0

    async def one_at_a_time(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        nonlocal free_at
        wait_s = free_at - loop.time()
        if wait_s > 0:
            return error("RateLimited", retryAfterMs=math.ceil(wait_s * 1_000))
        free_at = loop.time() + interval_s
        return await service.reply(socket, frame)

    service.answers["sendMessage"] = one_at_a_time
    async with new_client(service) as client:
        await client.join("g")
        await asyncio.gather(*[client.send(f"text {number}") for number in range(total)])
    assert len(service.log) == total
    # Once at first, once in turn, once after the wait. All at once would be half of 20 times 20.
    assert len(service.asked("sendMessage")) <= 4 * total


async def test_a_limit_that_outlasts_the_call_is_raised(service: Service) -> None:
    """The caller decides whether to wait longer than the call's time."""
    service.answers["sendMessage"] = failing("RateLimited", retryAfterMs=60_000)
    async with new_client(service) as client:
        await client.join("g")
        with pytest.raises(ServerError, match="RateLimited") as caught:
            await client.send("hello")
        assert caught.value.retry_after_ms == 60_000
    assert len(service.asked("sendMessage")) == 1


async def test_only_sends_wait_for_limited_sends(service: Service) -> None:
    """Other requests are answered while a limited send has no answer yet."""
    waiting: list[tuple[ServerConnection, dict[str, Any]]] = []

    async def limit_and_wait(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        waiting.append((socket, frame))
        return error("RateLimited", retryAfterMs=1) if len(waiting) == 1 else None

    service.answers["sendMessage"] = limit_and_wait
    async with new_client(service, token="a.b.c") as client:
        await client.join("g")
        sending = asyncio.create_task(client.send("hello"))
        await eventually(lambda: len(waiting) == 2)
        await client.history(since=0)
        await client.renew("d.e.f")
        assert not sending.done()
        socket, frame = waiting[1]
        reply = await service.reply(socket, frame)
        await socket.send(orjson.dumps({**(reply or {}), "id": frame["id"]}).decode())
        assert (await sending).seq == 1


async def test_a_send_that_times_out_in_the_queue_is_rate_limited(service: Service) -> None:
    """The one before it has no answer and fails with a lost connection."""
    waiting: list[tuple[ServerConnection, dict[str, Any]]] = []

    async def limit_the_later_first(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        waiting.append((socket, frame))
        for one, asked in reversed(waiting) if len(waiting) == 2 else ():
            limited = error("RateLimited", retryAfterMs=1)
            await one.send(orjson.dumps({**limited, "id": asked["id"]}).decode())
        return None

    service.answers["sendMessage"] = limit_the_later_first
    async with new_client(service, limits=Limits(call_timeout_s=0.3)) as client:
        await client.join("g")
        earlier = asyncio.create_task(client.send("earlier"))
        await eventually(lambda: len(waiting) == 1)
        # The two calls' times do not end together.
        await asyncio.sleep(0.05)
        later = asyncio.create_task(client.send("later"))
        with pytest.raises(ServerError, match="RateLimited"):
            await earlier
        with pytest.raises(ConnectionLost, match="no answer"):
            await later
    assert [frame["message"] for _, frame in waiting] == ["earlier", "later", "later"]


async def test_a_forgotten_membership_is_renewed_by_a_send(service: Service) -> None:
    """After NotInGroup the client rejoins from its position, and the send succeeds."""
    async with new_client(service) as client:
        await client.join("g")
        await client.send("one")
        assert await numbers(client, 1) == [1]
        service.members.clear()
        service.answers["sendMessage"] = failing("NotInGroup")
        assert (await client.send("two")).seq == 2
    assert [frame.get("since") for frame in service.asked("joinGroup")] == [None, 1]


async def test_a_forgotten_membership_is_renewed_by_a_ping(service: Service) -> None:
    """A pong without a group makes the client rejoin."""
    async with new_client(service, limits=Limits(ping_interval_s=0.02)) as client:
        await client.join("g")
        service.members.clear()
        await eventually(lambda: len(service.asked("joinGroup")) == 2)
        service.grow(1)
        await eventually(lambda: bool(service.members))
        await service.push([1])
        assert await numbers(client, 1) == [1]


async def test_a_connection_that_the_service_has_forgotten_is_replaced(service: Service) -> None:
    """Its item was removed while the socket lived: the client reconnects and loses nothing."""
    async with new_client(service, limits=Limits(ping_interval_s=0.02)) as client:
        await client.join("g")
        service.grow(1)
        await service.push([1])
        assert await numbers(client, 1) == [1]
        service.answers["joinGroup"] = failing("Conflict")
        service.members.clear()
        service.grow(2)
        assert await numbers(client, 2) == [2, 3]
    assert [frame.get("since") for frame in service.asked("joinGroup")] == [None, 1, 1]
    assert len(service.paths) == 2


async def test_a_stale_pong_changes_nothing(service: Service) -> None:
    """Its read is eventually consistent: a last number behind the log is neither a reset nor a gap."""

    async def stale(_service: Service, _socket: ServerConnection, _frame: dict[str, Any]) -> dict[str, Any]:
        return {"type": "pong", "groupId": "g", "lastSeq": 1}

    service.answers["ping"] = stale
    async with new_client(service, limits=Limits(gap_wait_s=0.01, ping_interval_s=0.02)) as client:
        await client.join("g")
        for number in range(1, 4):
            await client.send(f"text {number}")
        assert await numbers(client, 3) == [1, 2, 3]
        asked = len(service.asked("ping"))
        await eventually(lambda: len(service.asked("ping")) >= asked + 3)
        looks = len(service.asked("history"))
        await client.send("text 4")
        assert await numbers(client, 1) == [4]
    assert len(service.asked("joinGroup")) == 1
    # The history request after a join.
    assert looks == 1


async def test_an_error_for_a_ping_is_a_sign_of_life(service: Service) -> None:
    """An occasional failure of the function ends neither client nor connection."""
    service.answers["ping"] = failing("InternalError")
    async with new_client(service, limits=Limits(ping_interval_s=0.02)) as client:
        await client.join("g")
        await eventually(lambda: len(service.asked("ping")) >= 2)
        assert (await client.send("hello")).seq == 1
    assert len(service.paths) == 1


async def test_a_rejoin_that_is_refused_ends_the_client(service: Service) -> None:
    """Readers and callers get the same error, and nobody waits for the group in vain."""
    async with new_client(service) as client:
        await client.join("g")
        service.answers["sendMessage"] = failing("NotInGroup")
        service.answers["joinGroup"] = failing("Forbidden")
        with pytest.raises(ServerError, match="Forbidden"):
            await client.send("hello")
        with pytest.raises(ServerError, match="Forbidden"):
            await take(client, 1)


async def test_a_ping_tells_a_quiet_client_of_missed_messages(service: Service) -> None:
    """The pong's last number reveals a lost push with nothing after it."""
    async with new_client(service, limits=Limits(gap_wait_s=0.01, ping_interval_s=0.3)) as client:
        await client.join("g")
        await eventually(lambda: len(service.asked("history")) == 1)
        service.grow(1)
        assert await numbers(client, 1) == [1]
    assert service.asked("ping")


async def test_a_full_buffer_takes_no_more(service: Service) -> None:
    """With nobody reading `messages()`, the buffer stays near its limit; nothing is lost."""
    limits = Limits(incoming=5, gap_wait_s=100)
    async with new_client(service, limits=limits) as client:
        await client.join("g")
        service.grow(50)
        for number in range(1, 51):
            await service.push([number])
        await eventually(lambda: len(client._session.inbox._messages) == 5)
        # Long enough for more to arrive if it could.
        await asyncio.sleep(0.05)
        assert len(client._session.inbox._messages) == 5
        assert await numbers(client, 50) == list(range(1, 51))


async def test_history_is_paged(service: Service) -> None:
    """Callers may read the log themselves, in both directions."""
    service.grow(10)
    async with new_client(service) as client:
        await client.join("g")
        page = await client.history(before=8, limit=3)
        assert ([message.seq for message in page.messages], page.complete) == ([5, 6, 7], False)
        page = await client.history(since=8)
        assert ([message.seq for message in page.messages], page.complete) == ([9, 10], True)


async def test_leaving_ends_the_pushes(service: Service) -> None:
    """Afterwards sending has a clear error."""
    async with new_client(service) as client:
        await client.join("g")
        await client.leave()
        with pytest.raises(GroupcastError, match="join a group first"):
            await client.send("hello")
        await service.drop()
        await eventually(lambda: len(service.paths) == 2)
    assert len(service.asked("joinGroup")) == 1


async def test_a_move_with_an_unanswered_send_is_refused(service: Service) -> None:
    """After the move, the service would refuse a repeated send."""
    service.answers["sendMessage"] = never
    async with new_client(service) as client:
        await client.join("g")
        sending = asyncio.create_task(client.send("hello"))
        await eventually(lambda: bool(service.asked("sendMessage")))
        with pytest.raises(GroupcastError, match="1 calls"):
            await client.join("other")
        sending.cancel()
        await asyncio.wait([sending])
        assert await client.join("other") == 0


async def test_a_move_that_is_refused_leaves_the_client_where_it_was(service: Service) -> None:
    """The old group continues, even across a reconnect, and missed messages are fetched."""

    async def push_and_refuse(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        del service.answers["joinGroup"]
        service.grow(1)
        await service.push([1])
        return error("Forbidden")

    async with new_client(service) as client:
        await client.join("g")
        service.answers["joinGroup"] = push_and_refuse
        with pytest.raises(ServerError, match="Forbidden"):
            await client.join("private")
        assert await numbers(client, 1) == [1]
        await client.send("hello")
        assert await numbers(client, 1) == [2]
        await service.drop()
        service.grow(1)
        assert await numbers(client, 1) == [3]
    assert [frame["groupId"] for frame in service.asked("joinGroup")] == ["g", "private", "g"]


@pytest.mark.parametrize("status", [401, 403, 502])
async def test_a_refused_handshake_is_raised_on_entry(service: Service, status: int) -> None:
    """The first connection is not retried: the caller gets the status."""
    service.refuse = [status]
    with pytest.raises(Refused) as caught:
        async with new_client(service):
            pass
    assert caught.value.status == status


async def test_nobody_listening_is_raised_on_entry() -> None:
    """A closed port is ConnectionLost, in one line."""
    async with scripted_service() as gone:
        pass
    with pytest.raises(ConnectionLost, match="cannot connect"):
        async with new_client(gone):
            pass


async def test_a_passing_refusal_is_retried_later(service: Service) -> None:
    """With backoff; then the client rejoins its group."""
    async with new_client(service) as client:
        await client.join("g")
        service.refuse = [502, 503]
        await service.drop()
        assert (await client.send("hello")).seq == 1
    assert len(service.paths) == 4


async def test_a_final_refusal_ends_the_client(service: Service) -> None:
    """An invalid token stays invalid: readers and callers get the status."""
    async with new_client(service, token="jwt") as client:
        await client.join("g")
        service.refuse = [401]
        await service.drop()
        with pytest.raises(Refused, match="401"):
            await take(client, 1)
        with pytest.raises(Refused, match="401"):
            await client.send("hello")
    assert service.subprotocols[0] == ["groupcast.v1", "bearer.jwt"]


async def test_closing_ends_readers_and_callers(service: Service) -> None:
    """Closing releases all waiting calls."""
    service.answers["sendMessage"] = never
    async with new_client(service) as client:
        await client.join("g")
        reading = asyncio.create_task(take(client, 1))
        sending = asyncio.create_task(client.send("hello"))
        await eventually(lambda: bool(service.asked("sendMessage")))
    assert await reading == []
    with pytest.raises(GroupcastError, match="closed"):
        await sending


async def test_the_message_id_may_be_the_callers(service: Service) -> None:
    """After a failure the caller may send again under the same id without a duplicate."""
    message_id = UUID("0190f5c4-7e1c-7000-8000-000000000001")
    async with new_client(service) as client:
        await client.join("g")
        first = await client.send("hello", message_id=message_id)
        assert await client.send("hello", message_id=message_id) == first
        assert await numbers(client, 1) == [1]
    assert len(service.log) == 1


async def test_many_sends_while_the_connection_keeps_dropping(service: Service) -> None:
    """Every send is acknowledged, stored once, and read once, in order."""
    total = 60

    async def cut_at_each_sixth(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        stored = len(service.log)
        reply = await service.reply(socket, frame)
        if len(service.log) > stored and len(service.log) % 6 == 0:
            await service.drop()
            return None
        return reply

    service.answers["sendMessage"] = cut_at_each_sixth
    async with new_client(service) as client:
        await client.join("g")
        acks = await asyncio.gather(*[client.send(f"text {number}") for number in range(total)])
        got = await numbers(client, total)
    assert len(service.paths) == 1 + total / 6
    assert got == list(range(1, total + 1))
    assert len(service.log) == total
    assert sorted(ack.seq for ack in acks) == got


def test_it_runs_on_uvloop() -> None:

    async def chat() -> list[int]:
        async with scripted_service() as service, new_client(service) as client:
            await client.join("g")
            await client.send("hello")
            await service.drop()
            await client.send("again")
            return await numbers(client, 2)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(chat()) == [1, 2]
