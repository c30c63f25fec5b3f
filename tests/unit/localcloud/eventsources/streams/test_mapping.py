"""A mapping over a stream in memory: nothing is skipped, whatever fails."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from localcloud.errors import FunctionError, StartError
from localcloud.eventsources.streams.mapping import Mapping, startable
from tests.unit.localcloud.eventsources.streams.support import (
    FAST,
    FakeInvoker,
    FakeShard,
    FakeStreams,
    Queue,
    a_source,
    failing,
    from_api,
    numbers_of,
    running,
    until,
)

ERROR = FunctionError("f", "ValueError", "poison")


def some_records(count: int, *, keys: int = 1, first: int = 0) -> list[dict[str, Any]]:
    return [from_api(number, key=f"k{number % keys}") for number in range(first, first + count)]


def one_shard(count: int, *, keys: int = 1) -> FakeStreams:
    return FakeStreams(s1=FakeShard(records=some_records(count, keys=keys)))


async def test_delivers_everything_once_and_in_order() -> None:
    """Thousands of records on several pages, in batches of at most the batch size."""
    invoker = FakeInvoker()
    async with running(a_source(one_shard(2500), invoker, batch_size=100)):
        await until(lambda: len(invoker.accepted) >= 2500)
    assert invoker.accepted == list(range(2500))
    assert max(map(len, invoker.batches)) == 100


async def test_lanes_run_concurrently_and_keep_each_items_order() -> None:
    """An item never has two batches in progress."""
    under_way: dict[str, int] = defaultdict(int)
    most = 0

    async def slow(keys: set[str]) -> None:
        nonlocal most
        for key in keys:
            under_way[key] += 1
            assert under_way[key] == 1, "two batches with one item at once"
        most = max(most, sum(1 for count in under_way.values() if count))
        await asyncio.sleep(0.001)
        for key in keys:
            under_way[key] -= 1

    keys_of = {number: f"k{number % 20}" for number in range(400)}
    invoker = FakeInvoker(lambda numbers: slow({keys_of[number] for number in numbers}))
    async with running(a_source(one_shard(400, keys=20), invoker, batch_size=5, parallelization=4)):
        await until(lambda: len(invoker.accepted) >= 400)
    for key in range(20):
        mine = [number for number in invoker.accepted if number % 20 == key]
        assert mine == sorted(mine)
    assert sorted(invoker.accepted) == list(range(400))
    assert most > 5


async def test_a_child_waits_for_its_parents_last_record() -> None:
    """Even if the parent's records take long."""
    gate = asyncio.Event()

    def answer(numbers: list[int]) -> Any:
        return gate.wait() if 0 in numbers else None

    streams = FakeStreams(
        child=FakeShard(parent="parent", records=some_records(5, first=10)),
        parent=FakeShard(parent="trimmed", records=some_records(5), closed=True),
    )
    invoker = FakeInvoker(answer)
    async with running(a_source(streams, invoker)):
        await until(lambda: bool(invoker.batches))
        await asyncio.sleep(5 * FAST.shard_refresh_s)
        assert invoker.batches == [[0, 1, 2, 3, 4]]
        gate.set()
        await until(lambda: len(invoker.batches) == 2)
    assert invoker.batches[1] == [10, 11, 12, 13, 14]


def test_which_shards_may_start() -> None:
    """Those without a parent in the stream, and those whose parent has ended."""
    parents = {"a": None, "b": "a", "c": "gone", "d": "c", "e": "forgotten"}
    assert startable(parents, started=set(), running={"forgotten"}) == ["a", "c"]
    assert startable(parents, started={"a", "c"}, running={"c"}) == ["b", "e"]


async def test_shards_that_appear_later_are_read() -> None:
    """From their start."""
    streams = one_shard(3)
    invoker = FakeInvoker()
    async with running(a_source(streams, invoker)):
        await until(lambda: len(invoker.accepted) == 3)
        streams.shards["s1"].closed = True
        streams.shards["s2"] = FakeShard(parent="s1", records=some_records(3, first=10))
        await until(lambda: len(invoker.accepted) == 6)
    assert invoker.accepted == [0, 1, 2, 10, 11, 12]


