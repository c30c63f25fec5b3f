"""Where the time goes: when each message passed which point on its way, written by messageId.

Nothing is added to frames or events: it looks at what the gateway and the stream hand to functions, and at
what these return. All times are CLOCK_MONOTONIC in nanoseconds, the clock of every process on this machine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from localcloud.invoking import Invoker

# Messages under way that are remembered; the oldest is forgotten beyond it.
MAX_UNDER_WAY = 100_000


class Timeline:
    """An Invoker before another one, and an observer of streams. Closed by `close`.

    The file has a line of JSON for each message whose fan-out ended: `messageId`, and `accepted_ns` (the
    gateway had the frame), `stored_ns` (acknowledged), `read_ns` (from the stream), `started_ns` (its batch
    went to a function of `fanout`), `posted_ns` (that function returned). Only messages whose sender chose
    the messageId are in it.
    """

    def __init__(self, inner: Invoker, fanout: Collection[str], path: Path) -> None:
        self._inner = inner
        self._fanout = fanout
        # Line by line: whoever reads it does so while this runs.
        self._file: TextIO = path.open("w", buffering=1)
        self._under_way: dict[str, dict[str, int]] = {}

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """See Invoker."""
        if function in self._fanout:
            ids = list(_stored_ids(event["Records"]))
            self._note(ids, "started_ns")
            result = await self._inner.invoke(function, event)
            self._note(ids, "posted_ns")
            self._write(ids)
            return result
        sent = _sent_id(event)
        if sent is None:
            return await self._inner.invoke(function, event)
        self._begin(sent)
        result = await self._inner.invoke(function, event)
        self._note([sent], "stored_ns")
        return result

    def observe(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Note records that were just read from a stream."""
        self._note(_stored_ids(records), "read_ns")

    def close(self) -> None:
        self._file.close()

    def _begin(self, message_id: str) -> None:
        if len(self._under_way) >= MAX_UNDER_WAY:
            del self._under_way[next(iter(self._under_way))]
        # A retry of the same message keeps the time of the first try.
        self._under_way.setdefault(message_id, {"accepted_ns": time.monotonic_ns()})

    def _note(self, message_ids: Iterable[str], point: str) -> None:
        now_ns = time.monotonic_ns()
        for message_id in message_ids:
            points = self._under_way.get(message_id)
            if points is not None:
                points.setdefault(point, now_ns)

    def _write(self, message_ids: Iterable[str]) -> None:
        for message_id in message_ids:
            points = self._under_way.pop(message_id, None)
            if points is not None:
                self._file.write(orjson.dumps({"messageId": message_id, **points}).decode() + "\n")


def _sent_id(event: Mapping[str, Any]) -> str | None:
    """The messageId of a frame that a client sent with one."""
    if event.get("requestContext", {}).get("routeKey") != "sendMessage":
        return None
    try:
        message_id = orjson.loads(event["body"])["messageId"]
    except (ValueError, KeyError, TypeError):
        return None
    return message_id.lower() if isinstance(message_id, str) else None


def _stored_ids(records: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for record in records:
        message_id = record["dynamodb"].get("Keys", {}).get("messageId", {}).get("S")
        if message_id is not None:
            yield message_id
