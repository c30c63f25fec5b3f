"""Fakes for the fan-out: a poster with chosen answers, members in lists, and faulty AWS services."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from groupcast.aws.errors import ServiceError
from groupcast.aws.management import Outcome, PostResult
from groupcast.fanout.batch import Frame, GroupBatch
from groupcast.fanout.budget import Budget
from groupcast.fanout.engine import Engine
from groupcast.fanout.limits import Limits
from groupcast.model import Message, iso_ms
from groupcast.slots import SlotRange
from groupcast.tables.items import encode
from groupcast.tables.members import Page

# Real but shorter waits; the grace exceeds any pause of the test machine.
FAST = Limits(retry_base_s=0.001, retry_cap_s=0.005, refusal_cap_s=0.005, full_base_s=0.001, grace_s=5.0)
# A retry that usually begins after the grace.
LATE = Limits(retry_base_s=1000.0, retry_cap_s=1000.0, refusal_cap_s=1000.0, full_base_s=1000.0)
ACCEPTED = PostResult(Outcome.ACCEPTED, 200)
GONE = PostResult(Outcome.GONE, 410)
THROTTLED = PostResult(Outcome.THROTTLED, 429)
FULL = PostResult(Outcome.FULL, 429)
ERROR = PostResult(Outcome.RETRYABLE, 500)
REFUSED = PostResult(Outcome.REFUSED, 413, "PayloadTooLargeException")

Answer = Callable[[str, bytes, int], PostResult | None]


class FakePoster:
    """Answers each post with `answer(connection_id, data, attempt)`; None delays it until its release."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.received: dict[str, list[bytes]] = {}
        self.attempts: Counter[tuple[str, bytes]] = Counter()
        self.deleted: list[str] = []
        self.in_flight = 0
        self.in_flight_max = 0
        self.held: dict[str, Callable[[], None]] = {}
        self.held_answer = ACCEPTED
        self.prepare_s = 0.0
        self.delete_answer = PostResult(Outcome.ACCEPTED, 204)

    def posts_to(self, connection_id: str) -> int:
        return sum(count for (connection, _), count in self.attempts.items() if connection == connection_id)

    async def batch(self, data: bytes) -> FakePost:
        await asyncio.sleep(self.prepare_s)
        return FakePost(self, data)

    async def delete(self, connection_id: str) -> PostResult:
        self.deleted.append(connection_id)
        return self.delete_answer


class FakePost:
    def __init__(self, poster: FakePoster, data: bytes) -> None:
        self._poster = poster
        self._data = data

    def send(self, connection_id: str, on_result: Callable[[str, PostResult], None]) -> None:
        poster = self._poster
        poster.attempts[connection_id, self._data] += 1
        poster.in_flight += 1
        poster.in_flight_max = max(poster.in_flight_max, poster.in_flight)
        result = poster.answer(connection_id, self._data, poster.attempts[connection_id, self._data])
        if result is None:
            poster.held[connection_id] = lambda: self._done(connection_id, on_result, poster.held_answer)
            return
        if result.outcome is Outcome.ACCEPTED:
            poster.received.setdefault(connection_id, []).append(self._data)
        asyncio.get_running_loop().call_soon(self._done, connection_id, on_result, result)

    def _done(
        self, connection_id: str, on_result: Callable[[str, PostResult], None], result: PostResult
    ) -> None:
        self._poster.in_flight -= 1
        on_result(connection_id, result)