async def test_latest_begins_at_start_and_misses_nothing_after_it() -> None:
    """Only records written after start() returned, including those in child shards."""
    streams = FakeStreams(
        old=FakeShard(records=some_records(3), closed=True),
        now=FakeShard(parent="old", records=some_records(3, first=10)),
    )
    invoker = FakeInvoker()
    async with running(a_source(streams, invoker, starting_position="LATEST")):
        streams.shards["now"].records += some_records(2, first=20)
        streams.shards["now"].closed = True
        streams.shards["next"] = FakeShard(parent="now", records=some_records(2, first=30))
        await until(lambda: len(invoker.accepted) == 4)
    assert invoker.accepted == [20, 21, 30, 31]


@pytest.mark.parametrize("reports", [True, False])
async def test_a_poison_record_is_isolated(reports: bool) -> None:
    """Bisecting discards exactly that record, with a document; all others are delivered, in order."""

    def answer(numbers: list[int]) -> Any:
        if 37 in numbers:
            if reports:
                return failing(37)
            raise ERROR
        return None

    invoker, queue = FakeInvoker(answer), Queue()
    async with running(a_source(one_shard(100), invoker, queue, batch_size=100, max_retries=2)):
        await until(lambda: 99 in invoker.accepted)
    assert queue.given_up() == [(37, 37, "RetryAttemptsExhausted")]
    assert ("functionError" in queue.documents[0]["responseContext"]) is not reports
    # A report acknowledges earlier records, which the fake does not record.
    expected = set(range(38, 100)) if reports else set(range(100)) - {37}
    assert set(invoker.accepted) - set(range(37)) == expected - set(range(37))
    assert invoker.accepted == sorted(invoker.accepted)
    assert sum(37 in batch for batch in invoker.batches[-60:] if len(batch) == 1) == 3


async def test_a_report_moves_the_checkpoint_to_the_lowest_record() -> None:
    """The next invocation begins with it."""
    answers = [failing(7, 4), failing(6), None]
    invoker = FakeInvoker(lambda _: answers.pop(0))
    async with running(a_source(one_shard(10), invoker)):
        await until(lambda: 9 in invoker.accepted)
    assert invoker.batches == [list(range(10)), list(range(4, 10)), list(range(6, 10))]


async def test_old_records_are_given_up_without_an_invocation() -> None:
    """Expired records go to the destination, the rest of the batch to the function."""
    records = [from_api(0, age_s=7200), from_api(1, age_s=7100), from_api(2)]
    invoker, queue = FakeInvoker(), Queue()
    streams = FakeStreams(s1=FakeShard(records=records))
    async with running(a_source(streams, invoker, queue, max_record_age_s=60)):
        await until(lambda: bool(invoker.accepted))
    assert queue.given_up() == [(0, 1, "RecordAgeExceeded")]
    assert queue.documents[0]["requestContext"]["approximateInvokeCount"] == 0
    assert invoker.batches == [[2]]


@pytest.mark.parametrize("seed", range(8))
async def test_nothing_is_skipped_whatever_the_function_does(seed: int) -> None:
    """With random errors, throttles, partial and invalid reports, every record is delivered in the end."""
    chance = random.Random(seed)
    delivered: list[int] = []

    def answer(numbers: list[int]) -> Any:
        dice = chance.random()
        if dice < 0.15:
            raise ERROR
        if dice < 0.25:
            raise FunctionError("f", "TooManyRequestsException", "Rate Exceeded")
        if dice < 0.30:
            raise RuntimeError("a bug of the invoker")
        if dice < 0.35:
            return failing(10**6)
        if dice < 0.55:
            at = chance.randrange(len(numbers))
            delivered.extend(numbers[:at])
            return failing(*numbers[at:])
        delivered.extend(numbers)
        return None

    source = a_source(
        one_shard(300, keys=30),
        FakeInvoker(answer),
        batch_size=chance.choice([1, 7, 50]),
        parallelization=chance.choice([1, 3]),
        bisect_on_error=chance.random() < 0.5,
    )
    async with running(source):
        await until(lambda: len(set(delivered)) == 300)
    for key in range(30):
        firsts = list(dict.fromkeys(number for number in delivered if number % 30 == key))
        assert firsts == sorted(firsts)


