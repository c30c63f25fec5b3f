"""Observed posts, and posts delayed as on AWS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

from localcloud.gateway import Gateway, Posts
from tests.unit.localcloud.gateway.support import ROUTES, Functions, at, http, joined, service


@asynccontextmanager
async def watching(functions: Functions, posts: Posts) -> AsyncIterator[Gateway]:
    async with Gateway(service(*ROUTES), functions, posts=posts) as gateway:
        yield gateway


async def test_every_post_is_observed_on_arrival() -> None:
    """Bodies in order, including those to gone connections; other methods are not posts."""
    functions, seen = Functions(), list[bytes]()
    async with (
        watching(functions, Posts(observe=seen.append)) as gateway,
        joined(gateway, functions) as (_, id_),
        http(gateway) as sender,
    ):
        for path in (at(id_), at("L0SM9cOFvHcCIhw="), at(id_)):
            await sender.request("POST", path, body=str(len(seen)).encode())
        await sender.request("GET", at(id_))
        await sender.request("DELETE", at(id_))
    assert seen == [b"0", b"1", b"2"]


async def test_a_delayed_post_is_delivered_and_answered_later() -> None:
    """Neither client nor sender gets anything earlier; a GET does not wait."""
    functions, wait_s = Functions(), 0.2
    async with (
        watching(functions, Posts(delay_s=lambda: wait_s)) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
        http(gateway) as other,
    ):
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        sender.send("POST", at(id_), body=b"x")
        await sender.writer.drain()
        await other.request("GET", at(id_))
        assert loop.time() - started_s < wait_s
        assert await client.recv() == "x"
        assert (await sender.receive()).status == 200
        # The event loop's clock has a resolution of a millisecond.
        assert loop.time() - started_s >= wait_s - 0.002


async def test_delays_keep_the_order_of_a_connection() -> None:
    """A pipelined post with a shorter delay does not overtake."""
    functions, draws_s = Functions(), cycle((0.02, 0.001, 0.0, 0.0004))
    async with (
        watching(functions, Posts(delay_s=lambda: next(draws_s))) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        for number in range(100):
            sender.send("POST", at(id_), body=str(number).encode())
        assert [(await sender.receive()).status for _ in range(100)] == [200] * 100
        assert [await client.recv() for _ in range(100)] == [str(number) for number in range(100)]


async def test_a_disconnected_senders_delayed_posts_are_dropped() -> None:
    """The gateway continues."""
    functions, draws_s = Functions(), iter((0.05, 0.0))
    async with (
        watching(functions, Posts(delay_s=lambda: next(draws_s))) as gateway,
        joined(gateway, functions) as (client, id_),
    ):
        async with http(gateway) as gone:
            gone.send("POST", at(id_), body=b"dropped")
            await gone.writer.drain()
            # The gateway has received it once it has answered another request.
            async with http(gateway) as other:
                await other.request("GET", at(id_))
        await asyncio.sleep(0.1)
        async with http(gateway) as sender:
            await sender.request("POST", at(id_), body=b"delivered")
        assert await client.recv() == "delivered"
