"""Where the time goes: when each message passed which point on its way, written by messageId.

Nothing is added to frames or events: it looks at what the gateway, the stream and the queues hand to
functions, at when these return, and at the posts that reach the gateway. All times are CLOCK_MONOTONIC in
nanoseconds, the clock of every process on this machine.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from localcloud.invoking import Invoker

# Messages and bodies of posts that are remembered; the oldest is forgotten beyond it.
MAX_MESSAGES = 20_000
MAX_BODIES = 1_000
_NS_IN_MS = 1_000_000
_FROM_QUEUE = "aws:sqs"
_FROM_STREAM = "aws:dynamodb"


class Timeline:
    """An Invoker before another one, an observer of streams and of posts. Closed by `close`.

    The file gets a line of JSON for each message whenever an invocation that had it ends after posts of it. A
    message can have several lines (lanes of a large group, retries): its last one holds for all. They have
    `messageId` and these points, each where it was passed, the first time unless it says otherwise:

    accepted_ns    the gateway had the frame
    stored_ns      sendMessage had ended, and the acknowledgement was on its way
    read_ns        it came from the stream
    started_ns     its batch of the stream went to its function
    offered_ns     SQS took the offer that was received (SQS's SentTimestamp, to the millisecond)
    received_ns    the offer went to its function
    first_post_ns  the gateway got a post of it
    last_post_ns   the gateway got its last post so far, whatever became of it

    Without `offered_ns` the batch of the stream was what was posted; with it, the stream's batch was at most
    offered. Only messages whose sender chose the messageId are in it.
    """

    def __init__(self, inner: Invoker, path: Path) -> None:
        self._inner = inner
        # Line by line: whoever reads it does so while this runs.
        self._file: TextIO = path.open("w", buffering=1)
        self._messages: dict[str, _Message] = {}
        self._bodies: OrderedDict[bytes, _Posts] = OrderedDict()
        self._last_body: bytes | None = None
        self._last_posts = _Posts()

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """See Invoker."""
        records = event.get("Records")
        if records is None:
            return await self._invoke_route(function, event)
        ids = list(self._begin_batch(records))
        try:
            return await self._inner.invoke(function, event)
        finally:
            self._write(ids)

    def observe(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Note records that were just read from a stream."""
        self._note(_stored_ids(records), "read_ns", time.monotonic_ns())

    def posted(self, body: bytes) -> None:
        """Note a post that has just reached the gateway."""
        now_ns = time.monotonic_ns()
        # A fan-out posts one body to thousands of connections in a row.
        if body != self._last_body:
            self._last_body, self._last_posts = body, self._posts_of(body, now_ns)
        self._last_posts.last_ns = now_ns

    def close(self) -> None:
        self._file.close()

    async def _invoke_route(self, function: str, event: Mapping[str, Any]) -> Any:
        sent = _sent_id(event)
        if sent is not None:
            self._begin(sent)
        result = await self._inner.invoke(function, event)
        if sent is not None:
            self._note([sent], "stored_ns", time.monotonic_ns())
        return result

    def _begin(self, message_id: str) -> None:
        if len(self._messages) >= MAX_MESSAGES:
            del self._messages[next(iter(self._messages))]
        # A retry of the same message keeps the time of the first try.
        self._messages.setdefault(message_id, _Message({"accepted_ns": time.monotonic_ns()}))

    def _begin_batch(self, records: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        """Note that a batch goes to a function now; return the ids of its messages."""
        now_ns = time.monotonic_ns()
        for record in records:
            if record.get("eventSource") == _FROM_QUEUE:
                offered, left_over = _queued_ids(record.get("body", ""))
                self._note(offered, "offered_ns", _sent_ns(record, now_ns))
                self._note(offered, "received_ns", now_ns)
                yield from (*offered, *left_over)
            elif record.get("eventSource") == _FROM_STREAM:
                ids = tuple(_stored_ids([record]))
                self._note(ids, "started_ns", now_ns)
                yield from ids

    def _note(self, message_ids: Iterable[str], point: str, at_ns: int) -> None:
        for message_id in message_ids:
            message = self._messages.get(message_id)
            if message is not None:
                message.points.setdefault(point, at_ns)

    def _posts_of(self, body: bytes, now_ns: int) -> _Posts:
        posts = self._bodies.get(body)
        if posts is not None:
            return posts
        posts = _Posts()
        if len(self._bodies) >= MAX_BODIES:
            self._bodies.popitem(last=False)
        self._bodies[body] = posts
        for message_id in _pushed_ids(body):
            message = self._messages.get(message_id)
            if message is not None:
                message.points.setdefault("first_post_ns", now_ns)
                message.posts.append(posts)
        return posts

    def _write(self, message_ids: Iterable[str]) -> None:
        for message_id in dict.fromkeys(message_ids):
            message = self._messages.get(message_id)
            if message is None or not message.posts:
                continue
            last_ns = max(posts.last_ns for posts in message.posts)
            if last_ns != message.written_ns:
                message.written_ns = last_ns
                line = {"messageId": message_id, **message.points, "last_post_ns": last_ns}
                self._file.write(orjson.dumps(line).decode() + "\n")


@dataclass(slots=True)
class _Posts:
    """The posts of one body."""

    last_ns: int = 0


@dataclass(slots=True)
class _Message:
    points: dict[str, int]
    posts: list[_Posts] = field(default_factory=list)
    written_ns: int = 0


def _sent_id(event: Mapping[str, Any]) -> str | None:
    """The messageId of a frame that a client sent with one."""
    if event.get("requestContext", {}).get("routeKey") != "sendMessage":
        return None
    try:
        message_id = orjson.loads(event["body"])["messageId"]
    except (ValueError, KeyError, TypeError):
        return None
    return message_id if isinstance(message_id, str) else None


def _stored_ids(records: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for record in records:
        key = record["dynamodb"].get("Keys", {}).get("messageId", {}).get("S")
        if key is not None:
            yield _id_in(key)


def _queued_ids(body: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The messages that a queue's message offers, and those that it has left over; it may be neither."""
    try:
        value = orjson.loads(body)
        offered = tuple(message["messageId"] for message in value.get("messages", ()))
        left_over = tuple(_id_in(key) for key in value.get("messageIds", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return (), ()
    return _texts(offered), _texts(left_over)


def _id_in(key: str) -> str:
    """The messageId in a key of the Messages table, which begins with the user's id where there is one."""
    return key.rpartition(":")[2]


def _pushed_ids(body: bytes) -> tuple[str, ...]:
    try:
        return _texts(tuple(message.get("messageId") for message in orjson.loads(body)["messages"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _sent_ns(record: Mapping[str, Any], now_ns: int) -> int:
    """When SQS got a message, on the monotonic clock."""
    sent_ms = int(record["attributes"]["SentTimestamp"])
    return now_ns - (time.time_ns() - sent_ms * _NS_IN_MS)
