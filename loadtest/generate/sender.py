"""Sends each message when it is due, and records its reply."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.clock import NS_PER_S, NS_PER_US, until
from loadtest.generate.health import LATE_SEND_MS
from loadtest.plan.schedule import message_id, message_number
from loadtest.results.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from loadtest.generate.wire import Connection
    from loadtest.plan.schedule import PlannedMessage

_LATE_US = LATE_SEND_MS * 1000


class Sender:
    """`sent` and `acknowledged` are message numbers; `unsent` counts those whose user was offline."""

    def __init__(self, prefix: str, size_bytes: int) -> None:
        self.sent: list[int] = []
        self.acknowledged: set[int] = set()
        self.refused = 0
        self.unsent = 0
        self.ack = Histogram()
        self.late_sends = 0
        self.late_us_max = 0
        self._prefix = prefix
        self._text = ("groupcast load test " * (size_bytes // 20 + 1))[:size_bytes]
        self._due_ns: dict[int, int] = {}
        self._measured_ns = 0

    async def send(
        self, due: Sequence[PlannedMessage], online: Mapping[int, Connection], start_ns: int, warmup_s: float
    ) -> None:
        """Send all of `due`. Latencies count from the due time, even if a message leaves late."""
        self._measured_ns = start_ns + round(warmup_s * NS_PER_S)
        for message in due:
            due_ns = start_ns + message.offset_ns
            await until(due_ns)
            connection = online.get(message.sender)
            if connection is None or not connection.send(self._frame(message.number)):
                self.unsent += 1
                continue
            self.sent.append(message.number)
            self._due_ns[message.number] = due_ns
            late_us = (monotonic_ns() - due_ns) // NS_PER_US
            self.late_us_max = max(self.late_us_max, late_us)
            self.late_sends += late_us > _LATE_US
            # Many may be due at once: let receipts be stamped in between.
            await asyncio.sleep(0)

    def replied(self, frame: Mapping[str, Any], stamp_ns: int) -> None:
        """Record the reply to a message; ignore pongs."""
        kind = frame.get("type")
        if kind == "ack":
            number = message_number(self._prefix, frame["messageId"])
            due_ns = None if number is None else self._due_ns.get(number)
            if number is None or due_ns is None or number in self.acknowledged:
                return
            self.acknowledged.add(number)
            if due_ns >= self._measured_ns:
                self.ack.record((stamp_ns - due_ns) // NS_PER_US)
        elif kind in {"error", None}:
            self.refused += 1

    def _frame(self, number: int) -> bytes:
        identifier = message_id(self._prefix, number)
        return orjson.dumps({"action": "sendMessage", "messageId": identifier, "message": self._text})
