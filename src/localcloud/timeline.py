"""Records when each message passed each point on its way, by messageId.

It adds nothing to frames or events. It observes the events for functions, the functions' returns and the
posts that reach the gateway. All times are CLOCK_MONOTONIC in nanoseconds, which all processes of a machine
share.
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

# Messages and post bodies that are remembered; beyond this the oldest is dropped.
MAX_MESSAGES = 20_000
MAX_BODIES = 1_000
_NS_IN_MS = 1_000_000
_FROM_QUEUE = "aws:sqs"
_FROM_STREAM = "aws:dynamodb"


class Timeline:
    """Wraps an Invoker and observes streams and posts. Close it with `close`.

    After an invocation that posted a message, the file gets a line of JSON for it. A message can have several
    lines (lanes of a large group, retries); the last one is complete. A line has `messageId` and those of
    these points that were passed, with the first time unless stated otherwise:

    accepted_ns    the gateway received the frame
    stored_ns      sendMessage ended, and the acknowledgement was sent
    read_ns        the message was read from the stream
    started_ns     its stream batch was passed to the function
    offered_ns     SQS accepted the offer (SQS's SentTimestamp, to the millisecond)
    received_ns    the offer was passed to the function
    first_post_ns  the gateway received its first post
    last_post_ns   the gateway received its last post so far, successful or not

    Without `offered_ns` the message was posted from the stream's batch, otherwise from an offer. Only
    messages whose sender chose the messageId are recorded.
    """

    def __init__(self, inner: Invoker, path: Path) -> None:
        self._inner = inner
        # Line-buffered, so that it can be read while this runs.
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
        """Record that these stream records were just read."""
        self._note(_stored_ids(records), "read_ns", time.monotonic_ns())

    def posted(self, body: bytes) -> None:
        """Record a post that has just reached the gateway."""
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
        # A retry of the same message keeps the first attempt's time.
        self._messages.setdefault(message_id, _Message({"accepted_ns": time.monotonic_ns()}))

    def _begin_batch(self, records: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        """Record that a batch starts now; return its message ids."""
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
    """The posts with one body."""

    last_ns: int = 0


@dataclass(slots=True)
class _Message:
    points: dict[str, int]
    posts: list[_Posts] = field(default_factory=list)
    written_ns: int = 0


def _sent_id(event: Mapping[str, Any]) -> str | None:
    """The messageId that a client put into its frame, if any."""
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
    """The ids of offered messages and of leftovers in a queue message; both may be empty."""
    try:
        value = orjson.loads(body)
        offered = tuple(message["messageId"] for message in value.get("messages", ()))
        left_over = tuple(_id_in(key) for key in value.get("messageIds", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return (), ()
    return _texts(offered), _texts(left_over)


def _id_in(key: str) -> str:
    """The messageId in a key of the Messages table, which may begin with the user's id."""
    return key.rpartition(":")[2]


def _pushed_ids(body: bytes) -> tuple[str, ...]:
    try:
        return _texts(tuple(message.get("messageId") for message in orjson.loads(body)["messages"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _sent_ns(record: Mapping[str, Any], now_ns: int) -> int:
    """The time at which SQS received a message, on the monotonic clock."""
    sent_ms = int(record["attributes"]["SentTimestamp"])
    return now_ns - (time.time_ns() - sent_ms * _NS_IN_MS)
