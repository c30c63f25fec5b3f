"""Forming batches, and deciding about retries."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.eventsources.streams import batching
from localcloud.eventsources.streams.batching import Batch
from tests.unit.localcloud.eventsources.streams.support import a_mapping, a_record, failing


def numbers(batch: Batch | None) -> list[int]:
    return [] if batch is None else [int(record.sequence_number) for record in batch.records]


def a_batch(count: int, **counts: int) -> Batch:
    return Batch(tuple(a_record(number) for number in range(count)), **counts)


def test_without_a_window_all_waiting_records_are_taken() -> None:
    """Up to the batch size, at once."""
    waiting = [a_record(number) for number in range(5)]
    assert batching.take(waiting, a_mapping(batch_size=10), waited_s=0, ended=False) == 5
    assert batching.take(waiting, a_mapping(batch_size=3), waited_s=0, ended=False) == 3
    assert batching.take([], a_mapping(batch_size=3), waited_s=0, ended=True) == 0


def test_a_window_is_waited_for_unless_the_batch_is_full_or_the_shard_has_ended() -> None:
    waiting = [a_record(number) for number in range(5)]
    patient = a_mapping(batch_size=10, window_s=2)
    assert batching.take(waiting, patient, waited_s=1.9, ended=False) == 0
    assert batching.take(waiting, patient, waited_s=2.0, ended=False) == 5
    assert batching.take(waiting, patient, waited_s=0, ended=True) == 5
    assert batching.take(waiting, a_mapping(batch_size=5, window_s=2), waited_s=0, ended=False) == 5


@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=30))
def test_batches_stay_below_the_payload_limit(sizes: list[int]) -> None:
    """For any sizes, all records are taken, in order, in events of at most 6 MB."""
    waiting = deque(a_record(number, size_bytes=size) for number, size in enumerate(sizes))
    mapping = a_mapping(batch_size=10_000, window_s=300)
    taken = 0
    while waiting:
        count = batching.take(waiting, mapping, waited_s=0, ended=len(waiting) + taken == len(sizes))
        if not count:
            # Nothing is due only while a window is open and the rest would fit.
            assert sum(record.size_bytes for record in waiting) < batching.MAX_BATCH_BYTES
            break
        batch = [waiting.popleft() for _ in range(count)]
        assert len(batch) == 1 or sum(r.size_bytes + 1 for r in batch) + 14 <= batching.MAX_BATCH_BYTES
        taken += count


@given(st.text(), st.integers(1, 10))
def test_records_of_one_item_share_a_lane(key: str, lanes: int) -> None:
    """The lane depends only on the key."""
    first, second = a_record(1, key=key), a_record(2, key=key)
    assert batching.lane_of(first, lanes) == batching.lane_of(second, lanes) in range(lanes)


@pytest.mark.parametrize(
    ("response", "delivered"),
    [
        (None, 4),
        ({}, 4),
        ({"batchItemFailures": []}, 4),
        ({"batchItemFailures": None}, 4),
        ({"statusCode": 200}, 4),
        (failing(2), 2),
        (failing(3, 1, 2), 1),
        (failing(0), 0),
        (failing(99), 0),
        (failing(3, 99), 0),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": {}}]}, 0),
        ({"batchItemFailures": [{"id": "3"}]}, 0),
        ({"batchItemFailures": ["3"]}, 0),
        ({"batchItemFailures": "3"}, 0),
        ({"batchItemFailures": {}}, 0),
        ("all done", 0),
        ([1], 0),
    ],
)
def test_records_acknowledged_by_a_response(response: Any, delivered: int) -> None:
    """All before the lowest named number; none if the response is malformed or names an unknown one."""
    assert batching.count_delivered(a_batch(4), a_mapping(), response) == delivered


def test_responses_count_only_with_report_batch_item_failures() -> None:
    """Otherwise every return is a success."""
    mapping = a_mapping(report_item_failures=False)
    assert batching.count_delivered(a_batch(4), mapping, failing(0)) == 4


def test_a_failed_batch_is_retried_whole_until_its_retries_are_used() -> None:
    """Without bisecting: max_retries more invocations, then it is discarded."""
    mapping = a_mapping(bisect_on_error=False, max_retries=2)
    batch, invoked = a_batch(3), 0
    while True:
        invoked += 1
        following = batching.after_failure(batch, mapping, delivered=0)
        if following.given_up is not None:
            break
        (batch,) = following.todo
        assert numbers(batch) == [0, 1, 2]
    assert invoked == 3
    assert (numbers(following.given_up), following.given_up.invocations) == ([0, 1, 2], 3)


def test_delivered_records_are_not_retried() -> None:
    """The checkpoint moves up to the failed record, even if the rest is discarded."""
    mapping = a_mapping(bisect_on_error=False, max_retries=1)
    (rest,) = batching.after_failure(a_batch(5), mapping, delivered=2).todo
    assert (numbers(rest), rest.retries) == ([2, 3, 4], 1)
    assert numbers(batching.after_failure(rest, mapping, delivered=1).given_up) == [3, 4]


def test_bisecting_costs_no_retry() -> None:
    """Two halves, the first one first, with the batch's retries; a single record is not split."""
    mapping = a_mapping(max_retries=0)
    left, right = batching.after_failure(a_batch(5), mapping, delivered=0).todo
    assert (numbers(left), numbers(right)) == ([0, 1], [2, 3, 4])
    assert (left.retries, left.invocations) == (0, 1)
    assert numbers(batching.after_failure(a_batch(1), mapping, delivered=0).given_up) == [0]


