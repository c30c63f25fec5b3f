"""Several groups on one connection, against a scripted service."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from groupcast_client import Client, GroupcastError, Limits, Refused, ServerError
from groupcast_client.model import MAX_GROUPS
from tests.unit.groupcast_client.scripted import eventually, failing, never, serving
from tests.unit.groupcast_client.scripted_groups import GroupService
from tests.unit.groupcast_client.test_client import SOON, numbers
from tests.unit.groupcast_client.test_recovery import NEW, OLD
from tests.unit.groupcast_client.test_renewal import Provider, renewals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection

    from groupcast_client import Group
    from tests.unit.groupcast_client.scripted import Service

# A request for history that a test does not expect would come long after it.
PATIENT = Limits(gap_wait_s=100, reply_timeout_s=10, call_timeout_s=20)


@pytest.fixture
async def service() -> AsyncIterator[GroupService]:
    service = GroupService()
    async with serving(service):
        yield service


def new_client(service: GroupService, *, limits: Limits = PATIENT, **settings: Any) -> Client:
    # A seed makes the run repeatable.
    return Client(service.url, limits=limits, backoff=SOON, rng=random.Random(1), **settings)


async def texts(group: Group, count: int) -> list[str]:
    """Read `count` messages; the next call reads on."""
    messages = aiter(group)
    return [(await anext(messages)).text for _ in range(count)]


def join_frames(service: GroupService) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in frame.items() if name not in ("action", "id")}
        for frame in service.asked("joinGroup")
    ]


async def test_each_group_has_its_own_messages(service: GroupService) -> None:
    """Frames name their group, and a push goes to that group's iterator alone."""
    service.say("a", "a1", "a2")
    async with new_client(service) as client:
        async with client.group("a", backlog=1) as a, client.group("b", since=0) as b:
            assert (a.group_id, a.last_seq, b.last_seq) == ("a", 2, 0)
            acks = [await b.send("b1"), await a.send("a3"), await b.send("b2")]
            assert [(ack.group_id, ack.seq) for ack in acks] == [("b", 1), ("a", 3), ("b", 2)]
            assert await texts(b, 2) == ["b1", "b2"]
            assert await texts(a, 2) == ["a2", "a3"]
            assert [message.text for message in (await a.history(since=0)).messages] == ["a1", "a2", "a3"]
            assert (a.last_seq, b.last_seq) == (3, 2)
        with pytest.raises(GroupcastError, match="a was left"):
            await a.send("too late")
        assert [message.text async for message in a] == []
    assert [frame["groupId"] for frame in service.asked("leaveGroup")] == ["b", "a"]
    assert len(service.paths) == 1


async def test_a_cut_rejoins_all_groups_in_one_frame(service: GroupService) -> None:
    """Each after its own last message; what was said meanwhile comes once and in order."""
    async with (
        new_client(service) as client,
        client.group("a") as a,
        client.group("b") as b,
        client.group("c") as c,
    ):
        await client.join("d")
        await a.send("a1")
        await b.send("b1")
        assert await texts(a, 1) == ["a1"]
        await service.drop()
        service.say("a", "a2", "a3")
        service.say("c", "c1")
        service.say("d", "d1")
        assert await texts(a, 2) == ["a2", "a3"]
        await c.send("c2")
        assert await texts(c, 2) == ["c1", "c2"]
        assert await texts(b, 1) == ["b1"]
        assert await numbers(client, 1) == [1]
    sinces = {"a": 1, "b": 1, "c": 0, "d": 0}
    assert join_frames(service)[4:] == [
        {"groups": [{"groupId": group_id, "since": since} for group_id, since in sinces.items()]}
    ]
    assert len(service.paths) == 2


