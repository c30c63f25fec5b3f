"""A client whose token stops being accepted gets a fresher one from its provider and continues."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from groupcast_client import GroupcastError, NoToken, Refused, ServerError
from tests.unit.groupcast_client.scripted import Service, error, eventually, failing, scripted_service
from tests.unit.groupcast_client.test_renewal import DAY_S, Provider, new_client, renewals, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection

OLD, NEW = token(DAY_S, "old"), token(2 * DAY_S, "new")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with scripted_service() as service:
        yield service


async def forbidden_until_renewed(
    service: Service, socket: ServerConnection, frame: dict[str, Any]
) -> dict[str, Any] | None:
    return await service.reply(socket, frame) if service.asked("renew") else error("Forbidden")


@pytest.mark.parametrize(
    ("old", "new"),
    [(OLD, NEW), ("opaque", "opaque-2"), (OLD, "opaque")],
    ids=["later end", "no ends", "end unknown"],
)
async def test_a_forbidden_call_is_retried_with_a_fresher_token(service: Service, old: str, new: str) -> None:
    """The machine slept past the token's end: the provider has another one, and the message is sent again."""
    service.answers["sendMessage"] = forbidden_until_renewed
    async with new_client(service, Provider(old, new)) as client:
        await client.join("g")
        ack = await client.send("hello")
    assert [frame["messageId"] for frame in service.asked("sendMessage")] == [ack.message_id] * 2
    assert (renewals(service), len(service.paths)) == ([new], 1)


async def test_a_forbidden_join_is_retried_with_a_fresher_token(service: Service) -> None:
    """A right granted after the token's issue is in the next one."""
    service.answers["joinGroup"] = forbidden_until_renewed
    async with new_client(service, Provider(OLD, NEW)) as client:
        assert await client.join("g") == 0
    assert renewals(service) == [NEW]


async def test_many_forbidden_calls_share_one_renewal(service: Service) -> None:
    total = 20
    service.answers["sendMessage"] = forbidden_until_renewed
    provider = Provider(OLD, NEW)
    async with new_client(service, provider) as client:
        await client.join("g")
        await asyncio.gather(*[client.send(f"text {number}") for number in range(total)])
    assert (len(service.log), renewals(service), provider.asked) == (total, [NEW], 2)


async def test_a_call_that_stays_forbidden_is_raised(service: Service) -> None:
    """After one renewal per call."""
    service.answers["sendMessage"] = failing("Forbidden", times=9)
    async with new_client(service, Provider(OLD, NEW, token(3 * DAY_S))) as client:
        await client.join("g")
        with pytest.raises(ServerError, match="Forbidden"):
            await client.send("hello")
    assert (len(service.asked("sendMessage")), renewals(service)) == (2, [NEW])


@pytest.mark.parametrize("next_given", [OLD, OSError("down")], ids=["the same", "none"])
async def test_without_a_fresher_token_forbidden_is_raised(
    service: Service, next_given: str | Exception
) -> None:
    """Without a retry, and the client continues."""
    service.answers["sendMessage"] = failing("Forbidden")
    async with new_client(service, Provider(OLD, next_given)) as client:
        await client.join("g")
        with pytest.raises(ServerError, match="Forbidden"):
            await client.send("one")
        await client.send("two")
    assert [frame["message"] for frame in service.asked("sendMessage")] == ["one", "two"]
    assert renewals(service) == []


async def test_with_a_fixed_token_forbidden_is_raised(service: Service) -> None:
    service.answers["sendMessage"] = failing("Forbidden")
    async with new_client(service, OLD) as client:
        await client.join("g")
        with pytest.raises(ServerError, match="Forbidden"):
            await client.send("hello")
    assert len(service.asked("sendMessage")) == 1


async def test_a_rejoin_that_is_forbidden_is_tried_with_a_fresher_token(service: Service) -> None:
    """The service forgot the group, and the token has ended: neither message nor client is lost."""
    async with new_client(service, Provider(OLD, NEW)) as client:
        await client.join("g")
        service.members.clear()
        service.answers["sendMessage"] = failing("NotInGroup")
        service.answers["joinGroup"] = forbidden_until_renewed
        assert (await client.send("hello")).seq == 1
    assert renewals(service) == [NEW]


async def test_a_connection_lost_while_renewing_is_replaced(service: Service) -> None:
    """Calls that wait for the renewal are sent on the next connection."""

    async def drop(service: Service, socket: ServerConnection, frame: dict[str, Any]) -> None:
        await service.drop()

    service.answers["renew"] = drop
    service.answers["sendMessage"] = failing("Forbidden")
    async with new_client(service, Provider(OLD, NEW)) as client:
        await client.join("g")
        assert (await client.send("hello")).seq == 1
    assert len(service.paths) == 2


async def test_a_provider_that_ends_the_client_fails_waiting_calls(service: Service) -> None:
    """They raise its GroupcastError."""
    service.answers["sendMessage"] = failing("Forbidden", times=9)
    async with new_client(service, Provider(OLD, Refused(401))) as client:
        await client.join("g")
        with pytest.raises(Refused, match="401"):
            await client.send("hello")


async def test_a_reconnect_refused_with_401_is_tried_with_other_tokens(service: Service) -> None:
    """While the provider has another token, despite temporary failures in between."""
    given = [token((1 + day) * DAY_S) for day in range(4)]
    provider = Provider(*given[:2], OSError("down"), *given[2:])
    async with new_client(service, provider) as client:
        await client.join("g")
        service.refuse = [401, 401]
        await service.drop()
        assert (await client.send("hello")).seq == 1
    assert [offered[1] for offered in service.subprotocols] == [f"bearer.{each}" for each in given]


async def test_the_same_token_is_not_offered_after_a_401(service: Service) -> None:
    """The provider has no other: readers and callers get the status."""
    async with new_client(service, Provider(OLD, NEW)) as client:
        await client.join("g")
        service.refuse = [401]
        await service.drop()
        with pytest.raises(Refused, match="401"):
            await client.send("hello")
        with pytest.raises(Refused, match="401"):
            await anext(client.messages())
    assert len(service.paths) == 2


async def test_a_reconnect_refused_with_403_ends_the_client(service: Service) -> None:
    """Another token would not help."""
    async with new_client(service, Provider(OLD, NEW, token(3 * DAY_S))) as client:
        await client.join("g")
        service.refuse = [403]
        await service.drop()
        with pytest.raises(Refused, match="403"):
            await client.send("hello")
    assert len(service.paths) == 2


@pytest.mark.parametrize("given", [None, b"a.b.c", 7])
async def test_a_token_must_be_a_str(service: Service, given: Any) -> None:
    """A provider's mistake raises for readers and callers instead of ending silently."""
    with pytest.raises(GroupcastError, match=type(given).__name__) as caught:
        async with new_client(service, Provider(given)):
            pass
    assert not isinstance(caught.value, NoToken)
    async with new_client(service, Provider(OLD, given)) as client:
        await client.join("g")
        reading = asyncio.ensure_future(anext(client.messages()))
        await eventually(lambda: bool(service.members))
        await service.drop()
        with pytest.raises(GroupcastError, match=type(given).__name__):
            await reading
        with pytest.raises(GroupcastError, match=type(given).__name__):
            await client.send("hello")


@pytest.mark.parametrize("given", [b"a.b.c", 7])
def test_a_fixed_token_must_be_a_str(given: Any) -> None:
    """It is refused at once."""
    with pytest.raises(GroupcastError, match=type(given).__name__):
        new_client(Service(), given)