def test_bisecting_with_a_report_splits_at_the_reported_record() -> None:
    """The rest continues in one piece, without counting a retry."""
    (rest,) = batching.after_failure(a_batch(5), a_mapping(max_retries=0), delivered=4).todo
    assert (numbers(rest), rest.retries) == ([4], 0)


def test_unlimited_retries_never_give_up() -> None:
    """max_retries = -1."""
    following = batching.after_failure(a_batch(1, retries=10**6), a_mapping(max_retries=-1), delivered=0)
    assert following.given_up is None


@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.integers(0, 3), st.booleans())
def test_bisecting_isolates_failing_records(
    count: int, poison: set[int], max_retries: int, reports: bool
) -> None:
    """Exactly these are discarded, one by one; all others are delivered, in order."""
    mapping = a_mapping(max_retries=max_retries)
    todo, finished, given_up, invocations = [a_batch(count)], [], set(), 0
    while todo:
        batch = todo.pop()
        invocations += 1
        failed = [place for place, number in enumerate(numbers(batch)) if number in poison]
        delivered = len(batch.records) if not failed else failed[0] if reports else 0
        finished += numbers(batch)[:delivered]
        if not failed:
            continue
        following = batching.after_failure(batch, mapping, delivered)
        todo.extend(reversed(following.todo))
        if following.given_up is not None:
            assert len(following.given_up.records) == 1
            given_up |= set(numbers(following.given_up))
            finished += numbers(following.given_up)
    assert finished == list(range(count))
    assert given_up == poison & set(range(count))
    assert invocations <= 2 * count * (max_retries + 2)


def test_old_records_expire_and_the_others_stay() -> None:
    """Past the mapping's age limit or else the stream's day; never earlier."""
    old, young = a_record(1, created_s=1000.0), a_record(2, created_s=1500.0)
    batch = Batch((old, young), retries=2, invocations=3)
    limited = a_mapping(max_record_age_s=100)
    assert batching.split_expired(batch, limited, now_s=1160.0) == (None, batch)
    expired, alive = batching.split_expired(batch, limited, now_s=1160.1)
    assert (numbers(expired), numbers(alive)) == ([1], [2])
    assert alive is not None
    assert (alive.retries, alive.invocations) == (2, 3)
    assert batching.split_expired(batch, limited, now_s=9999.0)[1] is None
    unlimited = a_mapping()
    assert batching.split_expired(batch, unlimited, now_s=1000.0 + 86_400)[0] is None
    assert numbers(batching.split_expired(batch, unlimited, now_s=1100.0 + 86_400)[0]) == [1]


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_within_its_bounds(retry: int, chance: float) -> None:
    """Between half and all of a doubling delay, up to the maximum."""
    wait_s = batching.backoff_s(retry, min_s=0.1, max_s=10.0, chance=chance)
    full_s = min(10.0, 0.1 * 2 ** min(retry, 10))
    assert full_s / 2 <= wait_s <= full_s