async def test_a_refused_group_ends_alone(service: GroupService) -> None:
    """Its reader gets the messages that came before, then the error; the others go on."""
    async with new_client(service) as client, client.group("a") as a, client.group("b") as b:
        await a.send("a1")
        service.closed.add("a")
        await service.drop()
        assert (await b.send("b1")).seq == 1
        assert await texts(a, 1) == ["a1"]
        with pytest.raises(ServerError, match="Forbidden: a is private"):
            await texts(a, 1)
        with pytest.raises(ServerError, match="Forbidden"):
            await a.send("a2")
        await service.drop()
        assert (await b.send("b2")).seq == 2
        assert await texts(b, 2) == ["b1", "b2"]
    first, second = join_frames(service)[2:]
    assert [one["groupId"] for one in first["groups"]] == ["a", "b"]
    assert [one["groupId"] for one in second["groups"]] == ["b"]
    # The service never let it in again, so there is nothing to leave.
    assert [frame["groupId"] for frame in service.asked("leaveGroup")] == ["b"]


async def test_a_refused_current_group_ends_the_client(service: GroupService) -> None:
    """As before there were several groups; all their readers and callers get the reason."""
    async with new_client(service) as client, client.group("a") as a:
        await client.join("b")
        service.closed.add("b")
        await service.drop()
        with pytest.raises(ServerError, match="b is private"):
            await texts(a, 1)
        with pytest.raises(ServerError, match="b is private"):
            await a.send("hello")
        with pytest.raises(ServerError, match="b is private"):
            await numbers(client, 1)


async def test_a_fresher_token_is_tried_before_a_group_ends(service: GroupService) -> None:
    """Only the refused group is joined once more, and nothing ends."""

    async def permit(
        service: Service, socket: ServerConnection, frame: dict[str, Any]
    ) -> dict[str, Any] | None:
        assert isinstance(service, GroupService)
        service.closed.clear()
        return await service.reply(socket, frame)

    async with (
        new_client(service, token=Provider(OLD, OLD, NEW)) as client,
        client.group("a") as a,
        client.group("b") as b,
    ):
        service.answers["renew"] = permit
        service.closed.add("b")
        await service.drop()
        await a.send("a1")
        await b.send("b1")
    rejoins = [[one["groupId"] for one in frame["groups"]] for frame in join_frames(service)[2:]]
    assert rejoins == [["a", "b"], ["b"]]
    assert renewals(service) == [NEW]


async def test_what_did_not_fit_the_reply_is_requested_immediately(service: GroupService) -> None:
    """Even a group of which the reply had no message at all."""
    async with new_client(service) as client, client.group("a") as a, client.group("b") as b:
        await service.drop()
        service.replay = 3
        service.say("a", *(f"a{number}" for number in range(5)))
        service.say("b", *(f"b{number}" for number in range(4)))
        assert await texts(b, 4) == ["b0", "b1", "b2", "b3"]
        assert await texts(a, 5) == ["a0", "a1", "a2", "a3", "a4"]
    asked = sorted((frame["groupId"], frame["since"]) for frame in service.asked("history"))
    assert asked == [("a", 3), ("b", 0)]


async def test_a_limited_rejoin_is_repeated_on_the_same_connection(service: GroupService) -> None:
    """The whole frame was refused: no group ends."""
    async with new_client(service) as client, client.group("a") as a, client.group("b") as b:
        service.answers["joinGroup"] = failing("RateLimited", times=2, retryAfterMs=10)
        await service.drop()
        await a.send("a1")
        await b.send("b1")
    assert (len(service.asked("joinGroup")), len(service.paths)) == (5, 2)


async def test_a_group_that_the_service_forgot_is_rejoined_alone(service: GroupService) -> None:
    """NotInGroup for one says nothing about the others."""
    async with new_client(service) as client, client.group("a") as a, client.group("b"):
        service.groups[service.sockets[0]].remove("a")
        service.say("a", "a1")
        assert (await a.send("a2")).seq == 2
        assert await texts(a, 2) == ["a1", "a2"]
    assert join_frames(service)[2:] == [{"groups": [{"groupId": "a", "since": 0}]}]
    assert len(service.paths) == 1


async def test_a_history_in_a_forgotten_group_rejoins_it(service: GroupService) -> None:
    """The client finds a gap before anybody sends or pings."""
    async with (
        new_client(service, limits=Limits(gap_wait_s=0.01)) as client,
        client.group("a") as a,
        client.group("b"),
    ):
        await eventually(lambda: len(service.asked("history")) == 2)
        service.say("a", "a1", "a2")
        await service.push_to("a", 2)
        service.groups[service.sockets[0]].remove("a")
        assert await texts(a, 2) == ["a1", "a2"]
    assert join_frames(service)[2:] == [{"groups": [{"groupId": "a", "since": 0}]}]


