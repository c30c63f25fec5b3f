"""Events and context of a fan-out's invocation."""

from __future__ import annotations

import time
from typing import Any

from groupcast.model import Audience, Message, iso_ms

TIMEOUT_MS = 120_000


class Context:
    """The part of Lambda's context that the handler uses."""

    def get_remaining_time_in_millis(self) -> int:
        return TIMEOUT_MS


def offers(group_id: str, count: int, message_bytes: int) -> list[dict[str, Any]]:
    """Records of DeliveryQueue that offer `count` messages, as fanoutMessage receives them."""
    # Imported here, so that it does not slow down a peer's cold start.
    from groupcast.fanout.offers import outgoing  # noqa: PLC0415

    made = outgoing(_messages(group_id, count, message_bytes), Audience())
    return [
        {
            "messageId": str(number),
            "receiptHandle": str(number),
            "body": one.body,
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(time.time_ns() // 1_000_000)},
            "eventSource": "aws:sqs",
        }
        for number, one in enumerate(made)
    ]


def stream_records(group_id: str, count: int, message_bytes: int) -> list[dict[str, Any]]:
    """Stream records of the same messages, for a peer without lanes."""
    return [
        {
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {"SequenceNumber": str(100 + message.seq), "NewImage": _image(message)},
        }
        for message in _messages(group_id, count, message_bytes)
    ]


def _messages(group_id: str, count: int, message_bytes: int) -> list[Message]:
    created_at = iso_ms(time.time_ns() // 1_000_000)
    return [
        Message(f"0192f0c1-2345-7abc-8def-{seq:012d}", group_id, seq, "ann", "x" * message_bytes, created_at)
        for seq in range(1, count + 1)
    ]


def _image(message: Message) -> dict[str, Any]:
    return {
        "messageId": {"S": message.message_id},
        "groupId": {"S": message.group_id},
        "seq": {"N": str(message.seq)},
        "sender": {"S": message.sender},
        "message": {"S": message.text},
        "createdAt": {"S": message.created_at},
    }
