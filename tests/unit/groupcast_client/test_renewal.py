"""A client's tokens: requested, renewed while connected, never shown."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from groupcast_client import Backoff, Client, GroupcastError, Limits, NoToken, Refused, ServerError
from tests.unit.groupcast_client.scripted import Service, eventually, failing, scripted_service
from tests.unit.groupcast_client.test_tokens import jwt

SOON = Backoff(base_s=0.01, max_s=0.05)
# A token that ends within a hundred seconds is due at once, one that ends in a day is not.
LIMITS = Limits(renew_margin_s=100, renew_retry_s=0.02, gap_wait_s=0.01)
DAY_S = 86_400


def token(lifetime_s: float, name: str = "t") -> str:
    return jwt({"exp": int(time.time() + lifetime_s), "sub": name})


class Provider:
    """Returns these tokens, repeating the last one; exceptions are raised."""

    def __init__(self, *given: str | Exception) -> None:
        self.given = list(given)
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        one = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(one, Exception):
            raise one
        return one


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with scripted_service() as service:
        yield service


def new_client(service: Service, source: Any, **settings: Any) -> Client:
    return Client(service.url, token=source, limits=LIMITS, backoff=SOON, rng=random.Random(1), **settings)


def renewals(service: Service) -> list[str]:
    return [frame["token"] for frame in service.asked("renew")]


async def test_each_connection_asks_for_a_token(service: Service) -> None:
    first, second = token(DAY_S, "first"), token(DAY_S, "second")
    async with new_client(service, Provider(first, second)) as client:
        await client.join("g")
        await service.drop()
        await client.send("hello")
    assert service.subprotocols == [["groupcast.v1", f"bearer.{each}"] for each in (first, second)]


async def test_a_token_is_renewed_on_the_open_connection(service: Service) -> None:
    """Before its end, once, keeping connection and group."""
    old, new = token(90), token(DAY_S)
    async with new_client(service, Provider(old, new)) as client:
        await client.join("g")
        await eventually(lambda: bool(service.asked("renew")))
        await client.send("hello")
        assert renewals(service) == [new]
    assert (len(service.paths), len(service.asked("joinGroup"))) == (1, 1)


async def test_every_token_is_renewed_in_its_turn(service: Service) -> None:
    """The last sent token's end decides."""
    given = [token(lifetime_s) for lifetime_s in (50, 60, 70, DAY_S)]
    async with new_client(service, Provider(*given)) as client:
        await eventually(lambda: len(service.asked("renew")) == 3)
        await client.join("g")
    assert renewals(service) == given[1:]


@pytest.mark.parametrize("opaque", ["opaque", "a.b.c"])
async def test_an_opaque_token_is_not_renewed(service: Service, opaque: str) -> None:
    """Without a known end there is no time to renew it; the client still works."""
    provider = Provider(opaque, token(DAY_S))
    async with new_client(service, provider) as client:
        await client.join("g")
        await client.send("hello")
        assert provider.asked == 1
    assert renewals(service) == []


async def test_a_fixed_token_is_not_renewed(service: Service) -> None:
    """There is no source of another one."""
    async with new_client(service, token(50)) as client:
        await client.join("g")
        await client.send("hello")
    assert renewals(service) == []


async def test_a_token_no_fresher_is_not_sent(service: Service) -> None:
    """A provider that returns the same token is asked again until it has a new one."""
    old, new = token(50), token(DAY_S)
    async with new_client(service, Provider(old, old, old, new)):
        await eventually(lambda: bool(service.asked("renew")))
    assert renewals(service) == [new]


async def test_a_failing_provider_is_asked_again(service: Service) -> None:
    """Its failure ends neither the open connection nor, after a drop, the client."""
    new = token(DAY_S)
    provider = Provider(token(50), OSError("down"), new, OSError("down"), ValueError("odd"), new)
    async with new_client(service, provider) as client:
        await client.join("g")
        await eventually(lambda: bool(service.asked("renew")))
        assert len(service.paths) == 1
        await service.drop()
        assert (await client.send("hello")).seq == 1
        assert provider.asked == 6
    assert len(service.paths) == 2


async def test_a_provider_that_fails_at_entry_is_raised(service: Service) -> None:
    """The first connection is not retried, and the cause is chained."""
    with pytest.raises(NoToken, match="OSError") as caught:
        async with new_client(service, Provider(OSError("down"))):
            pass
    assert isinstance(caught.value.__cause__, OSError)
    assert service.paths == []


async def test_a_provider_that_hangs_is_given_up(service: Service) -> None:
    """Within the time of any other request."""

    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    with pytest.raises(NoToken, match="TimeoutError"):
        async with Client(service.url, token=hang, limits=Limits(reply_timeout_s=0.05)):
            pass


async def test_a_provider_may_end_the_client(service: Service) -> None:
    """Readers and callers get its GroupcastError."""
    async with new_client(service, Provider(token(DAY_S), Refused(401))) as client:
        await client.join("g")
        await service.drop()
        with pytest.raises(Refused, match="401"):
            await client.send("hello")
        with pytest.raises(Refused, match="401"):
            await anext(client.messages())