async def test_a_pong_tells_every_group_what_it_missed(service: GroupService) -> None:
    """Also a group that the pong lacks, which is rejoined."""
    async with (
        new_client(service, limits=Limits(gap_wait_s=0.01, ping_interval_s=0.2)) as client,
        client.group("a") as a,
        client.group("b") as b,
        client.group("c") as c,
    ):
        await eventually(lambda: len(service.asked("history")) == 3)
        for group_id in "abc":
            service.say(group_id, f"{group_id}1")
        service.groups[service.sockets[0]].remove("c")
        assert [await texts(group, 1) for group in (a, b, c)] == [["a1"], ["b1"], ["c1"]]
    assert join_frames(service)[3:] == [{"groups": [{"groupId": "c", "since": 0}]}]
    assert len(service.paths) == 1


async def test_a_busy_group_does_not_keep_a_quiet_one_from_pings(service: GroupService) -> None:
    """Pushes make a ping unnecessary only if every group has them."""
    async with (
        new_client(service, limits=Limits(gap_wait_s=0.01, ping_interval_s=1.0)) as client,
        client.group("busy"),
        client.group("quiet") as quiet,
    ):
        await eventually(lambda: len(service.asked("history")) == 2)
        service.say("busy", "b1")

        async def push() -> None:
            while True:
                await service.push_to("busy", 1)
                await asyncio.sleep(0.005)

        pushing = asyncio.create_task(push())
        service.say("quiet", "q1")
        assert await texts(quiet, 1) == ["q1"]
        pushing.cancel()


async def test_a_renewal_ends_the_groups_that_it_no_longer_permits(service: GroupService) -> None:
    """The others stay joined."""
    async with new_client(service, token="a.b.c") as client, client.group("a") as a, client.group("b") as b:
        service.closed.add("a")
        await client.renew("d.e.f")
        with pytest.raises(ServerError, match="Forbidden"):
            await texts(a, 1)
        with pytest.raises(ServerError, match="Forbidden"):
            await a.history(since=0)
        await b.send("b1")
        assert await texts(b, 1) == ["b1"]
    assert len(service.paths) == 1


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("order", [("slow", "b"), ("b", "slow")])
async def test_a_slow_reader_delays_no_other_group(
    service: GroupService, order: tuple[str, str], *, is_cut: bool
) -> None:
    """Replies and the other group's messages come; what was ignored is requested once there is room."""
    limits = Limits(incoming=5, history_page=4, gap_wait_s=100, call_timeout_s=20)
    total = 30
    async with new_client(service, limits=limits) as client, AsyncExitStack() as opened:
        groups = {name: await opened.enter_async_context(client.group(name)) for name in order}
        slow, b = groups["slow"], groups["b"]
        for number in range(1, total + 1):
            service.say("slow", f"{number}")
            await service.push_to("slow", number)
        await b.send("b1")
        assert await texts(b, 1) == ["b1"]
        waiting = slow.membership.inbox
        assert (len(waiting), slow.last_seq, service.asked("history")) == (5, total, [])
        if is_cut:
            await service.drop()
        await b.send("b2")
        assert (len(waiting), service.asked("history")) == (5, [])
        got = []
        async for message in slow:
            got.append(message.text)
            assert len(waiting) < limits.incoming + limits.history_page
            if len(got) == total:
                break
        assert got == [str(number) for number in range(1, total + 1)]


async def test_one_group_too_many_is_refused_before_asking(service: GroupService) -> None:
    """The current group counts, too, and leaving a group makes room."""
    async with new_client(service) as client, AsyncExitStack() as opened:
        await client.join("current")
        for number in range(MAX_GROUPS - 2):
            await opened.enter_async_context(client.group(f"g{number}"))
        async with client.group("last"):
            with pytest.raises(GroupcastError, match="at most 50 groups"):
                await client.group("one more").__aenter__()
            # A move needs both groups at the same time.
            with pytest.raises(GroupcastError, match="at most 50 groups"):
                await client.join("one more")
            assert len(service.asked("joinGroup")) == MAX_GROUPS
            assert (await client.send("still there")).group_id == "current"
        await client.join("one more")
    assert len(service.asked("joinGroup")) == MAX_GROUPS + 1


