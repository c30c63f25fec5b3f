"""Rows about whole invocations: from a batch of records to the last response, with DynamoDB Local."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from loadtest.bench import fixtures
from loadtest.bench.pairs import Row, row_of
from loadtest.peers.run import connection_ids
from localcloud.service.model import REGION

if TYPE_CHECKING:
    from loadtest.bench.pairs import Bench, Measured
    from localcloud.service.model import Service

STALE_RATIO = 0.05
LARGE_GROUP = 10_000
BURST_MEMBERS = 1_000
BURST_MESSAGES = 100
SIZES = (1_000, 50_000)
WARM_MEMBERS = 64
# Rows share the tables, so each needs its own groups.
_group_numbers = itertools.count(1)


class Invocations:
    """Measures whole invocations on filled tables; an invocation removes stale members."""

    def __init__(self, service: Service, dynamodb: str, sink_port: int) -> None:
        self._service = service
        self._dynamodb = dynamodb
        self._env = {
            **service.functions["fanoutMessage"].environment,
            **fixtures.CREDENTIALS,
            # Measure the cost of posting, without the budget.
            "POSTS_PER_SECOND": "0",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
            "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"http://127.0.0.1:{sink_port}/dev",
        }
        self._warm_group = ""

    async def fill(self, members: int) -> str:
        """Make a new group with that many members, and return its id."""
        number = next(_group_numbers)
        group_id = f"group-{number}"
        ids = [f"{number:03d}{one[3:]}" for one in connection_ids(members)]
        await fixtures.fill(self._service, self._dynamodb, group_id, ids)
        return group_id

    async def run(self, handler: str, group_id: str, *more: str, **env: str) -> Measured:
        """Measure an invocation for a group, in an environment that has already served another group."""
        self._warm_group = self._warm_group or await self.fill(WARM_MEMBERS)
        arguments = ("--handler", handler, "--group", group_id, "--warm-group", self._warm_group, *more)
        measured = fixtures.measure("loadtest.bench.invocation", *arguments, env={**self._env, **env})
        if measured["failures"]:
            raise RuntimeError(f"the invocation did not reach all members: {measured}")
        return measured

    def cold(self, handler: str, group_id: str) -> Measured:
        arguments = ("--handler", handler, "--group", group_id)
        return fixtures.measure("loadtest.bench.cold", *arguments, env=self._env)


async def large_group(bench: Bench, invocations: Invocations) -> list[Row]:
    """Measure the time to the last delivery of one message to a large group with stale members."""
    ratios, details = [], []
    for number in range(bench.pairs):
        bench.say(f"pair {number + 1} of {bench.pairs}: {LARGE_GROUP:,} members")
        order = ("engine", "peer") if number % 2 == 0 else ("peer", "engine")
        measured = {one: await invocations.run(one, await invocations.fill(LARGE_GROUP)) for one in order}
        last = (measured["engine"]["last_delivery_s"], measured["peer"]["last_delivery_s"])
        ratios.append(last[1] / last[0])
        details.append(last)
    mine, other = sorted(details)[len(details) // 2]
    name = f"time to the last delivery, {LARGE_GROUP:,} members, 5 % stale, against aioboto3 query + gather"
    return [row_of(name, ratios, 15, detail=f"{mine:.2f} against {other:.2f} s")]


async def burst(bench: Bench, invocations: Invocations) -> list[Row]:
    """Compare the engine with itself without coalescing, on many messages in one batch."""
    posts, cpu = [], []
    arguments = ("--messages", str(BURST_MESSAGES))
    group_id = await invocations.fill(BURST_MEMBERS)
    for number in range(bench.pairs):
        bench.say(f"pair {number + 1} of {bench.pairs}: {BURST_MESSAGES} messages, {BURST_MEMBERS:,} members")
        together = await invocations.run("engine", group_id, *arguments)
        apart = await invocations.run("engine", group_id, *arguments, FRAME_BYTES="0")
        posts.append(apart["posts"] / together["posts"])
        cpu.append(apart["cpu_s"] / together["cpu_s"])
    name = f"burst of {BURST_MESSAGES} messages to {BURST_MEMBERS:,} members, against one post each"
    return [row_of(f"{name}: posts", posts, 20), row_of(f"{name}: CPU", cpu, 10)]


async def growth(bench: Bench, invocations: Invocations) -> list[Row]:
    """Compare CPU a member and peak memory of a small group and a very large one."""
    small_group, large = [await invocations.fill(size) for size in SIZES]
    ratios, megabytes = [], []
    for number in range(bench.pairs):
        bench.say(f"pair {number + 1} of {bench.pairs}: {SIZES[0]:,} and {SIZES[1]:,} members")
        small = await invocations.run("engine", small_group)
        large_one = await invocations.run("engine", large)
        ratios.append((large_one["cpu_s"] / SIZES[1]) / (small["cpu_s"] / SIZES[0]))
        megabytes.append(large_one["peak_mb"] - small["peak_mb"])
    span = f"{SIZES[0]:,} to {SIZES[1]:,} members"
    return [
        row_of(f"growth of CPU a member, {span}", ratios, 1.15, at_most=True),
        row_of(f"growth of peak memory, {span}", megabytes, 30, at_most=True, unit="MB"),
    ]


async def cold_start(bench: Bench, invocations: Invocations) -> list[Row]:
    """Compare the time from import to the first accepted post, in new processes."""
    group_id = await invocations.fill(1)
    pairs = list(
        bench.alternate(
            lambda: invocations.cold("engine", group_id), lambda: invocations.cold("peer", group_id)
        )
    )
    ratios = [theirs["wall_s"] / ours["wall_s"] for ours, theirs in pairs]
    mine, other = (
        sorted(one["wall_s"] for one in side)[len(pairs) // 2] for side in zip(*pairs, strict=True)
    )
    detail = f"{mine * 1e3:.0f} against {other * 1e3:.0f} ms"
    return [row_of("cold start to first post, against aioboto3 + powertools", ratios, 3, detail=detail)]
