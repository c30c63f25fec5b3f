"""The account's quota: the bucket by itself, and the answers to throttled clients and senders."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast.aws.management import Outcome, classify
from localcloud.gateway import AccountQuota, GatewayLimits
from localcloud.gateway.management import REQUESTS_PATH
from localcloud.gateway.quota import Requests, TokenBucket
from tests.unit.localcloud.gateway.support import (
    ROUTES,
    Functions,
    at,
    dial,
    handshake,
    http,
    joined,
    serving,
)

# So slow that nothing refills during a test.
SLOW_RATE_PER_S = 0.001


def limited_to(requests: int) -> GatewayLimits:
    return GatewayLimits(account_quota=AccountQuota(SLOW_RATE_PER_S, requests))


@given(
    rate=st.integers(1, 10_000),
    burst=st.integers(1, 5_000),
    gaps_ms=st.lists(st.integers(0, 2_000), min_size=1, max_size=300),
)
def test_a_bucket_never_gives_more_than_its_rate_and_burst(rate: int, burst: int, gaps_ms: list[int]) -> None:
    """Between any two takes: at most the burst plus the refill."""
    bucket = TokenBucket(AccountQuota(rate, burst), 0.0)
    at_ms, taken_ms = 0, []
    for gap_ms in gaps_ms:
        at_ms += gap_ms
        if bucket.take(at_ms / 1000):
            taken_ms.append(at_ms)
    for first, from_ms in enumerate(taken_ms):
        for last in range(first, len(taken_ms)):
            span_s = (taken_ms[last] - from_ms) / 1000
            assert last - first + 1 <= burst + rate * span_s + 1e-6


def test_a_bucket_gives_its_whole_rate_and_burst() -> None:
    """Under constant demand the burst, then the rate; a long pause refills it up to the burst."""
    bucket = TokenBucket(AccountQuota(100, 50), 0.0)
    assert sum(bucket.take(0.0) for _ in range(200)) == 50
    assert sum(bucket.take(number / 1000) for number in range(1, 2001)) == 200
    assert sum(bucket.take(1000.0) for _ in range(200)) == 50


def test_a_refusal_takes_no_token() -> None:
    """Refused requests do not delay the next token."""
    bucket = TokenBucket(AccountQuota(1, 1), 0.0)
    assert bucket.take(0.0)
    assert not any(bucket.take(number / 100) for number in range(1, 99))
    assert bucket.take(1.01)


@pytest.mark.parametrize(
    ("rate_per_s", "burst"), [(0, 5), (5, 0), (-1, 5), (float("nan"), 5), (float("inf"), 5)]
)
def test_impossible_quotas_are_refused(rate_per_s: float, burst: float) -> None:
    """A quota that would admit nothing, or everything."""
    with pytest.raises(ValueError, match="account quota"):
        AccountQuota(rate_per_s, burst)


def test_all_kinds_share_one_bucket() -> None:
    """Tokens taken by posts are missing for frames and connects; each kind is counted separately."""
    requests = Requests(AccountQuota(1, 3), lambda: 0.0)
    assert [requests.posts.admit(), requests.posts.admit(), requests.connects.admit()] == [True] * 3
    assert [requests.frames.admit(), requests.other_calls.admit()] == [False] * 2
    assert requests.counts() == {
        "posts": {"accepted": 2, "refused": 0},
        "otherCalls": {"accepted": 0, "refused": 1},
        "frames": {"accepted": 0, "refused": 1},
        "connects": {"accepted": 1, "refused": 0},
    }


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_throttled_call_is_429_and_changes_nothing(method: str) -> None:
    """The documented exception with a text that groupcast recognises as a throttle."""
    functions = Functions()
    async with (
        serving(functions, limits=limited_to(2)) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        assert (await sender.request("POST", at(id_), body=b"first")).status == 200
        refused = await sender.request(method, at(id_), body=b"second")
        assert refused.error == (429, "LimitExceededException", "Too Many Requests")
        assert classify(refused.status, refused.headers["x-amzn-errortype"]) is Outcome.THROTTLED
        assert await client.recv() == "first"
        await client.close()
        # The client's buffer would hold the second one, too, if it had been sent.
        assert [message async for message in client] == []


async def test_a_throttled_frame_is_answered_by_the_gateway_and_reaches_no_function() -> None:
    """API Gateway's own error frame has neither a type nor the client's id."""
    functions = Functions(send={"body": "sent"})
    frame = '{"action": "sendMessage", "message": "hi", "id": 7}'
    async with (
        serving(functions, limits=limited_to(2)) as gateway,
        joined(gateway, functions) as (client, id_),
    ):
        await client.send(frame)
        assert await client.recv() == "sent"
        await client.send(frame)
        complaint = json.loads(await client.recv())
    assert complaint.keys() == {"message", "connectionId", "requestId"}
    assert (complaint["message"], complaint["connectionId"]) == ("Too Many Requests", id_)
    assert len(functions.events("send")) == 1


async def test_a_throttled_connect_is_429_before_any_function() -> None:
    """Neither authorizer nor $connect runs, even without a $connect."""
    for routes in (ROUTES, ROUTES[2:]):
        functions = Functions()
        async with serving(functions, *routes, limits=limited_to(1)) as gateway, dial(gateway):
            calls = len(functions.calls)
            refused = await handshake(gateway)
            assert refused.status == 429
            assert json.loads(refused.body)["message"] == "Too Many Requests"
            assert len(functions.calls) == calls


async def counts(gateway: Any) -> Any:
    async with http(gateway) as reader:
        response = await reader.request("GET", REQUESTS_PATH, headers={})
        assert response.status == 200
        return json.loads(response.body)


async def test_the_gateway_counts_with_and_without_a_quota() -> None:
    """A local address returns accepted and refused requests; reading it and unsigned calls are free."""
    for limits, refused in ((GatewayLimits(), 0), (limited_to(4), 2)):
        functions = Functions()
        async with serving(functions, limits=limits) as gateway, http(gateway) as sender:
            async with joined(gateway, functions) as (client, id_):
                await client.send("frame")
                await functions.called("default")
                for _ in range(2 + refused):
                    await sender.request("POST", at(id_), body=b"x")
                await sender.request("POST", at(id_), body=b"x", headers={})
            assert (
                await counts(gateway)
                == await counts(gateway)
                == {
                    "posts": {"accepted": 2, "refused": refused},
                    "otherCalls": {"accepted": 0, "refused": 0},
                    "frames": {"accepted": 1, "refused": 0},
                    "connects": {"accepted": 1, "refused": 0},
                }
            )