async def test_joining_keeps_the_groups_that_are_open(service: GroupService) -> None:
    """The connection adds the next group, then leaves the previous one."""
    async with new_client(service) as client, client.group("a") as a:
        for group_id in "bc":
            await client.join(group_id)
            assert (await client.send("hello")).group_id == group_id
        assert service.groups[service.sockets[0]] == ["a", "c"]
        assert (await a.send("hello")).group_id == "a"
        service.closed.add("d")
        with pytest.raises(ServerError, match="Forbidden"):
            await client.join("d")
        assert (await client.send("still")).group_id == "c"
        await client.leave()
        assert service.groups[service.sockets[0]] == ["a"]
        with pytest.raises(GroupcastError, match="join a group first"):
            await client.send("hello")
        await a.send("again")
    added = [{"groupId": group_id, "add": True} for group_id in "abcd"]
    assert join_frames(service) == added


async def test_joining_the_current_group_again_leaves_nothing(service: GroupService) -> None:
    """Its messages start over after `since`."""
    service.say("b", "b1", "b2")
    async with new_client(service) as client, client.group("a"):
        await client.join("b", since=1)
        await client.join("b", since=0)
        assert await numbers(client, 3) == [2, 1, 2]
        assert service.asked("leaveGroup") == []


async def test_a_group_opened_again_is_not_left_late(service: GroupService) -> None:
    """Leaving was refused for now; when it may be repeated, the group is open again."""
    async with new_client(service) as client, client.group("a"):
        service.answers["leaveGroup"] = failing("RateLimited", retryAfterMs=50)
        first = await client.group("b").__aenter__()
        leaving = asyncio.create_task(first.__aexit__(None, None, None))
        await eventually(lambda: bool(service.asked("leaveGroup")))
        async with client.group("b") as b:
            await leaving
            assert service.groups[service.sockets[0]] == ["a", "b"]
            assert (await b.send("b1")).seq == 1


async def test_joining_alone_sends_what_it_always_has(service: GroupService) -> None:
    """Without `add`, the service moves the connection."""
    async with new_client(service) as client:
        await client.join("a")
        await client.join("b", since=0)
        await client.send("b1")
        await service.drop()
        assert await numbers(client, 1) == [1]
        await client.send("b2")
    assert join_frames(service) == [
        {"groupId": "a"},
        {"groupId": "b", "since": 0},
        {"groupId": "b", "since": 1},
    ]
    assert service.asked("leaveGroup") == []


async def test_a_group_is_open_once(service: GroupService) -> None:
    """Whether by `group` or by `join`; afterwards it can be opened again."""
    async with new_client(service) as client:
        await client.join("a")
        with pytest.raises(GroupcastError, match="already in a"):
            await client.group("a").__aenter__()
        group = client.group("b")
        with pytest.raises(GroupcastError, match="not open"):
            await group.send("too early")
        with pytest.raises(GroupcastError, match="open the group first"):
            aiter(group)
        async with group:
            with pytest.raises(GroupcastError, match="already in b"):
                await client.join("b")
        with pytest.raises(GroupcastError, match="only once"):
            await group.__aenter__()
        async with client.group("b") as b:
            assert (await b.send("hello")).seq == 1
        assert (await client.send("hello")).seq == 1


async def test_a_refused_group_is_not_kept(service: GroupService) -> None:
    """Entering raises; a reconnect does not join it."""
    service.closed.add("private")
    async with new_client(service) as client, client.group("a") as a:
        with pytest.raises(ServerError, match="Forbidden"):
            await client.group("private").__aenter__()
        await service.drop()
        await a.send("a1")
        service.closed.clear()
        async with client.group("private") as private:
            assert (await private.send("p1")).seq == 1
        rejoin = join_frames(service)[2]
    assert rejoin == {"groups": [{"groupId": "a", "since": 0}]}