class FakeMembers:
    """Members with their index as slot."""

    def __init__(self, groups: dict[str, list[str]], page_size: int = 100) -> None:
        self.groups = groups
        self.page_size = page_size
        self.discarded: list[str] = []
        self.flushed: list[str] = []
        self.expired: list[str] = []
        self.broken_after: int | None = None

    async def pages(self, group_id: str, slots: SlotRange) -> AsyncGenerator[Page, None]:
        ids = self.groups[group_id]
        last = min(len(ids), slots.last + 1)
        for number, start in enumerate(range(slots.first, last, self.page_size)):
            if number == self.broken_after:
                raise OSError("no more pages")
            await asyncio.sleep(0)
            end = min(start + self.page_size, last)
            expired, self.expired = self.expired, []
            is_last = end == last
            yield Page(ids[start:end], expired, slots.last + 1 if is_last else end, is_last)

    async def listed(self, group_id: str, connection_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        del group_id
        await asyncio.sleep(0)
        for number, start in enumerate(range(0, len(connection_ids), self.page_size)):
            if number == self.broken_after:
                raise OSError("no more pages")
            end = min(start + self.page_size, len(connection_ids))
            yield Page(list(connection_ids[start:end]), [], end, end == len(connection_ids))

    def discard(self, connection_id: str, _group_id: str) -> None:
        self.discarded.append(connection_id)

    async def flush(self) -> None:
        self.flushed = list(self.discarded)


def group(name: str, *frames: tuple[bytes, int], connections: list[str] | None = None) -> GroupBatch:
    """A group with frames of so many messages; those of frame `b"1"` have the ids `1.0`, `1.1` and so on."""
    made = tuple(
        Frame(data, tuple(f"{data.decode()}.{number}" for number in range(messages)), 0)
        for data, messages in frames
    )
    only = None if connections is None else tuple(connections)
    return GroupBatch(name, made, sum(messages for _, messages in frames), ("100",), only)


def ids(count: int, prefix: str = "c") -> list[str]:
    return [f"{prefix}{number}=" for number in range(count)]


class FakeActivity:
    """Recently `active` connections; raises `failure`, or never answers if it `hangs`."""

    def __init__(self, *active: str) -> None:
        self.active = set(active)
        self.failure: Exception | None = None
        self.hangs = False
        self.asked: list[list[str]] = []

    async def recent(self, connection_ids: Sequence[str]) -> set[str]:
        self.asked.append(list(connection_ids))
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(1000 if self.hangs else 0)
        return self.active.intersection(connection_ids)


def engine(
    members: FakeMembers,
    poster: FakePoster,
    limits: Limits = FAST,
    budget: Budget | None = None,
    activity: FakeActivity | None = None,
) -> Engine:
    return Engine(members, members, poster, limits, random.Random(7).random, budget, activity)


def later(seconds: float = 20.0) -> float:
    return asyncio.get_running_loop().time() + seconds


class FakeSqs:
    """SendMessageBatch. `fails(body)` returns an entry's failure (is it the sender's fault?) or None."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, int]] = []
        self.entries: list[dict[str, Any]] = []
        self.batch_sizes: list[int] = []
        self.calls = 0
        self.broken = 0
        self.fails: Callable[[str], bool | None] = lambda _: None

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        assert operation == "SendMessageBatch"
        self.calls += 1
        entries = payload["Entries"]
        self.batch_sizes.append(len(entries))
        if self.broken:
            self.broken -= 1
            raise ServiceError(operation, 500, "InternalFailure", "as told", passing=True)
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        for entry in entries:
            fault = self.fails(entry["MessageBody"])
            if fault is None:
                self.sent.append((payload["QueueUrl"], entry["MessageBody"], entry.get("DelaySeconds", 0)))
                self.entries.append(entry)
                answer["Successful"].append({"Id": entry["Id"]})
            else:
                answer["Failed"].append({"Id": entry["Id"], "SenderFault": fault, "Code": "AsTold"})
        return answer

    def bodies(self, url: str) -> list[str]:
        return [body for queue, body, _ in self.sent if queue == url]

    @property
    def failure(self) -> tuple[str, str]:
        """The reason and the item of the only message with both."""
        (attributes,) = [entry["MessageAttributes"] for entry in self.entries if "MessageAttributes" in entry]
        return attributes["reason"]["StringValue"], attributes["item"]["StringValue"]


class FakeMessages:
    """BatchGetItem over a list of messages; `unprocessed` answers omit all but the first key."""

    def __init__(self, *messages: Message) -> None:
        self.items = {message.key: item_of(message) for message in messages}
        self.unprocessed = 0
        self.broken = False
        self.key_counts: list[int] = []

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        assert operation == "BatchGetItem"
        if self.broken:
            raise ServiceError(operation, 500, "InternalServerError", "as told", passing=True)
        ((table, request),) = payload["RequestItems"].items()
        assert request["ConsistentRead"]
        keys = request["Keys"]
        self.key_counts.append(len(keys))
        left: list[Any] = []
        if self.unprocessed:
            self.unprocessed -= 1
            keys, left = keys[:1], keys[1:]
        found = [self.items[key["messageId"]["S"]] for key in keys if key["messageId"]["S"] in self.items]
        return {"Responses": {table: found}, "UnprocessedKeys": {table: {"Keys": left}} if left else {}}


def message(seq: int, group_id: str = "a") -> Message:
    return Message(f"{group_id}-{seq}", group_id, seq, "ann", f"text {seq}", iso_ms(1_795_368_000_000 + seq))


def item_of(one: Message) -> dict[str, Any]:
    return encode(
        {
            "messageId": one.key,
            "groupId": one.group_id,
            "seq": one.seq,
            "sender": None if one.void else one.sender,
            "message": None if one.void else one.text,
            "userId": one.user_id,
            "void": 1 if one.void else None,
            "createdAt": one.created_at,
        }
    )