async def test_throttling_costs_no_retry() -> None:
    """An unreachable function is tried again even if failures are not retried."""
    refusals = 5

    def answer(_: list[int]) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise FunctionError("f", "TooManyRequestsException", "Rate Exceeded")

    invoker, queue = FakeInvoker(answer), Queue()
    async with running(a_source(one_shard(3), invoker, queue, max_retries=0, bisect_on_error=False)):
        await until(lambda: bool(invoker.accepted))
    assert invoker.accepted == [0, 1, 2]
    assert not queue.documents


async def test_faults_of_the_stream_skip_and_repeat_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Expired iterators and failed calls resume after the last read record; an outage is reported once."""
    streams, invoker = one_shard(5), FakeInvoker()
    async with running(a_source(streams, invoker)):
        await until(lambda: len(invoker.accepted) == 5)
        streams.faults = ["ExpiredIteratorException", "InternalServerError", "InternalServerError"]
        streams.shards["s1"].records += some_records(5, first=10)
        await until(lambda: len(invoker.accepted) == 10)
    assert invoker.accepted == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert capsys.readouterr().err.count("cannot read the stream of T") == 1


async def test_a_trimmed_position_continues_with_the_oldest_record() -> None:
    streams, invoker = one_shard(5), FakeInvoker()
    async with running(a_source(streams, invoker)):
        await until(lambda: len(invoker.accepted) == 5)
        streams.shards["s1"].records[:] = some_records(2, first=50)
        streams.faults = ["TrimmedDataAccessException"]
        await until(lambda: len(invoker.accepted) == 7)
    assert invoker.accepted[5:] == [50, 51]


async def test_reads_no_further_ahead_than_the_limit() -> None:
    """While the function hangs; then all records are delivered."""
    gate = asyncio.Event()
    streams, invoker = one_shard(500), FakeInvoker(lambda _: None if gate.is_set() else gate.wait())
    settings = replace(FAST, read_ahead_records=50)
    async with running(a_source(streams, invoker, settings=settings, batch_size=10)):
        await until(lambda: streams.most_read == 50)
        await asyncio.sleep(20 * FAST.poll_interval_s)
        assert streams.most_read == 50
        gate.set()
        await until(lambda: sum(map(len, invoker.batches)) == 500)


async def test_filters_and_observer() -> None:
    """The function gets the filtered records, the observer all of them."""
    streams = one_shard(4)
    streams.shards["s1"].records[2]["eventName"] = "REMOVE"
    seen: list[int] = []
    invoker = FakeInvoker()
    source = a_source(
        streams,
        invoker,
        filters=({"eventName": ["INSERT"]},),
        observer=lambda records: seen.extend(numbers_of(records)),
    )
    async with running(source):
        await until(lambda: len(invoker.accepted) == 3)
    assert (seen, invoker.accepted) == ([0, 1, 2, 3], [0, 1, 3])


async def test_a_defect_while_reading_repeats_the_shard(capsys: pytest.CaptureFixture[str]) -> None:
    """From its start, with a report on stderr."""
    failures = [RuntimeError("defect")]

    def observer(_: Any) -> None:
        if failures:
            raise failures.pop()

    invoker = FakeInvoker()
    async with running(a_source(one_shard(3), invoker, observer=observer)):
        await until(lambda: len(invoker.accepted) == 3)
    assert "cannot follow the stream of T" in capsys.readouterr().err


async def test_a_destination_that_fails_does_not_stop_the_shard(capsys: pytest.CaptureFixture[str]) -> None:
    """After the limit of attempts one line reports the loss, and the shard continues."""

    def answer(numbers: list[int]) -> None:
        if 1 in numbers:
            raise ERROR

    invoker, queue = FakeInvoker(answer), Queue(OSError("queue is down"))
    async with running(a_source(one_shard(5), invoker, queue, batch_size=1, max_retries=0)):
        await until(lambda: 4 in invoker.accepted)
    assert invoker.accepted == [0, 2, 3, 4]
    assert queue.attempts == FAST.destination_attempts
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "Failures refuses them" in line] == lines
    assert len(lines) == 1


async def test_close_lets_the_running_invocation_end() -> None:
    """And starts no other one."""
    gate, ended = asyncio.Event(), []

    async def slow() -> None:
        await gate.wait()
        ended.append(True)

    invoker = FakeInvoker(lambda _: slow())
    mapping = Mapping(a_source(one_shard(10), invoker, batch_size=1))
    await mapping.start()
    await until(lambda: bool(invoker.batches))
    closing = asyncio.create_task(mapping.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert (ended, invoker.batches) == ([True], [[0]])


async def test_close_does_not_wait_for_ever() -> None:
    """It abandons an invocation after close_timeout_s."""
    invoker = FakeInvoker(lambda _: asyncio.Event().wait())
    mapping = Mapping(a_source(one_shard(1), invoker))
    await mapping.start()
    await until(lambda: bool(invoker.batches))
    async with asyncio.timeout(20 * FAST.close_timeout_s):
        await mapping.close()


async def test_close_ends_waits_at_once() -> None:
    """Backoff, window and an idle shard do not delay it."""
    settings = replace(FAST, retry_min_s=3600, retry_max_s=3600, poll_interval_s=3600, close_timeout_s=3600)

    def answer(_: list[int]) -> None:
        raise ERROR

    streams = FakeStreams(s1=FakeShard(records=some_records(3)), s2=FakeShard())
    invoker = FakeInvoker(answer)
    mapping = Mapping(a_source(streams, invoker, settings=settings, window_s=0))
    await mapping.start()
    await until(lambda: bool(invoker.batches))
    await mapping.close()
    assert len(invoker.batches) == 1


async def test_a_missing_stream_is_a_start_error() -> None:
    """In one line, and nothing keeps running."""
    streams = one_shard(1)
    mapping = Mapping(a_source(streams, FakeInvoker()))

    async def describe_stream(**_: Any) -> Any:
        raise OSError("connection refused")

    streams.describe_stream = describe_stream  # type: ignore[method-assign,assignment]  # the fault
    with pytest.raises(StartError, match="cannot read the stream of T"):
        await mapping.start()


async def test_a_hop_delays_records_and_keeps_their_order() -> None:
    """Neither function nor observer sees a record before its page's delay is over."""
    draws_s = iter((0.15, *([0.0] * 1_000_000)))
    streams = one_shard(5)
    seen_s: list[float] = []
    loop = asyncio.get_running_loop()
    invoker = FakeInvoker()
    source = a_source(streams, invoker, observer=lambda _: seen_s.append(loop.time()))
    started_s = loop.time()
    async with running(replace(source, hop_s=lambda: next(draws_s))):
        await until(lambda: bool(streams.most_read))
        # A second page with a shorter delay.
        streams.shards["s1"].records += some_records(5, first=5)
        await until(lambda: streams.most_read == 10)
        assert invoker.batches == []
        await until(lambda: len(invoker.accepted) == 10)
    assert invoker.accepted == list(range(10))
    assert min(seen_s) - started_s >= 0.15