async def test_leaving_waits_for_no_connection(service: GroupService) -> None:
    """The next one does not join the group."""
    async with new_client(service) as client, client.group("a") as a:
        async with client.group("b"):
            service.refuse = [503] * 3
            await service.drop()
            await eventually(lambda: client._session.connection is None)
            async with asyncio.timeout(1):
                with pytest.raises(ValueError, match="mine"):
                    async with client.group("c", since=0):
                        raise ValueError("mine")
        await a.send("a1")
        assert set(service.groups[service.sockets[0]]) == {"a"}


@pytest.mark.parametrize("code", ["InternalError", "NotInGroup"])
async def test_a_group_that_cannot_be_left_costs_at_most_the_connection(
    service: GroupService, code: str
) -> None:
    """The next one joins only what is open; NotInGroup means that it was left already."""
    async with new_client(service) as client, client.group("a") as a:
        async with client.group("b"):
            service.answers["leaveGroup"] = failing(code)
        await a.send("a1")
        assert ("b" in service.groups[service.sockets[0]]) == (code == "NotInGroup")
        assert len(service.paths) == (1 if code == "NotInGroup" else 2)


async def test_an_abandoned_join_cannot_take_effect_later(service: GroupService) -> None:
    """Its frame may still be carried out, so the connection is replaced."""
    async with new_client(service) as client, client.group("a") as a:
        service.answers["joinGroup"] = never
        opening = asyncio.create_task(client.group("b").__aenter__())
        await eventually(lambda: len(service.asked("joinGroup")) == 2)
        del service.answers["joinGroup"]
        opening.cancel()
        await asyncio.wait([opening])
        await a.send("a1")
        assert service.groups[service.sockets[-1]] == ["a"]
    assert len(service.paths) == 2


async def test_groups_that_open_at_once_join_one_after_another(service: GroupService) -> None:
    """The service carries frames out in any order: a move must not overtake what is added after it."""
    late: list[tuple[ServerConnection, dict[str, Any]]] = []

    async def carry_out_later(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> None:
        del service.answers["joinGroup"]
        late.append((socket, frame))

    service.answers["joinGroup"] = carry_out_later
    async with new_client(service) as client, AsyncExitStack() as opened:
        moving = asyncio.create_task(client.join("current"))
        await eventually(lambda: bool(late))
        entering = [opened.enter_async_context(client.group(one)) for one in "abc"]
        opening = asyncio.gather(moving, *entering)
        # Long enough for more frames, if anything let them go.
        await asyncio.sleep(0.05)
        socket, frame = late[0]
        reply = await service.reply(socket, frame)
        await socket.send(orjson.dumps({**(reply or {}), "id": frame["id"]}).decode())
        await opening
        assert service.groups[socket] == ["current", "a", "b", "c"]


async def test_read_marks_come_from_joins_pongs_and_marking(service: GroupService) -> None:
    """A pong may be older than the mark, which never moves back."""
    service.say("a", "a1", "a2", "a3")
    service.marks["a"] = 1
    async with (
        new_client(service, limits=Limits(gap_wait_s=100, ping_interval_s=0.1)) as client,
        client.group("a") as a,
        client.group("b") as b,
    ):
        assert (a.read_seq, b.read_seq) == (1, None)
        assert await a.mark_read(3) == 3
        assert (a.read_seq, a.last_seq) == (3, 3)
        service.marks = {"a": 2, "b": 0}
        await eventually(lambda: b.read_seq == 0)
        assert a.read_seq == 3


async def test_a_client_that_gives_up_ends_every_group(service: GroupService) -> None:
    """Iterators and calls raise the reason."""
    async with new_client(service) as client, client.group("a") as a, client.group("b") as b:
        service.refuse = [403]
        await service.drop()
        for group in (a, b):
            with pytest.raises(Refused, match="403"):
                await texts(group, 1)
            with pytest.raises(Refused, match="403"):
                await group.send("hello")


async def test_closing_the_client_ends_iterators(service: GroupService) -> None:
    """Quietly, after the last message."""
    async with new_client(service) as client:
        a = await client.group("a").__aenter__()
        await a.send("a1")
        reading = asyncio.create_task(_all(a))
    assert await reading == ["a1"]


async def _all(group: Group) -> list[str]:
    return [message.text async for message in group]
