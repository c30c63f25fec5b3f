"""Costs of actions, and the buckets compared with a simple model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast import ratelimit
from groupcast.ratelimit import US_PER_MS, US_PER_S, Bucket, Charge, GroupLimit


def take(charge: Charge, full_at: int, now: int) -> int | None:
    """Take tokens; return the time at which the bucket is full again, None if it has too few."""
    return charge.next_full_us(full_at, now) if full_at <= charge.latest_full_us(now) else None


def test_a_burst_and_then_the_rate() -> None:
    """20 at once, then one every 100 ms."""
    charge, full_at, taken = Bucket(10, 20).charge(1), 0, 0
    for ms in range(10_000):
        now = US_PER_S + ms * US_PER_MS
        while (after := take(charge, full_at, now)) is not None:
            full_at, taken = after, taken + 1
        if ms == 0:
            assert taken == 20
    assert taken == 20 + 99


@given(
    per_second=st.integers(1, 1000),
    burst=st.integers(1, 100),
    steps=st.lists(st.tuples(st.integers(0, 3 * US_PER_S), st.floats(0.25, 100)), max_size=60),
)
def test_never_more_than_the_bucket_gives(
    per_second: int, burst: int, steps: list[tuple[int, float]]
) -> None:
    """In any period: the burst and the refill, except for the last action's debt.

    After the named wait, the request is accepted.
    """
    bucket, full_at, now = Bucket(per_second, burst), 0, US_PER_S * 1000
    taken: list[tuple[int, int]] = []
    for wait_us, tokens in steps:
        now += wait_us
        charge = bucket.charge(tokens)
        after = take(charge, full_at, now)
        if after is None:
            retry_at = now + charge.retry_after_ms(full_at, now) * US_PER_MS
            assert take(charge, full_at, retry_at) is not None
            continue
        full_at = after
        taken.append((now, charge.cost_us))
        for first, (start, _) in enumerate(taken):
            spent = sum(cost for _, cost in taken[first:-1]) + min(charge.cost_us, charge.burst_us)
            assert spent <= charge.burst_us + now - start


def test_a_group_takes_time_for_messages_or_for_bytes() -> None:
    """The larger one: many short messages, or one of maximum length."""
    limit = GroupLimit(50, 32_768)
    assert limit.charge(100).cost_us == US_PER_S // 50
    assert limit.charge(6 * 16_384).cost_us == 3 * US_PER_S


def test_costs_of_actions() -> None:
    """A message costs a token per KB in frames; a reply by its size."""
    assert ratelimit.message_tokens(ratelimit.text_bytes("x" * 1000)) == 1
    assert ratelimit.message_tokens(ratelimit.text_bytes("x" * 16_384)) == 16
    assert ratelimit.text_bytes("\x00" * 16_384) == 6 * 16_384
    assert ratelimit.text_bytes("안녕") == 6
    assert ratelimit.read_tokens(0) == ratelimit.read_tokens(16 * 1024) == ratelimit.READ_TOKENS
    assert ratelimit.read_tokens(120 * 1024) == 7.5 * ratelimit.READ_TOKENS


def test_a_page_with_ten_tabs_stays_within_the_default_burst() -> None:
    """Each connects, joins, gets a replay of 200 typical messages, and pings, all at once."""
    replay = ratelimit.read_tokens(200 * 250) - ratelimit.READ_TOKENS
    tab = ratelimit.CONNECT_TOKENS + ratelimit.JOIN_TOKENS + replay + ratelimit.PING_TOKENS
    assert 10 * tab <= 20