async def test_a_hop_counts_from_between_two_reads() -> None:
    """A record's write time is taken as halfway between the read that missed it and the one that found it."""
    settings = replace(FAST, poll_interval_s=1.0)
    streams = FakeStreams(s1=FakeShard())
    found_s: list[float] = []
    loop = asyncio.get_running_loop()
    source = a_source(
        streams, FakeInvoker(), settings=settings, observer=lambda _: found_s.append(loop.time())
    )
    async with running(replace(source, hop_s=lambda: 0.5)):
        await until(lambda: len(streams.limits) == 1)
        streams.shards["s1"].records += some_records(1)
        await until(lambda: len(streams.limits) == 2)
        read_s = loop.time()
        await until(lambda: bool(found_s))
    # Half a second has passed by then, which is all of the delay.
    assert found_s[0] - read_s < 0.4


async def test_a_shards_end_waits_for_delayed_records() -> None:
    """A child shard starts after them."""
    streams = FakeStreams(
        child=FakeShard(parent="parent", records=some_records(2, first=10)),
        parent=FakeShard(records=some_records(2), closed=True),
    )
    invoker = FakeInvoker()
    async with running(replace(a_source(streams, invoker), hop_s=lambda: 0.05)):
        await until(lambda: len(invoker.accepted) == 4)
    assert invoker.accepted == [0, 1, 10, 11]
