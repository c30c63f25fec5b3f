"""The bucket against a plain model of one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast.ratelimit import US_PER_MS, US_PER_S, Bucket


def take(bucket: Bucket, full_at: int, now: int) -> int | None:
    """What the table does in its conditions; None where the bucket is empty."""
    if full_at <= now:
        return now + bucket.interval_us
    return full_at + bucket.interval_us if full_at <= bucket.latest_full_us(now) else None


def test_a_burst_and_then_the_rate() -> None:
    """20 at once, then one every 100 ms."""
    bucket, full_at, taken = Bucket(10, 20), 0, 0
    for ms in range(10_000):
        now = US_PER_S + ms * US_PER_MS
        while (after := take(bucket, full_at, now)) is not None:
            full_at, taken = after, taken + 1
        if ms == 0:
            assert taken == 20
    assert taken == 20 + 99


@given(
    per_second=st.integers(1, 1000),
    burst=st.integers(1, 100),
    waits_us=st.lists(st.integers(0, 3 * US_PER_S), max_size=60),
)
def test_never_more_than_the_bucket_gives(per_second: int, burst: int, waits_us: list[int]) -> None:
    """Over any stretch of time: at most the burst and what came in since; told to wait, one gets its turn."""
    bucket, full_at, now = Bucket(per_second, burst), 0, US_PER_S * 1000
    taken: list[int] = []
    for wait_us in waits_us:
        now += wait_us
        after = take(bucket, full_at, now)
        if after is None:
            retry_at = now + bucket.retry_after_ms(full_at, now) * US_PER_MS
            assert take(bucket, full_at, retry_at) is not None
            assert bucket.retry_after_ms(full_at, now) <= -(-bucket.interval_us // US_PER_MS)
            continue
        full_at = after
        taken.append(now)
        for first, start in enumerate(taken):
            assert len(taken) - first <= burst + (now - start) / bucket.interval_us