async def test_a_renewal_that_fails_in_passing_is_repeated(service: Service) -> None:
    """An error that is not about the token leaves the connection unchanged."""
    service.answers["renew"] = failing("InternalError", times=2)
    new = token(DAY_S)
    async with new_client(service, Provider(token(50), new)) as client:
        await eventually(lambda: len(service.asked("renew")) == 3)
        await client.join("g")
    assert renewals(service) == [new] * 3
    assert len(service.paths) == 1


async def test_a_renewal_that_is_refused_ends_the_client(service: Service) -> None:
    """Asking again would not help."""
    service.answers["renew"] = failing("Forbidden")
    async with new_client(service, Provider(token(50), token(DAY_S))) as client:
        with pytest.raises(ServerError, match="Forbidden"):
            await anext(client.messages())


async def test_a_right_that_was_withdrawn_ends_the_client(service: Service) -> None:
    """The renewal names no group and the rejoin is refused: readers and callers get Forbidden."""
    old, new = token(DAY_S), token(2 * DAY_S)
    async with new_client(service, old) as client:
        await client.join("g")
        service.members.clear()
        service.answers["joinGroup"] = failing("Forbidden", times=9)
        await client.renew(new)
        with pytest.raises(ServerError, match="Forbidden"):
            await anext(client.messages())
        with pytest.raises(ServerError, match="Forbidden"):
            await client.send("hello")


async def test_a_group_that_was_only_forgotten_is_joined_again(service: Service) -> None:
    """A renewal that names no group is not final while joining works."""
    async with new_client(service, token(DAY_S)) as client:
        await client.join("g")
        service.members.clear()
        await client.renew(token(2 * DAY_S))
        await eventually(lambda: bool(service.members))
        assert (await client.send("hello")).seq == 1


async def test_a_token_renewed_by_hand_is_used_from_then_on(service: Service) -> None:
    """The reply has its end, and the next connection uses it."""
    old, new = token(DAY_S), token(2 * DAY_S)
    async with new_client(service, old) as client:
        await client.join("g")
        assert await client.renew(new) == datetime(2025, 1, 1, 1, tzinfo=UTC)
        await service.drop()
        await client.send("hello")
    assert renewals(service) == [new]
    assert [offered[1] for offered in service.subprotocols] == [f"bearer.{old}", f"bearer.{new}"]


async def test_a_token_refused_by_hand_is_not_kept(service: Service) -> None:
    """The caller gets the error, and the previous token stays in use."""
    old, bad = token(DAY_S), token(2 * DAY_S)
    service.answers["renew"] = failing("Forbidden")
    async with new_client(service, old) as client:
        await client.join("g")
        with pytest.raises(ServerError, match="Forbidden"):
            await client.renew(bad)
        await service.drop()
        await client.send("hello")
    assert [offered[1] for offered in service.subprotocols] == [f"bearer.{old}"] * 2


async def test_with_a_provider_renewal_by_hand_is_refused(service: Service) -> None:
    """Two sources of tokens would conflict."""
    async with new_client(service, Provider(token(DAY_S))) as client:
        with pytest.raises(GroupcastError, match="by itself"):
            await client.renew(token(DAY_S))


async def test_an_unsendable_token_is_refused(service: Service) -> None:
    """Such as one read from a file with its line break; nothing is sent."""
    with pytest.raises(GroupcastError, match="line break"):
        new_client(service, "a.b.c\n")
    with pytest.raises(GroupcastError, match="line break"):
        async with new_client(service, Provider("a.b.c\n")):
            pass
    async with new_client(service, "a.b.c") as client:
        with pytest.raises(GroupcastError, match="line break"):
            await client.renew("d.e.f\n")
    assert len(service.paths) == 1


async def test_no_token_is_ever_shown(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """With full logging, no line, repr or error contains a token or a URL's secrets."""
    caplog.set_level(logging.DEBUG)
    # The server's own log shows received data.
    logging.getLogger("websockets.server").setLevel(logging.INFO)
    old, new = token(50), token(DAY_S)
    secret = old.split(".")[1], new.split(".")[1], "sesame"
    service.answers["renew"] = failing("InternalError")
    errors: list[GroupcastError] = []
    async with new_client(service, Provider(old, new)) as client:
        await client.join("g")
        await eventually(lambda: len(service.asked("renew")) == 2)
        shown = repr(vars(client)) + repr(vars(client._session))
        service.refuse = [401]
        await service.drop()
        with pytest.raises(Refused) as refused:
            await client.send("hello")
        errors.append(refused.value)
    for url in ("ws://127.0.0.1:1/?token=sesame", "http://h/?token=sesame", "nonsense?token=sesame"):
        with pytest.raises(GroupcastError) as caught:
            async with Client(url):
                pass
        errors.append(caught.value)
    texts = [shown, caplog.text, *map(str, errors), *(repr(each.__cause__) for each in errors)]
    assert "not renewed" in caplog.text
    assert [text for text in texts if any(part in text for part in secret)] == []
